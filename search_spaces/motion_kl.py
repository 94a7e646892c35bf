"""λ_KL alone: where motion freezes.

The first points are a decade apart, so that a few trials show the whole curve.
"""

from optuna.distributions import FloatDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="λ_KL of ACTOR alone, to see where motion freezes",
    stage="actor",
    parameters={"actor.lambda_kl": FloatDistribution(1e-5, 10.0, log=True)},
    starts=tuple({"actor.lambda_kl": value} for value in (1e-3, 1e-2, 0.1, 1.0)),
)
