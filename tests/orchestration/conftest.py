"""One Ray for all tests, and the studio's videos to try pipelines on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.colorize import ColorizeSettings, colorize
from orchestration.prepare import PrepareSettings, prepare
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
def dataset(studio_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The studio's videos as a dataset with all its colours."""
    folder = str(tmp_path_factory.mktemp("dataset") / "data")
    truth = PrepareSettings(size=(96, 64), pose="truth", edges="truth", mask="truth", crop="none", workers=0)
    prepare(studio_videos, folder, replace(truth, train_fraction=0.5))
    for scope, region in (("frame", "upper"), ("frame", "lower"), ("clip", "both")):
        colorize(folder, ColorizeSettings(scope=scope, region=region, variants=3, workers=0))
    return folder
