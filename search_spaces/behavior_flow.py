"""Depth and width of the flow of behaviour codes.

Its published size is 57 times that of the network whose codes it learns. The behaviour net is the same in all trials,
so it is trained once.
"""

from optuna.distributions import IntDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="blocks of the flow of behaviour codes, with the depth and the width of their networks",
    stage="behavior_flow",
    parameters={
        "behavior_flow.num_blocks": IntDistribution(2, 16),
        "behavior_flow.depth": IntDistribution(0, 3),
        "behavior_flow.hidden_dim": IntDistribution(32, 2048, log=True),
    },
)
