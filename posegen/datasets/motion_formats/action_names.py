"""The actions of published sets of motions, in the order of their labels (Petrovich et al., 2021, published code)."""

from __future__ import annotations

HUMANACT12: tuple[str, ...] = (
    "warm_up",
    "walk",
    "run",
    "jump",
    "drink",
    "lift_dumbbell",
    "sit",
    "eat",
    "turn_steering_wheel",
    "phone",
    "boxing",
    "throw",
)

NTU13: tuple[str, ...] = (
    "pickup",
    "throw",
    "sitting_down",
    "standing_up",
    "cheer_up",
    "hand_waving",
    "kicking_something",
    "salute",
    "squat_down",
    "shake_fist",
    "running_on_the_spot",
    "butt_kicks",
    "side_kick",
)
NTU13_CODES: tuple[int, ...] = (6, 7, 8, 9, 22, 23, 24, 38, 80, 93, 99, 100, 102)
"""The number behind "A" in NTU's file names, for each of `NTU13`."""
