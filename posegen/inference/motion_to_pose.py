"""Turns motions in three dimensions as the viewer is to see them."""

from __future__ import annotations

import math

from posegen.motion.editing import Placement, canonicalize, place
from posegen.motion.motion import Motion


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
