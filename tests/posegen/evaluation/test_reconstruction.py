"""Reconstructions that are perfect, that flicker, and that stand still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.clip_files import Clip, ClipFile, ClipInfo, write_clip
from posegen.errors import CheckpointError
from posegen.evaluation.reconstruction import gather, score_clip, structural_measures
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, DeformableGAN, EndToEnd, ShapePosture, VideoGenerator
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
NUM_FRAMES = 5


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> ClipFile:
    rendered = render_action("grace", "salute", NUM_FRAMES, RenderSettings(size=SIZE))
    info = ClipInfo(
        clip_id="clip",
        person="grace",
        action="salute",
        fps=25.0,
        source="",
        source_sha256="",
        num_frames=NUM_FRAMES,
        size=SIZE,
    )
    clip = Clip(
        info=info,
        frames=np.arange(NUM_FRAMES, dtype=np.int32),
        times=np.arange(NUM_FRAMES) / 25,
        images=rendered.images,
        keypoints=rendered.keypoints,
        edges=rendered.edges,
        masks=rendered.masks,
    )
    folder = StorageFolder(tmp_path_factory.mktemp("data"))
    write_clip(folder, clip)
    return ClipFile(folder, "clip")


class Replay:
    """A renderer that draws what it is told to."""

    size, device = SIZE, torch.device("cpu")

    def __init__(self, images: np.ndarray):
        self.images = images

    def frames(self, content, poses):
        assert len(poses) == len(self.images)
        return iter(self.images)


def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


def score(file: ClipFile, images: np.ndarray) -> dict[str, float]:
    measures = {**structural_measures(SIZE), "plain": distance}
    scores, clip, drawn = score_clip(Replay(images), file, measures, perceptual=["plain"])
    assert scores.num_frames == NUM_FRAMES - 1 and len(clip) == len(drawn) == NUM_FRAMES
    return scores.means


def test_a_perfect_reconstruction(file):
    means = score(file, file.read().images)
    assert means["ssim"] == pytest.approx(1) and means["plain"] == 0 and means["t_plain"] == 0
    assert means["flicker"] == means["flicker_real"] > 0  # the poses do not explain everything


def test_frames_that_flicker(file):
    """Every other frame is lighter by a twentieth: the background alone says so to every pair."""
    clip = file.read()
    light = np.array([0, 13, 0, 13, 0])[:, None, None, None]
    means = score(file, (clip.images // 2 + light).astype(np.uint8))
    still = score(file, clip.images // 2)
    assert means["flicker"] == pytest.approx(13 / 255, rel=0.15)
    assert still["flicker"] < 0.2 * means["flicker"]
    assert means["flicker_real"] == still["flicker_real"]
    assert means["t_plain"] > 5 * still["t_plain"]


def test_a_picture_that_stands_still_is_not_like_a_moving_one(file):
    clip = file.read()
    means = score(file, np.repeat(clip.images[:1], NUM_FRAMES, axis=0))
    assert means["t_plain"] == pytest.approx(np.abs(np.diff(clip.images / 255, axis=0)).mean(), rel=1e-3)


def test_only_the_person_counts_where_masked(file):
    clip = file.read()
    images = clip.images.copy()
    images[clip.masks == 0] = 0
    means = score(file, images)
    assert means["plain_masked"] == 0 < means["plain"]
    assert means["ssim_masked"] == pytest.approx(1) and means["ssim"] < 0.9


def test_the_first_frame_is_no_reconstruction(file):
    images = file.read().images.copy()
    images[0] = 255 - images[0]
    means = score(file, images)
    assert means["plain"] == 0 and means["ssim"] == pytest.approx(1)
    assert means["flicker"] > means["flicker_real"]  # but it is seen


def test_gather_keeps_what_is_known():
    scores = [{"a": 1.0, "b": float("nan")}, {"a": 2.0, "c": float("inf")}, {"b": 3.0}]
    assert gather(scores) == {"a": [1.0, 2.0], "b": [3.0]}


@pytest.mark.parametrize(
    ("stage", "changes", "renderer"),
    [
        (VideoGenerator, {"generator_width": 4, "num_blocks": 1, "encoder_width": 4}, VideoSynthesizer),
        (EndToEnd, {"generator_width": 4, "num_blocks": 1, "encoder_width": 4}, VideoSynthesizer),
        (DeformableGAN, {"width": 4, "discriminator_width": 4}, PoseTransfer),
        (ShapePosture, {"width": 4, "max_width": 4, "spatial_size": SIZE}, PoseTransfer),
    ],
)
def test_every_stage_that_draws_videos_is_loaded_and_scored(stage, changes, renderer, file, tmp_path):
    config = replace(stage.presets["tiny"], **changes)
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    save_checkpoint(StorageFolder(tmp_path / "checkpoints" / "epoch-0001"), stage(config), progress)
    loaded = load_renderer(tmp_path, device=torch.device("cpu"))
    assert isinstance(loaded, renderer)
    scores, _, _ = score_clip(loaded, file, structural_measures(SIZE))
    assert scores.means.keys() == {"ssim", "ssim_masked", "flicker", "flicker_real"}
    assert np.isfinite(list(scores.means.values())).all()


def test_a_stage_that_draws_none_is_refused(tmp_path):
    config = replace(ColorEncoder.presets["tiny"], generator_width=4, encoder_width=4, discriminator_width=4)
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    save_checkpoint(StorageFolder(tmp_path / "checkpoints" / "epoch-0001"), ColorEncoder(config), progress)
    with pytest.raises(CheckpointError, match="of the stage 'color_encoder', expected"):
        load_renderer(tmp_path)
