"""Small moving pictures of the actions: one strip of stick figures each, drawn when it is first asked for."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.view_choice import choose_yaw
from posegen.motion.rendering import MotionRenderer
from posegen.synthetic import motions as corpus

STRIP_FRAMES = 12
"""Pictures of a strip, which lie beside each other."""
_SIDE = 112  # pixels of each


@lru_cache(maxsize=64)
def draw_strip(action: str) -> bytes:
    """Draw the strip of an action of `posegen.synthetic.motions`, as it is seen in a video: WebP."""
    motion = corpus.perform(action, corpus.make_subject(0, 0), frames=4 * STRIP_FRAMES)
    facing = face_viewer(motion)
    renderer = MotionRenderer(face_viewer(facing, choose_yaw(facing)), (_SIDE, _SIDE), view="front", follow=True)
    strip = np.concatenate([renderer.frame(4 * number) for number in range(STRIP_FRAMES)], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
