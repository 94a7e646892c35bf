"""Estimate the pan and zoom of the camera in a clip from the pixels outside the person."""

from __future__ import annotations

import cv2
import numpy as np

_STEP = 2  # frames; a camera moves little enough in between for the search to follow
_LEVELS, _ROUNDS = 3, 12  # halvings of the picture, and steps of the search at each
_STILL = 1e-4  # heights of the picture: a smaller step is none
_TOLERANCE = 12.0  # grey levels from which a difference counts less: not the background, or the background changed
_STIFFNESS = 0.02  # keeps the camera where nothing shows that it moves, as before a plain wall
_MARGIN = 0.03  # of the height, around the person


def follow_camera(images: np.ndarray, masks: np.ndarray, source: int, rows: np.ndarray) -> np.ndarray:
    """Find where the background of one frame lies in others, by robust least squares over colours.

    Args:
        images: (T, H, W, 3) uint8.
        masks: (T, H, W), 0 beside the person.
        source: The frame.
        rows: (N,) the others, in ascending order and after the frame.

    Returns:
        (N, 2, 3) maps from pixels of the source frame to those of the others: a zoom and a shift.
    """
    radius = max(round(_MARGIN * images.shape[1]), 1)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    seen = {row: 1 - cv2.dilate((masks[row] > 0).astype(np.uint8), disk) for row in (source, *range(len(masks)))}
    motion = np.zeros(3)  # logarithm of the zoom about the middle, shift in heights of the picture
    found = {}
    for row in sorted({*range(source, int(rows[-1]) + 1, _STEP), *rows.tolist()}):
        for level in reversed(range(_LEVELS)):
            motion = _search(
                motion, *(_halved(x, level) for x in (images[source], seen[source], images[row], seen[row]))
            )
        found[row] = _matrix(motion, images.shape[1:3])
    return np.stack([found[row] for row in rows.tolist()])


def undo_camera(images: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Show frames (N, H, W[, C]) as the source frame's camera would, and where they reach, (N, H, W) bool."""
    size = images.shape[2:0:-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = [
        cv2.warpAffine(image, one, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for image, one in zip(images, maps, strict=True)
    ]
    whole = np.full(images.shape[1:3], 255, np.uint8)
    reach = [cv2.warpAffine(whole, one, size, flags=flags) == 255 for one in maps]
    return np.stack(moved), np.stack(reach)


def _halved(image: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        image = cv2.pyrDown(image) if image.ndim == 3 else image[::2, ::2]
    return image.astype(np.float32)


def _matrix(motion: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    zoom, height = np.exp(motion[0]), size[0]
    middle = np.array([size[1] - 1, height - 1]) / 2
    return np.column_stack([zoom * np.eye(2), middle - zoom * middle + motion[1:] * height])


def _search(
    motion: np.ndarray, source: np.ndarray, source_seen: np.ndarray, frame: np.ndarray, frame_seen: np.ndarray
) -> np.ndarray:
    """Improve a motion by Gauss-Newton steps, on pictures (H, W, 3) float32 of one level."""
    height, width = source.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    about = np.stack([xs - (width - 1) / 2, ys - (height - 1) / 2], axis=-1)[..., None, :]  # (H, W, 1, 2)
    for _ in range(_ROUNDS):
        matrix = _matrix(motion, source.shape)
        moved = cv2.warpAffine(frame, matrix, (width, height), flags=flags)
        shown = cv2.warpAffine(frame_seen, matrix, (width, height), flags=flags) * source_seen > 0.99
        gradient = np.stack([cv2.Sobel(moved, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)], axis=-1)
        difference = (moved - source)[shown]  # (K, 3)
        slopes = gradient[shown]  # (K, 3, 2)
        by_zoom = (slopes * about[shown]).sum(axis=-1)
        jacobian = np.concatenate([by_zoom[..., None], slopes * height], axis=-1).reshape(-1, 3).astype(np.float64)
        residual = difference.reshape(-1).astype(np.float64)
        weights = 1 / (1 + (residual / _TOLERANCE) ** 2) ** 2
        normal = jacobian.T @ (jacobian * weights[:, None])
        normal += _STIFFNESS * height**2 * len(residual) * np.eye(3)
        step = np.linalg.solve(normal, jacobian.T @ (weights * residual))
        motion = motion - step
        if np.abs(step).max() < _STILL:
            break
    return motion
