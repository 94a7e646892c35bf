"""Human3.6M's cameras: where they stood and how they drew, from ``metadata.xml`` or from what they saw.

World axes are the dataset's own: millimetres, z up. A camera looks along its z, its y points down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from posegen.datasets.published.h36m_names import CAMERAS, H36M_ACTIONS, H36M_SUBJECTS, Take
from posegen.errors import ArchiveError

_NUM_SUBJECTS = 11  # that metadata.xml has, S1 to S11
_NUM_NUMBERS = len(CAMERAS) * (6 * _NUM_SUBJECTS + 9)
_MAX_POINTS = 20_000  # that a fit takes of a video's hundred thousand
_INLIER = 10.0  # millimetres between a point and where the fit has it, as published


@dataclass(frozen=True)
class LensCamera:
    """A calibrated camera."""

    rotation: np.ndarray
    """(3, 3): from the world's axes to the camera's."""
    position: np.ndarray
    """(3,) millimetres in the world."""
    focal: np.ndarray
    """(2,) pixels."""
    center: np.ndarray
    """(2,) pixels: the principal point."""
    distortion: np.ndarray
    """(5,): k1, k2, p1, p2, k3 of the lens, as OpenCV has them."""

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in the camera's axes as they are in the world's, in millimetres."""
        return points @ self.rotation + self.position

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in the camera's axes, bent by the lens."""
        matrix = np.array([[self.focal[0], 0, self.center[0]], [0, self.focal[1], self.center[1]], [0, 0, 1]])
        flat = np.ascontiguousarray(points.reshape(-1, 1, 3), np.float64)
        pixels, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), matrix, self.distortion)
        return pixels.reshape(*points.shape[:-1], 2)

    @property
    def extrinsics(self) -> np.ndarray:
        """(3, 4): from the world to the camera's axes, in millimetres."""
        return np.column_stack([self.rotation, -self.rotation @ self.position])


@dataclass(frozen=True)
class Metadata:
    """Content of ``metadata.xml``."""

    names: dict[Take, str]
    """File names, without camera and ending."""
    cameras: dict[tuple[str, str], LensCamera]
    """Cameras by person and name."""


def read_metadata(path: Path) -> Metadata:
    """Read ``metadata.xml``, which comes with the dataset's code. Raises ArchiveError, in one line."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path} is no XML: {error}") from None
    rows = [[(cell.text or "").strip() for cell in row] for row in root.iterfind("mapping/tr")]
    missing = sorted(set(H36M_SUBJECTS) - set(rows[0] if rows else ()))
    if missing:
        raise ArchiveError(f"{path}: mapping has no column of {', '.join(missing)}: is it Human3.6M's?")
    names = {
        Take(subject, int(row[0]), int(row[1])): name
        for row in rows[1:]
        if len(row) > 1 and row[0].isdecimal() and row[1] in ("1", "2") and int(row[0]) in H36M_ACTIONS
        for subject, name in zip(rows[0], row, strict=False)
        if subject in H36M_SUBJECTS and name
    }
    return Metadata(names, _read_cameras(root.findtext("w0") or "", path))


def _read_cameras(text: str, path: Path) -> dict[tuple[str, str], LensCamera]:
    """Of every person six numbers of each camera's place, camera by camera; then nine of each camera's lens."""
    try:
        numbers = np.array([float(word) for word in text.strip().strip("[]").split()])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != _NUM_NUMBERS or not np.isfinite(numbers).all():
        raise ArchiveError(f"{path}: w0 has not the {_NUM_NUMBERS} numbers of the cameras")
    places = numbers[: -9 * len(CAMERAS)].reshape(len(CAMERAS), _NUM_SUBJECTS, 6)
    lenses = numbers[-9 * len(CAMERAS) :].reshape(len(CAMERAS), 9)
    return {
        (f"S{subject + 1}", camera): LensCamera(
            rotation=Rotation.from_euler("XYZ", places[index, subject, :3]).as_matrix(),
            position=places[index, subject, 3:],
            focal=lens[:2],
            center=lens[2:4],
            distortion=lens[[4, 5, 7, 8, 6]],
        )
        for index, (camera, lens) in enumerate(zip(CAMERAS, lenses, strict=True))
        for subject in range(_NUM_SUBJECTS)
    }


@dataclass(frozen=True)
class Calibration:
    """Keypoints, world positions and camera parameters of a video."""

    keypoints: np.ndarray
    """(T, 32, 2) pixels."""
    world: np.ndarray
    """(T, 32, 3) millimetres in the world."""
    intrinsics: np.ndarray
    """(4,) pixels: fx, cx, fy, cy of a camera without a lens that draws `keypoints` best."""
    extrinsics: np.ndarray
    """(3, 4): from the world to the positions, in millimetres."""


def calibrate(
    positions: np.ndarray, camera: LensCamera | None, keypoints: np.ndarray | None, world: np.ndarray | None
) -> Calibration:
    """Find what is not known of a video from what is.

    Positions of the "universal" body are as large as it is, not as the person: seen by a camera they are where the
    person is in the picture, and in the world they are where such a body would have to be. Where the person's own
    places in the world are known, the fitted extrinsics hold the change of size.

    Args:
        positions: (T, 32, 3) millimetres in the camera's axes.
        camera: None where `keypoints` and `world` are known.
        keypoints: (T, 32, 2) measured pixels; None projects positions through the lens.
        world: (T, 32, 3) measured millimetres in the world; None takes positions there by the camera.

    Raises:
        ArchiveError: Too little is known, or no fit is found.
    """
    if camera is None and (keypoints is None or world is None):
        raise ArchiveError("its camera is unknown")
    pixels = camera.project(positions) if keypoints is None and camera else np.asarray(keypoints)
    intrinsics = fit_intrinsics(pixels, positions)
    if world is not None:
        return Calibration(pixels, world, intrinsics, fit_extrinsics(world, positions))
    assert camera is not None
    return Calibration(pixels, camera.to_world(positions), intrinsics, camera.extrinsics)


def fit_intrinsics(keypoints: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return fx, cx, fy, cy (4,) in pixels that take positions (..., 3) to keypoints (..., 2), by least squares.

    Solved are u Z = fx X + cx Z and v Z = fy Y + cy Z.
    """
    points, pixels = positions.reshape(-1, 3), keypoints.reshape(-1, 2)
    depth = points[:, 2]
    found = [
        np.linalg.lstsq(np.stack([points[:, axis], depth], axis=1), pixels[:, axis] * depth, rcond=None)[0]
        for axis in range(2)
    ]
    return np.concatenate(found)


def fit_extrinsics(world: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the affine (3, 4) that takes points (..., 3) of the world to positions (..., 3).

    RANSAC tells which points fit, as published; the affine is that of all of them by least squares.

    Raises ArchiveError where there is none.
    """
    step = math.ceil(world.size / 3 / _MAX_POINTS)
    source, target = (np.ascontiguousarray(points.reshape(-1, 3)[::step], np.float64) for points in (world, positions))
    found, _, inliers = cv2.estimateAffine3D(source, target, ransacThreshold=_INLIER, confidence=0.999)
    if not found:
        raise ArchiveError("its positions in the world and before the camera do not fit together")
    fits = inliers[:, 0] > 0
    ends = np.column_stack([source[fits], np.ones(fits.sum())])
    return np.linalg.lstsq(ends, target[fits], rcond=None)[0].T
