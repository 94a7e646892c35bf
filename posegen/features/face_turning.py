"""Turn a face within its head: nose, eyes and mouth move to a side, and the outline stays in place."""

from __future__ import annotations

import numpy as np

from posegen.features.body_bones import SOFT_BONES, BoneFrame, place_at_bone

_HALF_WIDTH, _HALF_HEIGHT = 0.5, 0.7  # of a face, in lengths from the shoulders to the ears
_SHARE = 0.65  # of its way that a face moves: all of it would press the far cheek together
_FARTHEST = 0.5  # of half the width, by which it moves at most
_ROUND = 0.1  # how blunt the middle of a face is


def facing_of(bones: BoneFrame, points: np.ndarray) -> np.ndarray:
    """Return how far in front points (N, 2) of a head are, (N,) from 0 at its outline to 1 between nose and eyes."""
    if not np.isfinite(bones.features).all():
        return np.zeros(len(points))
    head = SOFT_BONES.index("head")
    length = max(float(np.hypot(*bones.along[head])), 1e-6)
    places = np.concatenate([points, bones.features[None]])
    along, aside, _ = place_at_bone(bones, head, places.T[::-1])
    along, aside = along[:-1] - along[-1], (aside[:-1] - aside[-1]) / length
    from_middle = np.hypot(aside / _HALF_WIDTH, along / _HALF_HEIGHT)
    return np.asarray(np.clip(1 + _ROUND - np.hypot(from_middle, _ROUND), 0, 1))


def face_turn(source: BoneFrame, target: BoneFrame, maps: np.ndarray) -> np.ndarray:
    """Return by how much a face is to move within its head, (2,) pixels of the source; 0 where it is not seen.

    Args:
        source: Of the picture.
        target: Of the pose to show.
        maps: (15, 2, 3) of `bone_maps`.
    """
    if not (np.isfinite(source.features).all() and np.isfinite(target.features).all()):
        return np.zeros(2)
    head = SOFT_BONES.index("head")
    linear, offset = maps[head, :, :2], maps[head, :, 2]
    turn = _SHARE * (np.linalg.solve(linear, target.features - offset) - source.features)
    limit = _FARTHEST * _HALF_WIDTH * float(np.hypot(*source.along[head]))
    return np.asarray(turn * min(1.0, limit / max(float(np.hypot(*turn)), 1e-9)))
