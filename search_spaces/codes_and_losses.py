"""Sizes of the codes against the two losses that make stage II sharp: the search to begin with.

Few settings of stage I, so that most trials find their encoders trained.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="sizes of both colour codes, weights of feature matching and of the perceptual loss",
    stage="video_generator",
    parameters={
        "video_generator.upper_latent_dim": CategoricalDistribution((4, 16)),
        "video_generator.lower_latent_dim": CategoricalDistribution((4, 8)),
        "video_generator.lambda_fm": FloatDistribution(0.05, 100.0, log=True),
        "video_generator.lambda_vgg": Switched(FloatDistribution(0.1, 100.0, log=True)),
    },
    settings={"video_generator.vgg": "vgg16-stlpips"},  # fetched from PyPI, where VGG-19 is not
)
