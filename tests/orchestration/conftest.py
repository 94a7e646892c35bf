"""One Ray for all tests, and the studio's videos to try pipelines on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

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
