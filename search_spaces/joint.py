"""Colour augmentation, stage I and stage II at once.

What is best for one of them depends on the others: more colours ask for a looser code, and a looser code for a
generator that is smoother between codes.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="recolourings, codes and losses of stage I, and losses of stage II",
    stage="video_generator",
    parameters={
        "color_encoder.recolorings": CategoricalDistribution((0, 2, 4, 8)),
        "video_generator.recolorings": CategoricalDistribution((0, 2, 4, 8)),
        "video_generator.upper_latent_dim": CategoricalDistribution((4, 8, 16)),
        "video_generator.lower_latent_dim": CategoricalDistribution((4, 8, 16)),
        "color_encoder.lambda_kl": FloatDistribution(1e-5, 0.1, log=True),
        "color_encoder.lambda_z": FloatDistribution(0.05, 5.0, log=True),
        "video_generator.z_noise": FloatDistribution(0.0, 2.0),
        "video_generator.lambda_fm": FloatDistribution(0.05, 100.0, log=True),
        "video_generator.lambda_gan": FloatDistribution(0.01, 10.0, log=True),
    },
)
