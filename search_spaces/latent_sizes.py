"""Sizes of the colour codes.

The paper has 16 for the upper and 8 for the lower garment and gives no reason. A colour without its lightness has
two, so a probe of the codes, their leakage and the time of stage I say how many of the others are of use.
"""

from optuna.distributions import CategoricalDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="sizes of the upper and the lower colour code",
    stage="video_generator",
    parameters={
        "video_generator.upper_latent_dim": CategoricalDistribution((2, 4, 8, 16, 32)),
        "video_generator.lower_latent_dim": CategoricalDistribution((2, 4, 8, 16, 32)),
    },
)
