"""Actions that the tests' corpora have: few enough to learn in seconds, and some that go along."""

from __future__ import annotations

CORPUS_ACTIONS = (
    "walk", "run", "jump", "wave", "kick", "squat", "sit", "bend", "raise_arms", "punch", "turn", "idle",
)  # fmt: skip
