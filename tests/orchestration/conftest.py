"""One Ray for all tests, and the studio's videos to try pipelines on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posegen import weights
from posegen.studio import render_clip, write_clip

CAST = {"ada": ("bow", "clap", "wave_one_hand"), "bruno": ("bow", "wave_one_hand")}


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A Ray of two CPUs, started as the product starts it."""
    from orchestration.ray_session import start_ray

    start_ray(num_cpus=2)
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def studio_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``PERSON/ACTION.mp4`` of two people, 96×64 pixels and ten frames each, with the truth beside them."""
    folder = tmp_path_factory.mktemp("studio")
    for person, actions in CAST.items():
        for action in actions:
            write_clip(render_clip(person, action, num_frames=10, size=(96, 64)), folder)
    return folder


@pytest.fixture
def videos(studio_videos: Path, tmp_path: Path) -> Path:
    """The studio's videos, to be changed at will."""
    return Path(shutil.copytree(studio_videos, tmp_path / "videos"))


@pytest.fixture(scope="session")
def networks(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the real networks of the default backends (HED's in half precision)."""
    cache = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEGEN_CACHE", str(cache))
        weights.provide("blazepose-detector", shared / "weights" / "pose_detection.tflite")
        weights.provide("blazepose-landmark", shared / "weights" / "pose_landmark_full.tflite")
        weights.provide("selfie", shared / "weights" / "selfie_segmentation.tflite")
    half = torch.load(shared / "weights" / "hed_vgg16_bsds500_fp16.pth", weights_only=True)
    save_file({name: tensor.float() for name, tensor in half.items()}, cache / weights.WEIGHTS["hed"].file)
    return cache
