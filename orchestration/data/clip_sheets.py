"""Sheets of clips: frames with the stick figure and the outline of the mask, to see whether they are right."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.datasets.clip_files import Clip
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.io.images import titled_grid
from posegen.io.storage import StorageFolder

SHEETS = "preview"
"""The folder of the sheets in a dataset: one JPEG a video, also of those that gave no clip."""

_FRAMES = 8  # of a sheet
_HEIGHT = 320  # pixels of a frame on the sheet, at least
_OUTLINE = (0, 255, 255)
_QUALITY = 80


def draw_clip(clip: Clip) -> np.ndarray:
    """Draw frames of a clip with stick figure and mask's outline, and the edges below, titled: (H, W, 3) uint8."""
    rows = _spread(len(clip))
    pictures = [_draw(clip.images[row], clip.keypoints[row], clip.masks[row]) for row in rows]
    scale = pictures[0].shape[0] / clip.images.shape[1] / 2
    edges = [cv2.resize(clip.edges[row], None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST) for row in rows]
    below = [cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in edges]
    seconds = " · ".join(f"{clip.times[row] - clip.times[0]:.1f}" for row in rows)
    return titled_grid([pictures, below], [f"stick figure and outline of the mask, at {seconds} s", "edges"])


def draw_frames(images: np.ndarray, size: tuple[int, ...], keypoints: np.ndarray | None) -> np.ndarray:
    """Draw frames (T, H, W, 3), with poses (T, 18, 3) in pixels of frames of another size where there are any."""
    pictures = []
    for row in _spread(len(images)):
        pose = np.zeros((18, 3), np.float32)
        if keypoints is not None:
            scale = images.shape[2] / size[1], images.shape[1] / size[0], 1
            pose = keypoints[row] * np.array(scale, np.float32)
        pictures.append(_draw(images[row], pose, None))
    found = "without a pose" if keypoints is None else "with the pose that was found"
    return titled_grid([pictures], [f"frames {' · '.join(map(str, _spread(len(images))))}, {found}"])


def write_sheet(dataset: StorageFolder, clip_id: str, sheet: np.ndarray) -> None:
    """Write a sheet of a dataset."""
    content = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    (dataset / SHEETS).write_bytes(sheet_name(clip_id), content.tobytes())


def sheet_name(clip_id: str) -> str:
    """Return the name of a clip's sheet."""
    return f"{clip_id}.jpg"


def _spread(num_frames: int) -> list[int]:
    return np.linspace(0, num_frames - 1, min(_FRAMES, num_frames)).round().astype(int).tolist()


def _draw(image: np.ndarray, pose: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """One frame, enlarged, with its pose and the outline of its mask."""
    scale = max(_HEIGHT / image.shape[0], 1)
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    size = large.shape[:2]
    if mask is not None:
        outline, _ = cv2.findContours(
            cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(large, outline, -1, _OUTLINE, 1)
    scaled = pose * np.array([scale, scale, 1], np.float32)
    figure = rasterize_stick_figure(scaled, size)
    drawn = figure.any(axis=-1, keepdims=True)
    return np.where(drawn, (0.4 * large + 0.6 * figure).astype(np.uint8), large)
