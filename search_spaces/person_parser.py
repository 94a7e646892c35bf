"""Training of the person parser: learning rate, size, and regularization against memorizing a few hundred photos."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="learning rate, width, losses and disturbance of the person parser",
    stage="person_parser",
    parameters={
        "person_parser.lr": FloatDistribution(3e-4, 1e-2, log=True),
        "person_parser.weight_decay": FloatDistribution(1e-3, 0.3, log=True),
        "person_parser.width": CategoricalDistribution((12, 24, 36)),
        "person_parser.balance": FloatDistribution(0.0, 0.5),
        "person_parser.lambda_dice": Switched(FloatDistribution(0.1, 2.0, log=True)),
        "person_parser.pose_drop": FloatDistribution(0.0, 0.3),
        "person_parser.recolored_share": FloatDistribution(0.0, 0.8),
    },
)
