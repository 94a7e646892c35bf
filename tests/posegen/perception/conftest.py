"""Real networks for the backends, and footage to try them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posegen.io.video_reader import Footage


@pytest.fixture
def real_weights(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let backends load the real networks."""
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))


@pytest.fixture
def make_footage() -> Callable[..., Footage]:
    """Build footage from images (T, H, W, 3), as if a video of them had been read unchanged."""

    def make(images: np.ndarray, source: Path = Path("clip.mp4"), transform: np.ndarray | None = None) -> Footage:
        frames = np.arange(len(images))
        identity = np.array([[1.0, 0, 0], [0, 1, 0]])
        affine = identity if transform is None else transform
        return Footage(images, frames / 25, frames.astype(np.int32), 25.0, source, affine)

    return make
