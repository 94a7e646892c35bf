"""Trained generators of motions that the page offers beside the built-in actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from posegen.errors import ConfigError
from posegen.inference.requested_motions import load_generator
from posegen.motion.motion import Motion
from posegen.synthetic import motions as corpus
from posegen.synthetic.motions import ACTIONS

BUILT_IN = ""
"""Identifier of the built-in actions."""


@dataclass(frozen=True)
class MotionModel:
    """Source of motions of named actions."""

    label: str
    actions: tuple[str, ...]
    fps: float
    """Frames per second of its motions."""
    run: str = ""
    """Run of actor or motion_diffusion; empty for the built-in actions."""

    def sample(self, action: str, num_frames: int) -> Motion:
        """Return a motion of an action. Raises PosegenError if the model cannot make it."""
        if self.run:
            return load_generator_once(self.run).generate([action], [num_frames], seed=0)[0]
        return corpus.perform(action, corpus.make_subject(0, 0), frames=num_frames)


load_generator_once = lru_cache(maxsize=4)(load_generator)


def open_models(runs: Sequence[str]) -> dict[str, MotionModel]:
    """Open the models of the page, by identifier; the built-in actions come first.

    Args:
        runs: Folders of runs of the stages actor and motion_diffusion.

    Raises:
        PosegenError: A run does not exist, or generates no motions.
    """
    models = {BUILT_IN: MotionModel("built-in", tuple(ACTIONS), float(corpus.PROCEDURAL_FPS))}
    for number, run in enumerate(runs, start=1):
        config = load_generator_once(run).config
        models[f"model{number}"] = MotionModel(Path(run).name, tuple(config.actions), float(config.fps), run)
    return models


def find_model(models: Mapping[str, MotionModel], name: str) -> MotionModel:
    """Return a model by its identifier. Raises ConfigError for an unknown one."""
    if name not in models:
        raise ConfigError("This source of actions is no longer here. Reload the page.")
    return models[name]
