"""A motion in three dimensions and a person in a picture in; the poses in which to draw the person out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from posegen.errors import ConfigError
from posegen.inference.person import Person
from posegen.motion.cameras import align_to_reference, front_camera
from posegen.motion.editing import Placement, canonicalize, place, resample
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import is_near_canvas, project_motion
from posegen.skeletons import joint_indices

_NEEDED = ("neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
_ANKLES = joint_indices(["left_ankle", "right_ankle"])
_STANDING = 0.95  # of the frames show the lower foot on the ground or above it
_WIDE = 1000  # canvases: no joint is farther out, before it is known how large the person is


def face_viewer(motion: Motion, fps: float, yaw: float = 0.0) -> Motion:
    """Return a motion that faces the viewer in its first frame, above the origin, at a rate of frames.

    Args:
        motion: In any place and of any rate.
        fps: Frames per second.
        yaw: Degrees by which the person is turned, to their left where it is positive.

    Raises:
        MotionError: The rate is not positive.
    """
    ahead, _ = canonicalize(motion)
    return resample(place(ahead, Placement(0.0, 0.0, math.radians(yaw))), fps)


def pose_sequence(motion: Motion, content: Person) -> np.ndarray:
    """Return what OpenPose would see if the person of a picture made a motion: keypoints (T, 18, 3) in its pixels.

    The motion is seen from the front. It is as large as the person, by trunk and legs, and starts with its neck where
    theirs is; but it stands on the ground that they stand on, if that is seen: a jump may begin in a crouch, and a
    person be bowing. Frames that are not valid are shown as they were filled in.

    Args:
        motion: Faces the viewer, see `face_viewer`.
        content: The person.

    Raises:
        ConfigError: The person, or the motion, has no size, or the person does not show neck, shoulders and hips.

    Example:
        >>> walk = face_viewer(perform("walk", make_subject(0)), fps=25)
        >>> frames = synthesizer.frames(content, pose_sequence(walk, content))
    """
    missing = [name for name in _NEEDED if content.keypoints[joint_indices([name])[0], 2] <= 0]
    if missing:
        raise ConfigError(
            f"the person in the content image shows no {', '.join(missing)}: "
            "choose an image that shows neck, shoulders and hips"
        )
    height, width = canvas = content.image.shape[:2]
    camera = replace(front_camera(motion.joints, canvas), canvas=(_WIDE * height, _WIDE * width))
    seen = project_motion(replace(motion, valid=np.ones(len(motion), bool)), camera)
    aligned = align_to_reference(seen, content.keypoints)
    ankles = content.keypoints[_ANKLES]
    if (ankles[:, 2] > 0).all():
        aligned[..., 1] += ankles[:, 1].max() - np.quantile(aligned[:, _ANKLES, 1].max(axis=1), _STANDING)
    aligned[(aligned[..., 2] <= 0) | ~is_near_canvas(aligned[..., :2], canvas)] = 0
    return aligned
