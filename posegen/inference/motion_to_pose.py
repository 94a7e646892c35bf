"""From a motion in three dimensions to the poses in which a person of an image is rendered."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from posegen.errors import ConfigError
from posegen.inference.person import Person
from posegen.motion.cameras import align_to_reference, front_camera
from posegen.motion.editing import Placement, canonicalize, place
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import is_near_canvas, project_motion
from posegen.skeletons import joint_indices

_NEEDED = ("neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
_ANKLES = joint_indices(["left_ankle", "right_ankle"])
_STANDING = 0.95  # of the frames show the lower foot on the ground or above it
_WIDE = 1000  # canvases: no joint is farther out, before the size of the person is known


def face_viewer(motion: Motion, yaw: float = 0.0) -> Motion:
    """Turn a motion so that it faces the viewer in its first frame, above the origin.

    Args:
        motion: In any place of the world.
        yaw: Degrees by which the person is turned, to their left where it is positive.
    """
    ahead, _ = canonicalize(motion)
    return place(ahead, Placement(0.0, 0.0, math.radians(yaw)))


def turn_to_viewer(motion: Motion, start: Motion, yaw: float | None = None) -> Motion:
    """Turn a generated motion as the viewer is to see it.

    Args:
        motion: In the world of `start`.
        start: The motion whose posture it starts with. One with a weak camera is already as that camera saw it.
        yaw: Degrees by which the person is turned from the viewer, to their left where it is positive; by default the
            orientation that a weak camera saw is kept, and without one the person faces the viewer.
    """
    if yaw is None and start.camera is not None and start.camera.kind == "weak":
        return motion
    return face_viewer(motion, yaw or 0.0)


def retarget_motion(motion: Motion, person: Person) -> np.ndarray:
    """Project a motion to the OpenPose keypoints that the person of an image would show: (T, 18, 3) in its pixels.

    The motion is seen from the front, scaled to the person by trunk and legs, and starts with its neck at the person's
    neck. Its ground is the ground on which the person stands, if both ankles are visible: a jump may begin in a crouch,
    and a person may be bowing. Frames that are not valid are projected as they were filled in.

    Args:
        motion: Faces the viewer, see `face_viewer`.
        person: The person.

    Raises:
        ConfigError: The person or the motion has no size, or the person's neck, shoulders or hips are not visible.

    Example:
        >>> walk = face_viewer(perform("walk", make_subject(0)))
        >>> frames = synthesizer.frames(person, retarget_motion(walk, person))
    """
    missing = [name for name in _NEEDED if person.keypoints[joint_indices([name])[0], 2] <= 0]
    if missing:
        raise ConfigError(
            f"the person in the content image shows no {', '.join(missing)}: "
            "choose an image that shows neck, shoulders and hips"
        )
    height, width = canvas = person.image.shape[:2]
    camera = replace(front_camera(motion.joints, canvas), canvas=(_WIDE * height, _WIDE * width))
    projected = project_motion(replace(motion, valid=np.ones(len(motion), bool)), camera)
    aligned = align_to_reference(projected, person.keypoints)
    ankles = person.keypoints[_ANKLES]
    if (ankles[:, 2] > 0).all():
        aligned[..., 1] += ankles[:, 1].max() - np.quantile(aligned[:, _ANKLES, 1].max(axis=1), _STANDING)
    aligned[(aligned[..., 2] <= 0) | ~is_near_canvas(aligned[..., :2], canvas)] = 0
    return aligned
