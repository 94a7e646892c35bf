"""Animated thumbnails of the actions: one strip of stick figures each, drawn at the first request."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from orchestration.app.motion_models import MotionModel
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.view_choice import choose_yaw
from posegen.motion.rendering import MotionRenderer

STRIP_FRAMES = 12
"""Pictures of a strip, which lie beside each other."""
_SIDE = 112  # pixels of each


@lru_cache(maxsize=256)
def draw_strip(model: MotionModel, action: str) -> bytes:
    """Draw the strip of an action, turned as in a video: WebP. Raises PosegenError if the model cannot make it."""
    facing = face_viewer(model.sample(action, 4 * STRIP_FRAMES))
    renderer = MotionRenderer(face_viewer(facing, choose_yaw(facing)), (_SIDE, _SIDE), view="front", follow=True)
    strip = np.concatenate([renderer.frame(4 * number) for number in range(STRIP_FRAMES)], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
