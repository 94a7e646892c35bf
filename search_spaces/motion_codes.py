"""Information in a motion's code, and the size of the networks that read it.

λ_KL is the weight of the mean over the batch: the 1e-5 to 5e-5 that theses and papers name are of the sum over 20
motions, 2e-4 to 1e-3 here. Far above them the decoder learns to do without the code, and then without motion.
"""

from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.space import Space

SPACE = Space(
    summary="λ_KL of ACTOR from a tenth of the paper's weight to a hundredfold, with the code's size and the layers",
    stage="actor",
    parameters={
        "actor.lambda_kl": FloatDistribution(2e-5, 2e-2, log=True),
        "actor.latent_dim": IntDistribution(32, 512, step=32),
        "actor.num_layers": IntDistribution(2, 8),
    },
    starts=({"actor.lambda_kl": 1e-3}, {"actor.lambda_kl": 1e-2}),
)
