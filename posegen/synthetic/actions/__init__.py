"""The actions that people of posegen's own do: of the studio, of the procedural corpus, and of motions without data."""

from __future__ import annotations

from dataclasses import dataclass

from posegen.synthetic.actions.repeated import REPEATED
from posegen.synthetic.actions.staged import STAGED
from posegen.synthetic.actions.take import ActionTake, Footing, Perform, Performance

__all__ = ["ACTIONS", "Action", "ActionTake", "Footing", "Performance"]


@dataclass(frozen=True)
class Action:
    """Action of a person who faces +z at the beginning."""

    perform: Perform
    yaw: float = 0.0
    """Degrees from the camera to their left by which they are turned in the studio: what would point into the camera
    is seen from the side."""
    fists: bool = False
    """True if the hands are closed."""
    seconds: float = ActionTake.period
    """Length of the action in the studio: whole repetitions, from rest to rest."""


_YAWS = {
    "march_in_place": 24.0, "bow": 42.0, "kick": -34.0, "punch": 34.0, "squat": 40.0, "sit": 40.0, "bend": 42.0,
    "jump": 25.0, "throw": 34.0, "lunge": 42.0, "drink": -25.0,
}  # fmt: skip
_SECONDS = {
    "kick": 2 / 0.6, "punch": 4 / 1.1, "wave": 6 / 1.6, "jump": 3 / 0.7, "sit": 1 / 0.2, "bend": 2 / 0.4,
    "idle": 1 / 0.3,
}  # fmt: skip
_FISTS = {"boxing_guard", "march_in_place", "punch", "run"}
_ORDER = (
    "wave_one_hand", "wave_both_hands", "jumping_jacks", "side_step", "squat", "arm_circles", "salute", "stretch",
    "march_in_place", "point", "bow", "kick", "clap", "turn_torso", "punch", "boxing_guard",
    "wave", "jump", "sit", "bend", "raise_arms", "turn", "idle", "drink", "phone", "throw", "lunge", "dance",
    "walk", "run",
)  # fmt: skip

ACTIONS: dict[str, Action] = {
    name: Action((STAGED | REPEATED)[name], _YAWS.get(name, 0.0), name in _FISTS, _SECONDS.get(name, ActionTake.period))
    for name in _ORDER
}
"""The actions by name; a label is the place in this order. Any first few differ well, and the last two go along."""
