"""Real clips rendered by a trained stage without colour codes, whatever the size that it was trained at."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.evaluation.photo_motion import RealClip
from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.perception.keypoint_maps import map_keypoints


def transfer_frames(renderer: PoseTransfer, clip: RealClip) -> np.ndarray:
    """Render a clip's rows from its source frame, (N, H, W, 3) uint8.

    The frames are fitted into the size that the stage was trained at, continued by their borders, and what is rendered
    is cut out and enlarged again.
    """
    height, width = clip.images.shape[1:3]
    scale = min(renderer.size[0] / height, renderer.size[1] / width)
    offset = [(length - scale * side) / 2 for length, side in ((renderer.size[1], width), (renderer.size[0], height))]
    matrix = np.array([[scale, 0, offset[0] + (scale - 1) / 2], [0, scale, offset[1] + (scale - 1) / 2]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    source = clip.images[clip.source]
    if scale < 1:
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / scale)
    size = renderer.size[::-1]
    image = cv2.warpAffine(source, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(clip.footage.masks[clip.source], matrix, size)
    keypoints = map_keypoints(clip.footage.poses.keypoints, matrix).astype(np.float32)
    person = Person(image, keypoints[clip.source], np.zeros_like(mask), mask)
    back = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
    return np.stack(
        [
            cv2.warpAffine(frame, matrix, (width, height), flags=back, borderMode=cv2.BORDER_REPLICATE)
            for frame in renderer.frames(person, keypoints[clip.rows])
        ]
    )
