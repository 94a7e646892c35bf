"""Real networks for the backends, and footage to try them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from posegen import weights
from posegen.video import Footage


@pytest.fixture(scope="session")
def networks(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the real networks of all backends (HED's in half precision)."""
    cache = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEGEN_CACHE", str(cache))
        weights.provide("blazepose-detector", shared / "weights" / "pose_detection.tflite")
        weights.provide("blazepose-landmark", shared / "weights" / "pose_landmark_full.tflite")
        weights.provide("selfie", shared / "weights" / "selfie_segmentation.tflite")
    half = torch.load(shared / "weights" / "hed_vgg16_bsds500_fp16.pth", weights_only=True)
    save_file({name: tensor.float() for name, tensor in half.items()}, cache / weights.WEIGHTS["hed"].file)
    return cache


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
