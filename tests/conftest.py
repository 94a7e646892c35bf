"""What all tests share."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clips import DatasetInfo, save_dataset_info
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.io.storage import StorageFolder
from posegen.samples import EpochLoader
from posegen.stages import Recognition, VideoGenerator
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, render_action
from posegen.weights import download as weights
from posegen.weights.registry import WEIGHTS
from tests.support.corpus_actions import CORPUS_ACTIONS
from tests.support.ray_tests import make_scheduler, uses_ray

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start
os.environ["COLUMNS"] = "200"  # lines of tables are whole
for name in ("CI", "BUILD_NUMBER"):  # with them pytest takes minutes to show how long values differ
    os.environ.pop(name, None)
torch.set_num_threads(1)  # as the processes that tests start have: equal to the last bit, and a process has one core
_TRUTH = {kind: {"name": "truth"} for kind in ("pose", "edges", "mask")}
_SMALL = (96, 64)  # pixels
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that share a Ray first: it is stopped after the last of them."""
    items.sort(key=lambda item: not uses_ray(item))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Give all tests on Ray to one process, which starts one; every other file goes to any."""
    return make_scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and footage that developers have beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"real weights and footage are not here: no folder {SHARED.name!r} beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of parity numbers."""
    return Path(__file__).parent / "fixtures"


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
    save_file({name: tensor.float() for name, tensor in half.items()}, cache / WEIGHTS["hed"].file)
    return cache


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> MotionDataset:
    """The procedural corpus of five people, four of them to learn from, who do twelve actions each."""
    folder = StorageFolder(tmp_path_factory.mktemp("corpus"))
    people = [make_subject(number) for number in range(5)]
    motions = (
        NamedMotion(perform(action, person), f"s{person.number}", action, "corpus")
        for action in CORPUS_ACTIONS
        for person in people
    )
    write_motions(folder, motions, settings={})
    return MotionDataset(folder)


@pytest.fixture(scope="session")
def recognizer_run(corpus: MotionDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a GRU that has learned the corpus for some seconds."""
    settings = Recognition.Config(lr=5e-3, num_frames=25, batch_size=16, epoch_size=160 * 16)
    config = Recognition.adapt(settings, corpus)
    torch.manual_seed(0)
    stage = Recognition(config)
    for batch in EpochLoader(stage.open_samples(config, corpus, "train"), config.batch_size).epoch(0):
        stage.step(batch)
    stage.after_validation({})
    folder = tmp_path_factory.mktemp("recognizer")
    save_checkpoint(
        StorageFolder(folder),
        stage,
        TrainingProgress(epoch=1, step=160, data_fingerprint=corpus.fingerprint, size=None),
    )
    return folder


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of the stage video_generator that knows colours but was not trained to draw, for frames of 96×64."""
    torch.manual_seed(0)
    config = replace(VideoGenerator.presets["tiny"], generator_width=4, num_blocks=1, encoder_width=4)
    stage = VideoGenerator(config)
    lab = torch.rand(200, 3) * torch.tensor([100.0, 160, 160]) - torch.tensor([0.0, 80, 80])
    for codebook in stage.codebooks.values():
        codebook.fit(lab @ torch.randn(3, 4) / 50, lab)
    folder = StorageFolder(tmp_path_factory.mktemp("run"))
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=_SMALL)
    save_checkpoint(folder / "checkpoints" / "000001", stage, progress)
    return str(folder)


@pytest.fixture(scope="session")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The studio's grace, who bows and squats, and luis, whose clip is shorter: 96×64 pixels, nothing painted."""
    folder = StorageFolder(tmp_path_factory.mktemp("data"))
    for person, action, length in (("grace", "bow", 6), ("grace", "squat", 6), ("luis", "bow", 4)):
        clip = render_action(person, action, length, RenderSettings(size=_SMALL))
        info = ClipInfo(
            clip_id=f"{person}-{action}-0",
            person=person,
            action=action,
            fps=25.0,
            source="",
            source_sha256="",
            num_frames=length,
            size=_SMALL,
        )
        times = np.arange(length) / 25
        frames = np.arange(length, dtype=np.int32)
        write_clip(folder, Clip(info, frames, times, clip.images, clip.keypoints, clip.edges, clip.masks))
    save_dataset_info(folder, DatasetInfo(_SMALL, {}, _TRUTH, "action", {"train": [], "test": ["bow", "squat"]}))
    return str(folder)
