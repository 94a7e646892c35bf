"""The smallest training that there is: noise in, a few steps, and done in a second."""

from __future__ import annotations

from dataclasses import replace

from orchestration.training.job import TrainSettings
from posegen.stages import ColorEncoder

CONFIG = replace(
    ColorEncoder.presets["tiny"],
    generator_width=4,
    encoder_width=4,
    discriminator_width=4,
    batch_size=2,
    epoch_size=4,
    num_epochs=2,
)
QUIET = TrainSettings(name="run", workers=0, track=False)
