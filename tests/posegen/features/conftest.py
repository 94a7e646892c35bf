"""Two standing people and what Deformable GAN's code makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right


@pytest.fixture(scope="session")
def pose_gan(fixtures: Path) -> dict[str, Any]:
    return json.loads((fixtures / "losses_metrics_geometry.json").read_text())["pose_gan"]


@pytest.fixture
def source(pose_gan) -> np.ndarray:
    return from_yx(pose_gan["source"])


@pytest.fixture
def target(pose_gan) -> np.ndarray:
    return from_yx(pose_gan["target"])


@pytest.fixture
def without():
    """A copy of a pose without some joints."""

    def remove(keypoints: np.ndarray, *joints: str) -> np.ndarray:
        keypoints = keypoints.copy()
        keypoints[joint_indices(joints)] = 0
        return keypoints

    return remove


@pytest.fixture
def mirror():
    """A pose as seen in the mirrored image, where right joints are left ones."""

    def flip(keypoints: np.ndarray, width: int) -> np.ndarray:
        keypoints = keypoints[joint_indices([swap_left_right(joint) for joint in OPENPOSE_18])]
        keypoints[:, 0] = np.where(keypoints[:, 2] > 0, width - 1 - keypoints[:, 0], 0)
        return keypoints

    return flip


def from_yx(points: list[list[float]]) -> np.ndarray:
    """Fixture rows (y, x) to keypoints (18, 3)."""
    yx = np.array(points, np.float64)
    return np.column_stack([yx[:, ::-1], np.ones(len(yx))])
