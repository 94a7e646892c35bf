"""Optional losses of stage II, and their weights.

A weight exists only when its loss is on; the contrast of two colourings only when there are two.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Space, Switched, When

SPACE = Space(
    summary="which losses of stage II are on, with their weights",
    stage="video_generator",
    parameters={
        "video_generator.lambda_fm": Switched(FloatDistribution(0.05, 100.0, log=True)),
        "video_generator.lambda_vgg": Switched(FloatDistribution(0.1, 100.0, log=True)),
        "video_generator.lambda_l1": Switched(FloatDistribution(1.0, 100.0, log=True)),
        "video_generator.colors_per_pair": CategoricalDistribution((1, 2)),
        "video_generator.lambda_contrast": When(
            "video_generator.colors_per_pair", (2,), FloatDistribution(1.0, 100.0, log=True), otherwise=0.0
        ),
    },
    settings={
        "video_generator.vgg": "vgg16-stlpips",  # fetched from PyPI, where VGG-19 is not
        "video_generator.batch_size": 2,  # two colourings of a pair stand side by side
    },
)
