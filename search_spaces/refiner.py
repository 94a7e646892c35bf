"""Training of the refiner: learning rate, size, and weights of colours, correspondence and opacity."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="learning rate, width and losses of the refiner",
    stage="refiner",
    parameters={
        "refiner.lr": FloatDistribution(2e-4, 5e-3, log=True),
        "refiner.weight_decay": FloatDistribution(1e-3, 0.1, log=True),
        "refiner.width": CategoricalDistribution((12, 16, 20, 28)),
        "refiner.lambda_gradient": Switched(FloatDistribution(0.1, 2.0, log=True)),
        "refiner.lambda_flow": Switched(FloatDistribution(0.1, 10.0, log=True)),
        "refiner.lambda_opacity": Switched(FloatDistribution(0.02, 1.0, log=True)),
        "refiner.lambda_smoothness": Switched(FloatDistribution(0.05, 2.0, log=True)),
    },
)
