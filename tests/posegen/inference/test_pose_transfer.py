"""Drawing videos with Deformable GAN, which need not be trained for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.errors import CheckpointError
from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.io.storage import StorageFolder
from posegen.samples import to_image, transfer_inputs
from posegen.skeletons import joint_indices
from posegen.stages import ColorEncoder, DeformableGAN
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
PROGRESS = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)


@pytest.fixture(scope="module")
def clip():
    return render_action("grace", "salute", 4, RenderSettings(size=SIZE))


@pytest.fixture(scope="module")
def content(clip):
    return Person(clip.images[0], clip.keypoints[0], clip.edges[0], clip.masks[0])


@pytest.fixture(scope="module")
def transfer():
    torch.manual_seed(0)
    config = replace(DeformableGAN.presets["tiny"], width=4, discriminator_width=4, dropout=0.5)
    return PoseTransfer(DeformableGAN(config), SIZE, torch.device("cpu"))


def render(transfer, content, poses):
    return np.stack(list(transfer.frames(content, poses)))


def test_a_frame_for_every_pose(transfer, content, clip):
    frames = render(transfer, content, clip.keypoints)
    assert frames.shape == clip.images.shape and frames.dtype == np.uint8
    np.testing.assert_array_equal(render(transfer, content, clip.keypoints), frames)
    np.testing.assert_array_equal(render(transfer, content, clip.keypoints[::-1]), frames[::-1])


def test_frame_is_what_the_stage_renders(transfer, content, clip):
    inputs = transfer_inputs(content.image, content.keypoints, clip.keypoints[2])
    batch = torch.utils.data.default_collate([inputs])
    with torch.no_grad():
        expected = to_image(transfer.stage.generate(batch)[0])
    np.testing.assert_array_equal(render(transfer, content, clip.keypoints[2:3])[0], expected)


def test_frames_come_one_by_one(transfer, content, clip):
    def endless():
        while True:
            yield clip.keypoints[1]

    frames = transfer.frames(content, endless())
    np.testing.assert_array_equal(next(frames), next(frames))


def test_a_pose_without_torso_is_rendered_all_the_same(transfer, content, clip):
    pose = clip.keypoints[1].copy()
    pose[joint_indices(["left_hip", "right_hip"])] = 0
    assert render(transfer, content, pose[None]).shape == (1, *SIZE, 3)


def test_size_of_the_content_is_checked(transfer, content, clip):
    small = replace(content, image=content.image[:64])
    with pytest.raises(ValueError, match=r"content image is \(64, 64\), the run was trained at \(96, 64\)"):
        render(transfer, small, clip.keypoints)


def test_a_run_is_loaded_with_its_size(transfer, content, clip, tmp_path):
    save_checkpoint(StorageFolder(tmp_path / "checkpoints" / "epoch-0001"), transfer.stage, PROGRESS)
    loaded = load_renderer(tmp_path, PoseTransfer, device=torch.device("cpu"))
    assert loaded.size == SIZE and not loaded.stage.training
    poses = clip.keypoints[1:2]
    np.testing.assert_array_equal(render(loaded, content, poses), render(transfer, content, poses))


def test_a_run_of_another_stage_is_refused(tmp_path):
    config = replace(ColorEncoder.presets["tiny"], generator_width=4, encoder_width=4, discriminator_width=4)
    save_checkpoint(StorageFolder(tmp_path / "checkpoints" / "epoch-0001"), ColorEncoder(config), PROGRESS)
    with pytest.raises(CheckpointError, match="of the stage 'color_encoder', expected 'deformable_gan'"):
        load_renderer(tmp_path, PoseTransfer)
