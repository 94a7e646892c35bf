"""One Ray for all tests, and the studio's videos to try pipelines on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.tracking.client import connect
from posegen.datasets.clip_files import RECOLORING_SCHEMA, Clip, ClipInfo, write_clip, write_table
from posegen.datasets.clips import DatasetInfo, save_dataset_info
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip
from tests.support.ray_tests import uses_ray

_NOISE_SIZE, _NOISE_FRAMES = (64, 64), 6
CAST = {"ada": ("bow", "clap", "wave_one_hand"), "bruno": ("bow", "wave_one_hand")}


@pytest.fixture(scope="module")
def ray_session() -> None:
    """A Ray of two CPUs, started as the product starts it, which goes on for all tests that follow and use it."""
    from orchestration.runtime.ray_session import start_ray

    start_ray(num_cpus=2)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the Ray after the last test that uses it: one that idles takes a tenth of a core."""
    if uses_ray(item) and not (nextitem and uses_ray(nextitem)):
        import ray

        ray.shutdown()


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Gives a folder a store of MLflow with nothing in it, and returns its address.

    MLflow needs more than a second to make its tables: it makes them once, and others are copies.
    """
    empty = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{empty}")

    def copy(folder: Path) -> str:
        shutil.copy(empty, folder / empty.name)
        return f"sqlite:///{folder / empty.name}"

    return copy


@pytest.fixture(scope="session")
def studio_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``PERSON/ACTION.mp4`` of two people, 96×64 pixels and ten frames each, with the truth beside them."""
    folder = tmp_path_factory.mktemp("studio")
    for person, actions in CAST.items():
        for action in actions:
            write_studio_clip(render_action(person, action, 10, RenderSettings(size=(96, 64))), folder)
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
    prepare_videos(studio_videos, folder, replace(truth, train_fraction=0.5))
    for scope, region in (("frame", "upper"), ("frame", "lower"), ("clip", "both")):
        recolor_dataset(folder, ColorizeSettings(scope=scope, region=region, recolorings=3, workers=0))
    return folder


def _standing_person() -> np.ndarray:
    """(18, 3) keypoints of somebody who faces the camera."""
    xy = [(32, 10), (32, 16), (26, 16), (24, 26), (23, 34), (38, 16), (40, 26), (41, 34), (28, 36), (28, 47), (28, 58)]
    xy += [(36, 36), (36, 47), (36, 58), (30, 8), (34, 8), (28, 9), (36, 9)]
    return np.array([(x, y, 1.0) for x, y in xy], np.float32)


def _write_noise_clip(folder: StorageFolder, person: str) -> None:
    rng = np.random.default_rng(len(person))
    info = ClipInfo(
        clip_id=f"{person}-wave",
        person=person,
        action="wave",
        fps=25.0,
        source="",
        source_sha256="",
        num_frames=_NOISE_FRAMES,
        size=_NOISE_SIZE,
    )
    images = rng.integers(0, 256, (_NOISE_FRAMES, *_NOISE_SIZE, 3), dtype=np.uint8)
    clip = Clip(
        info=info,
        frames=np.arange(_NOISE_FRAMES, dtype=np.int32),
        times=np.arange(_NOISE_FRAMES) / 25,
        images=images,
        keypoints=np.repeat(_standing_person()[None], _NOISE_FRAMES, axis=0),
        edges=rng.integers(0, 256, (_NOISE_FRAMES, *_NOISE_SIZE), dtype=np.uint8),
        masks=np.full((_NOISE_FRAMES, *_NOISE_SIZE), 255, np.uint8),
    )
    write_clip(folder, clip)
    rows = [(frame, recoloring) for frame in range(_NOISE_FRAMES) for recoloring in range(2)]
    table = pa.table(
        {
            "frame": [frame for frame, _ in rows],
            "variant": [recoloring for _, recoloring in rows],
            "image": [
                encode_png(images[frame] * np.array([1, 1, 1 - recoloring], np.uint8)) for frame, recoloring in rows
            ],
            "upper_ab": [[10.0 * recoloring, 5.0] for _, recoloring in rows],
            "lower_ab": [None for _ in rows],
            "seed": [0 for _ in rows],
        },
        schema=RECOLORING_SCHEMA,
    )
    for kind in ("frame-upper", "clip-both"):
        write_table(folder / "colors" / kind, f"{info.clip_id}.parquet", table)


@pytest.fixture(scope="session")
def noise_clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of three people who stand still, made in no time: noise of 64×64 pixels, painted in two ways."""
    folder = StorageFolder(tmp_path_factory.mktemp("data"))
    for person in ("ann", "bob", "cleo"):
        _write_noise_clip(folder, person)
    splits = {"train": ["ann", "bob"], "test": ["cleo"]}
    save_dataset_info(folder, DatasetInfo(_NOISE_SIZE, {}, {}, split_by="person", splits=splits))
    return str(folder)
