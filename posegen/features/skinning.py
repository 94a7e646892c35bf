"""Move vertices that follow several bones: their turns are blended, not their matrices.

The mean of two matrices that turn by far different angles shrinks what lies between them, so that an arm that is raised
has a waist at its shoulder. Blended by angle it bends around the joint (as dual quaternions do: Kavan et al., 2008).
"""

from __future__ import annotations

import numpy as np

from posegen.features.body_bones import PARENTS, SOFT_BONES, BoneFrame

_ARMS = tuple(SOFT_BONES.index(f"{side}_upper_arm") for side in ("right", "left"))
_CHEST = SOFT_BONES.index("chest")
_FARTHEST_RAISED = np.radians(225.0)  # from hanging, past the side: beyond, an arm comes from the other side


def bone_turns(maps: np.ndarray, source: BoneFrame, target: BoneFrame) -> np.ndarray:
    """Return by which angles bones turn, (15,) radians, such that those of a limb differ by the way that it takes.

    An upper arm goes past the side of the body, whatever is shorter; all other bones go the shorter way.

    Args:
        maps: (15, 2, 3) of `bone_maps`.
        source: Of the picture.
        target: Of the pose to show.
    """
    linear = maps[..., :2]
    turns = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    for bone, parent in PARENTS.items():
        step = _wrap(turns[bone] - turns[parent])
        if bone in _ARMS and target.seen[bone]:
            step = _past_the_side(step, source, target, bone)
        turns[bone] = turns[parent] + step
    return turns


def raised_arms(source: BoneFrame, target: BoneFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return how far upper arms are raised and lowered from where a picture shows them, for all bones.

    Args:
        source: Of the picture.
        target: Of the pose to show.

    Returns:
        (15,) by how many radians arms are raised, 0 or more; and (15,) how far they are lowered, 0 to 1 for an arm that
        hangs.
    """
    raised, lowered = np.zeros((2, len(source.origins)))
    for arm in _ARMS:
        if source.seen[arm] and target.seen[arm]:
            (before, sense), (after, other) = (_raised(frame, arm) for frame in (source, target))
            if sense == other:
                raised[arm] = max(after - before, 0)
                lowered[arm] = np.clip(1 - after / before, 0, 1) if before > 0 else 0
    return raised, lowered


def move_vertices(
    vertices: np.ndarray, weights: np.ndarray, pivots: np.ndarray, maps: np.ndarray, turns: np.ndarray
) -> np.ndarray:
    """Return where vertices (V, 2) are in the target.

    Args:
        vertices: In the picture.
        weights: (V, 15): how much each follows each bone.
        pivots: (V, 2) around which they turn, on which the bones that they follow agree. Where a vertex is its own
            pivot, matrices are blended (linear blend skinning).
        maps: (15, 2, 3) of `bone_maps`.
        turns: (15,) of `bone_turns`.
    """
    cos, sin = np.cos(turns), np.sin(turns)
    back = np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=-2)  # (15, 2, 2)
    stretches = np.einsum("bij,bjk->bik", back, maps[..., :2])
    stretch = np.tensordot(weights, stretches, axes=1)  # (V, 2, 2)
    angle = weights @ turns
    arm = np.einsum("vij,vj->vi", stretch, vertices - pivots)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.stack([cos * arm[:, 0] - sin * arm[:, 1], sin * arm[:, 0] + cos * arm[:, 1]], axis=1)
    blended = np.tensordot(weights, maps, axes=1)  # (V, 2, 3)
    return np.einsum("vij,vj->vi", blended[..., :2], pivots) + blended[..., 2] + turned


def _past_the_side(step: float, source: BoneFrame, target: BoneFrame, arm: int) -> float:
    """Return by how much an upper arm turns relative to the chest if it goes past the side of the body."""
    (before, sense), (after, other) = (_raised(frame, arm) for frame in (source, target))
    if sense != other:  # seen from behind
        return step
    return step + 2 * np.pi * round((sense * (after - before) - step) / (2 * np.pi))


def _raised(frame: BoneFrame, arm: int) -> tuple[float, float]:
    """Return by which angle an upper arm is raised past the body's side, and in which sense that turns, 1 or -1."""
    down, along = frame.along[_CHEST], frame.along[arm]
    shoulder = frame.origins[arm] - frame.origins[_CHEST]
    sense = 1.0 if down[0] * shoulder[1] - down[1] * shoulder[0] >= 0 else -1.0
    angle = sense * float(np.arctan2(down[0] * along[1] - down[1] * along[0], down @ along))
    return (angle + 2 * np.pi if angle <= _FARTHEST_RAISED - 2 * np.pi else angle), sense


def _wrap(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
