"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.io.storage import StorageFolder
from posegen.samples import EpochLoader
from posegen.stages import Recognition
from posegen.synthetic.motions import make_subject, perform
from posegen.weights import download as weights
from posegen.weights.registry import WEIGHTS
from tests.support.corpus_actions import CORPUS_ACTIONS
from tests.support.ray_tests import group_tests

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start
os.environ["COLUMNS"] = "200"  # lines of tables are whole
for name in ("CI", "BUILD_NUMBER"):  # with them pytest takes minutes to show how long values differ
    os.environ.pop(name, None)
torch.set_num_threads(1)  # as the processes that tests start have: equal to the last bit, and a process has one core
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has all tests on Ray, and starts one Ray; it is stopped after the last of them."""
    group_tests(items)


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
    settings = Recognition.Config(lr=5e-3, num_frames=25, batch_size=16, epoch_size=90 * 16)
    config = Recognition.adapt(settings, corpus)
    torch.manual_seed(0)
    stage = Recognition(config)
    for batch in EpochLoader(stage.open_samples(config, corpus, "train"), config.batch_size).epoch(0):
        stage.step(batch)
    stage.after_validation({})
    folder = tmp_path_factory.mktemp("recognizer")
    save_checkpoint(
        StorageFolder(folder), stage, TrainingProgress(epoch=1, step=90, data_fingerprint=corpus.fingerprint, size=None)
    )
    return folder
