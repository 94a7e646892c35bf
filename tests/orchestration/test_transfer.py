"""`posegen transfer` with a behaviour net, and renderers, of a few steps."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from orchestration import cli
from orchestration.generate import ColorSettings
from orchestration.runs import RunRecord, save_record
from orchestration.transfer import TransferSettings, transfer
from posegen.checkpoint import Progress, save_checkpoint
from posegen.clips import ClipDataset
from posegen.motion.corpus import make_subject, perform
from posegen.motion.editing import Placement, place
from posegen.motion.motion import read_motion, write_motion
from posegen.motion.openpose import h36m_joints
from posegen.samples import EpochLoader
from posegen.stages import Behavior, BehaviorFlow, ShapePosture, Stage
from posegen.stages.pictures import write_picture
from posegen.storage import Folder
from posegen.video import read_video, write_video

STEPS = 20
WINDOW = 12


def train_a_little(stage: type[Stage], config: Stage.Config, data, folder, initialize=None) -> str:
    """A run of some steps."""
    config = stage.adapt(config, data)
    torch.manual_seed(0)
    trained = stage(config)
    if initialize:
        trained.initialize(initialize)
    samples = stage.open_samples(config, data, "train" if data.has("train") else "test")
    trained.begin(samples)
    for batch in EpochLoader(samples, config.batch_size).epoch(0):
        trained.step(batch)
    progress = Progress(epoch=1, step=STEPS, data_fingerprint=data.fingerprint, size=data.frame_size)
    save_checkpoint(Folder(folder) / "checkpoints" / "000001", trained, progress)
    save_record(Folder(folder), RunRecord.of(stage.name, config, str(data.folder), data.fingerprint))
    return str(folder)


@pytest.fixture(scope="module")
def behavior_run(corpus, tmp_path_factory) -> str:
    """A run of the stage behavior on the procedural corpus."""
    config = replace(
        Behavior.presets["tiny"], num_frames=WINDOW, batch_size=8, epoch_size=8 * STEPS, latent_dim=32, lr=3e-3
    )
    return train_a_little(Behavior, config, corpus, tmp_path_factory.mktemp("behavior"))


@pytest.fixture(scope="module")
def shape_run(two_people, tmp_path_factory) -> str:
    """A run of the stage shape_posture on two people of 96×64 pixels."""
    config = replace(ShapePosture.presets["tiny"], width=4, max_width=8, epoch_size=8, lambda_regressor=0.0)
    data = ClipDataset(two_people)
    return train_a_little(ShapePosture, config, data, tmp_path_factory.mktemp("shape"))


def settings_for(behavior="s0/wave", posture=("s1/walk",), **more) -> TransferSettings:
    return TransferSettings(behavior=behavior, posture=posture, **more)


def frames_of(path):
    return read_video(path, size=None).images.astype(int)


def test_without_a_renderer_stick_figures_are_drawn(behavior_run, corpus, tmp_path):
    made = transfer(behavior_run, tmp_path / "x.mp4", settings_for())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.npz", "x.png"]
    frames = frames_of(made.drawn.videos[0])
    assert frames.shape == (WINDOW + 1, 278, 3 * 256, 3)
    assert (frames[0, 30:, 256:512] == frames[-1, 30:, 256:512]).mean() > 0.9  # the posture stays
    motion = read_motion(Folder(tmp_path), "x.npz")
    walk = corpus.read(corpus.find("s1/walk"))
    np.testing.assert_allclose(motion.trans[0], walk.trans[0], atol=1e-4)
    np.testing.assert_allclose(h36m_joints(motion)[0], h36m_joints(walk)[0], atol=0.06)
    assert len(motion) == WINDOW + 1 and motion.fps == corpus.info.fps and motion.label_name == "wave"
    assert motion.meta["behavior"] == "s0/wave" and motion.meta["posture"] == "s1/walk"
