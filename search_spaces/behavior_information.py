"""Information in a behaviour's code, penalty of posture in it, and its size.

The bound I_max and the weight w_aux pull the same way: a code that carries less tells less of posture, and less of what
is done. Early stopping by ``joint_error`` alone would favour loose codes: with ``--objectives joint_error
posture_error --pruning none`` the front shows what one costs of the other.
"""

from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="I_max of the behaviour net, w_aux of its posture decoder, and the size of the code",
    stage="behavior",
    parameters={
        "behavior.information_max": FloatDistribution(10.0, 1000.0, log=True),
        "behavior.lambda_auxiliary": Switched(FloatDistribution(1e-3, 10.0, log=True)),
        "behavior.latent_dim": IntDistribution(64, 1024, step=64),
    },
    starts=tuple({"behavior.lambda_auxiliary": value} for value in (0.1, 1.0)),
)
