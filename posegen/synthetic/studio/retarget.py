"""Makes a person of the studio do what any motion does: their own body, its joints turned, its feet where they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from posegen.motion import rotations
from posegen.motion.editing import canonicalize, find_rotations
from posegen.motion.floor import FEET, floor_height
from posegen.motion.kinematics import global_rotations, local_rotations
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS, joint_indices
from posegen.synthetic.studio.people import StudioPerson
from posegen.synthetic.studio.skeleton import skeleton_of, sole_heights

# By joint: the one that ends its bone. Trunk, head, hands and feet are left as they turn, since bodies differ in them.
_LIMBS = {
    f"{side}_{near}": f"{side}_{far}"
    for side in ("left", "right")
    for near, far in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
_ENDS = ("ankle", "foot", "wrist", "hand")
_ANKLES = joint_indices(["left_ankle", "right_ankle"], SMPL_24)
_SOLES = np.concatenate([FEET, _ANKLES])
_OTHERS = np.setdiff1d(np.arange(len(SMPL_24)), _SOLES)
_STANDING = 0.3  # share of the frames in which a foot is taken to stand
_STANDS = 0.02  # metres: a foot this much higher than the other carries less of the weight by a factor of e
_FLESH = 0.03  # of a body of height 1: as near may a joint other than those of the feet be to the floor


def retarget(motion: Motion, person: StudioPerson) -> Motion:
    """Return a motion of a person's own joints: it starts above the origin, faces +z, and stands on the floor y = 0.

    Limbs point where the motion's do, and the other joints turn as they do there. The foot that carries the weight is
    where it is there, in relation to the length of the legs, and as high above the floor. A motion that was performed
    on the person's own rest skeleton stays where it is, and stands on its own y = 0.

    Args:
        motion: Of any body, anywhere; joints alone get rotations by inverse kinematics.
        person: Whose body does it.
    """
    if motion.rot6d is not None and motion.rest is not None and np.allclose(motion.rest, person.rest, atol=1e-5):
        root = motion.joints[:, 0].astype(float)
        still = replace(motion, joints=motion.joints - motion.joints[:, :1])
        root[:, 1] = _root_height(_heights(motion, 0.0).min(axis=1), still, person)
    else:
        source, _ = canonicalize(motion)
        if source.rot6d is None or source.rest is None:
            source = _level_feet(find_rotations(source).motion)
        rows = rotations.matrix_to_rot6d_rows(_turn_like(source, person.rest)).numpy()
        still = Motion.from_rotations(rows, np.zeros((len(source), 3)), person.rest, source.fps)
        root = _follow_feet(source, still, person)
    joints = (still.joints + root[:, None]).astype(np.float32)
    return replace(motion, joints=joints, rot6d=still.rot6d, rest=still.rest, camera=None)


def _level_feet(source: Motion) -> Motion:
    """Turn ankles so that feet that stand are level: joints alone do not tell where a sole is below the toes' joint."""
    assert source.rot6d is not None
    local = rotations.rot6d_rows_to_matrix(torch.as_tensor(source.rot6d, dtype=torch.float64))
    world = global_rotations(local)
    for ankle, foot in zip(_ANKLES, FEET, strict=True):
        height = source.joints[:, foot, 1]
        stands = torch.from_numpy(height <= np.quantile(height, _STANDING))
        slope = torch.asin(world[stands, ankle, 1, 2].clamp(-1, 1)).median()  # of what points ahead in a T-pose
        local[:, ankle] = local[:, ankle] @ rotations.axis_angle_to_matrix(slope * torch.eye(3, dtype=slope.dtype)[0])
    return replace(source, rot6d=rotations.matrix_to_rot6d_rows(local).numpy().astype(np.float32))


def _turn_like(source: Motion, rest: np.ndarray) -> Tensor:
    """Rotations (T, 24, 3, 3), in the parents' axes, of a body with this rest skeleton."""
    assert source.rest is not None
    world = global_rotations(rotations.rot6d_rows_to_matrix(torch.as_tensor(source.rot6d, dtype=torch.float64)))
    ours, theirs = torch.as_tensor(rest, dtype=torch.float64), torch.as_tensor(source.rest, dtype=torch.float64)
    corrections: dict[str, Tensor] = {}
    turned = []
    for index, name in enumerate(SMPL_24):
        here = world[:, index]
        if name in _LIMBS:
            far = SMPL_24.index(_LIMBS[name])
            own, wanted = (here @ (body[far] - body[index]) for body in (ours, theirs))
            corrections[name] = rotations.swing(own, wanted)
            here = corrections[name] @ here
        elif name.endswith(_ENDS):
            corrections[name] = corrections[SMPL_24[SMPL_24_PARENTS[index]]]
            here = corrections[name] @ here
        turned.append(here)
    return local_rotations(torch.stack(turned, dim=1))


def _follow_feet(source: Motion, still: Motion, person: StudioPerson) -> np.ndarray:
    """Compute root positions (T, 3) for which the feet stand as in the source."""
    scale = _leg_length(person.rest) / _leg_length(source.rest)
    heights = _heights(source, floor_height(source.joints))  # (T, 4)
    feet = np.minimum(heights[:, :2], heights[:, 2:])  # (T, 2)
    lowest = feet.min(axis=1)
    weights = np.exp((lowest[:, None] - feet) / _STANDS)
    weights /= weights.sum(axis=1, keepdims=True)
    apart = scale * source.joints[:, _ANKLES].astype(float) - still.joints[:, _ANKLES]  # (T, 2, 3)
    root = (weights[..., None] * apart).sum(axis=1)
    root -= root[0]
    root[:, 1] = _root_height(scale * lowest, still, person)
    return root


def _root_height(rise: np.ndarray, still: Motion, person: StudioPerson) -> np.ndarray:
    """Compute root heights (T,) for which the lower sole has the given height (T,), and nothing is below the floor."""
    height = person.height
    root = np.maximum(rise, 0.0) - sole_heights(skeleton_of(still, height), height)
    return np.maximum(root, _FLESH * height - still.joints[:, _OTHERS, 1].min(axis=1))


def _heights(source: Motion, floor: float) -> np.ndarray:
    """Measure the heights (T, 4) of balls of the feet and ankles above their heights on a standing body."""
    assert source.rest is not None
    raised = source.rest[_SOLES, 1] - source.rest[FEET, 1].min()
    return source.joints[:, _SOLES, 1].astype(float) - floor - raised


def _leg_length(rest: np.ndarray | None) -> float:
    assert rest is not None
    hip, knee, ankle = (rest[SMPL_24.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle))
