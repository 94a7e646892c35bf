"""Poses of Human3.6M in NASA's Common Data Format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posegen.datasets.published.h36m_names import H36M_JOINTS
from posegen.errors import ArchiveError, ConfigError, first_line

_VARIABLE = "Pose"


def read_poses(path: Path, dimensions: int = 3) -> np.ndarray:
    """Read the poses (T, 32, `dimensions`) of a video.

    Raises:
        ConfigError: cdflib, an optional dependency, is not installed.
        FileNotFoundError: There is no such file.
        ArchiveError: It is damaged or of something else. The message is one line with the file.
    """
    try:
        import cdflib  # an optional dependency
    except ImportError:
        raise ConfigError("Human3.6M's poses need cdflib: install with `pip install 'posegen[h36m]'`") from None
    if not path.is_file():
        raise FileNotFoundError(f"no poses at {path}")
    try:
        poses = np.asarray(cdflib.CDF(path).varget(_VARIABLE), np.float64)
    except Exception as error:  # cdflib raises whatever its parsing of a damaged file comes to
        raise ArchiveError(f"{path} is damaged or no CDF file with {_VARIABLE}: {first_line(error)}") from None
    width = H36M_JOINTS * dimensions
    if poses.ndim != 3 or poses.shape[0] != 1 or poses.shape[2] != width:
        raise ArchiveError(
            f"{path}: {_VARIABLE} has shape {poses.shape}, expected (1, T, {width}), {dimensions} numbers of each of "
            f"{H36M_JOINTS} joints"
        )
    if not np.isfinite(poses).all():
        raise ArchiveError(f"{path}: {_VARIABLE} has numbers that are not finite")
    return poses.reshape(-1, H36M_JOINTS, dimensions)
