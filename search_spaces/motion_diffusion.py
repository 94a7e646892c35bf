"""Size of the motion denoiser, its training losses besides noise, and its guidance.

Guidance changes nothing of training: it is among the rest because the best of it depends on how much was learned.
"""

from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.space import Space, Switched

SPACE = Space(
    summary="guidance, width, blending and the weights of velocities of motion diffusion",
    stage="motion_diffusion",
    parameters={
        "motion_diffusion.guidance": FloatDistribution(1.0, 3.0),
        "motion_diffusion.blend": FloatDistribution(0.0, 0.8),
        "motion_diffusion.width": IntDistribution(256, 1024, step=256),
        "motion_diffusion.lambda_velocity": Switched(FloatDistribution(1e-3, 1.0, log=True)),
        "motion_diffusion.lambda_contact": Switched(FloatDistribution(1e-2, 10.0, log=True)),
    },
    starts=({"motion_diffusion.guidance": 1.0}, {"motion_diffusion.guidance": 1.5}),
)
