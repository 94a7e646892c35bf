"""Pictures that people look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from posegen.datasets.clips import encode_png


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 2) -> np.ndarray:
    """Lay pictures (H, W, 3) of equal size out in rows, with white gaps; a short row is filled with white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[i * (height + gap) :, j * (width + gap) :][:height, :width] = picture
    return sheet


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG of a picture (H, W, 3); its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(picture))


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge a small picture for looking at it, keeping its pixels."""
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
