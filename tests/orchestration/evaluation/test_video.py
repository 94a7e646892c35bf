"""Runs of every stage that draws videos are measured, and their scores are told so that they can be read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from orchestration.cli import main as cli
from orchestration.cli.console import console
from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.evaluation import video
from orchestration.evaluation.video import EvaluateSettings, evaluate_video
from orchestration.tracking.queries import find_runs
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.clip_files import Clip, write_clip
from posegen.datasets.clips import ClipDataset
from posegen.errors import DatasetError
from posegen.evaluation.metric_registry import metric_info
from posegen.io.storage import StorageFolder
from posegen.parallel import one_thread
from posegen.stages import DeformableGAN, EndToEnd, ShapePosture, VideoGenerator
from tests.support.recorded_runs import begin_run

SIZE = (96, 64)
SMALL = {"generator_width": 4, "num_blocks": 1, "encoder_width": 4}
STAGES = {"video_generator": (VideoGenerator, SMALL), "end_to_end": (EndToEnd, SMALL)}
WITHOUT_COLOUR = {
    "deformable_gan": (DeformableGAN, {"width": 4, "discriminator_width": 4}),
    "shape_posture": (ShapePosture, {"width": 4, "max_width": 4, "spatial_size": SIZE}),
}
STAGES |= WITHOUT_COLOUR
NO_WEIGHTS = EvaluateSettings(perceptual=(), swaps=1)
COLOUR = {f"{name}_{region}" for name in ("recolor", "hit", "texture") for region in ("upper", "lower")}
COLOUR |= {"leakage_other", "leakage_skin", "background_delta_e", "code_sensitivity"}


@pytest.fixture(scope="module")
def plain(studio_videos: Path, tmp_path_factory) -> str:
    """A dataset without painted clips."""
    folder = str(tmp_path_factory.mktemp("plain") / "data")
    truth = PrepareSettings(size=SIZE, pose="truth", edges="truth", mask="truth", crop="none", workers=0)
    prepare_videos(studio_videos, folder, replace(truth, train_fraction=0.5))
    return folder


@pytest.fixture(scope="module")
def dataset(studio_videos: Path, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("painted") / "data")
    truth = PrepareSettings(size=SIZE, pose="truth", edges="truth", mask="truth", crop="none", workers=0)
    prepare_videos(studio_videos, folder, replace(truth, train_fraction=0.5))
    recolor_dataset(folder, ColorizeSettings(scope="clip", region="both", recolorings=3, workers=0))
    return folder


@pytest.fixture(autouse=True)
def store(new_store, tmp_path, monkeypatch) -> MlflowClient:
    uri = new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(tracking_uri=uri)


def write_run(folder: Path, stage: str) -> StorageFolder:
    """A run that has not learned anything."""
    torch.manual_seed(0)
    kind, changes = STAGES[stage]
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    run = StorageFolder(folder / stage)
    save_checkpoint(run / "checkpoints" / "epoch-0001", kind(replace(kind.presets["tiny"], **changes)), progress)
    return run


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_that_draws_videos_is_measured(stage, dataset, tmp_path):
    result = evaluate_video(str(write_run(tmp_path, stage)), dataset, NO_WEIGHTS)
    scores = {"ssim", "ssim_masked", "flicker", "flicker_real"}
    scores |= {"own_color_upper", "own_color_lower", "whole_limbs", "ghosts"}
    assert result.scores.keys() == (scores if stage in WITHOUT_COLOUR else scores | COLOUR)
    told = {"colour": f"{stage} renders without colour codes"} if stage in WITHOUT_COLOUR else {}
    assert result.left_out == told
    written = json.loads((tmp_path / stage / "evaluation/evaluation.json").read_text())
    assert written["scores"].keys() == result.scores.keys()
    for score in result.scores.values():
        # A few swaps say nothing of a garment that one of the two clips hides.
        low, high = score.interval or (score.mean, score.mean)
        assert low <= score.mean <= high


def test_clips_in_processes_have_the_same_scores(dataset, tmp_path, monkeypatch):
    run = str(write_run(tmp_path, "video_generator"))
    found = []
    for processes in (0, 2):
        monkeypatch.setattr(video, "num_processes", lambda *_, processes=processes: processes)
        with one_thread():
            found.append(evaluate_video(run, dataset, NO_WEIGHTS))
    here, there = found
    assert here.details == there.details and here.scores == there.scores and here.left_out == there.left_out
    assert len(here.details["clips"]) > 1


def test_scores_are_filed_with_the_run(dataset, tmp_path, store):
    run = write_run(tmp_path, "video_generator")
    begin_run(Path(str(run)))
    result = evaluate_video(str(run), dataset, NO_WEIGHTS)
    [recorded] = find_runs(str(run))
    metrics = recorded.metrics
    means = {f"test/{name}": score.mean for name, score in result.scores.items()}
    assert {name: x for name, x in metrics.items() if not name.endswith((".low", ".high"))} == pytest.approx(means)
    assert metrics["test/ssim.low"] <= metrics["test/ssim"] <= metrics["test/ssim.high"]


def test_clips_that_are_not_painted_have_no_scores_of_colour(plain, tmp_path):
    run = str(write_run(tmp_path, "video_generator"))
    result = evaluate_video(run, plain, NO_WEIGHTS)
    assert not COLOUR & result.scores.keys() and "posegen colorize" in result.left_out["colour"]
    assert not evaluate_video(run, plain, replace(NO_WEIGHTS, swaps=0)).left_out


def test_clips_of_a_single_frame_are_passed_over(plain, tmp_path):
    """Photos of somebody who was photographed once: there is nothing that they could be drawn as."""
    folder = StorageFolder(shutil.copytree(plain, tmp_path / "photos"))
    first, *others = ClipDataset(folder).split("test")
    clip = first.read()
    fields = {name: getattr(clip, name)[:1] for name in ("frames", "times", "images", "keypoints", "edges", "masks")}
    write_clip(folder, Clip(info=replace(clip.info, num_frames=1), **fields))
    run = str(write_run(tmp_path, "shape_posture"))
    result = evaluate_video(run, str(folder), NO_WEIGHTS)
    assert [clip["clip_id"] for clip in result.details["clips"]] == [other.clip_id for other in others] != []
    assert result.left_out["every clip of a single frame"] == "1 have no other frame to reconstruct"
    for other in others:
        folder.delete(f"clips/{other.clip_id}.parquet")
    with pytest.raises(DatasetError, match="has no clip of two frames or more in the split 'test'"):
        evaluate_video(run, str(folder), NO_WEIGHTS)


def test_distances_that_are_at_hand_also_tell_of_time(dataset, tmp_path, monkeypatch):
    class Distance(torch.nn.Module):
        @classmethod
        def pretrained(cls):
            return cls()

        def forward(self, a, b):
            return (a - b).abs().mean(dim=(1, 2, 3))

    monkeypatch.setitem(evaluate_video.__globals__["PERCEPTUAL"], "st_lpips", (Distance, "st_lpips"))
    monkeypatch.setattr("posegen.weights.download.identity", lambda name: "0" * 64)
    settings = replace(NO_WEIGHTS, perceptual=("st_lpips",), swaps=0, max_clips=1)
    scores = evaluate_video(str(write_run(tmp_path, "deformable_gan")), dataset, settings).scores
    assert list(scores) == [
        *("ssim", "ssim_masked", "st_lpips", "st_lpips_masked"),
        *("own_color_upper", "own_color_lower", "whole_limbs", "ghosts"),
        *("flicker", "flicker_real", "t_st_lpips"),
    ]


def test_the_table_groups_scores_and_says_what_is_good(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console, "width", 140)
    run = write_run(tmp_path, "video_generator")
    cli.main(f"evaluate {run} --dataset {dataset} --swaps 1 --perceptual".split())
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    by_name = {row[0]: row for row in cells if row and row[0]}
    heads = list(by_name)
    assert [head for head in heads if head in ("structure", "appearance", "time", "colour")] == [
        "structure", "appearance", "time", "colour",
    ]  # fmt: skip
    assert heads.index("time") < heads.index("flicker of the real clips") < heads.index("colour")
    assert heads.index("colour") < heads.index("change of what was not recoloured, other garment")
    hit = by_name["distance to the target colour, upper garment"]
    assert hit[1] == "↓" and hit[-1] == "ΔE2000"
    assert by_name["colour reached with a swapped code, lower garment"][1] == "→ 1"
    assert by_name["flicker of the real clips"][1] == ""


def test_colours_asked_for_have_means_and_medians(dataset, tmp_path, monkeypatch):
    def find(synthesizer, content, z, colors):
        return z + 1, {}

    monkeypatch.setattr("posegen.evaluation.color_control.match_colors", find)
    run = write_run(tmp_path, "video_generator")
    record = evaluate_video(str(run), dataset, replace(NO_WEIGHTS, asked=2, max_clips=1))
    asked = {name for name in record.scores if name.startswith("asked_")}
    assert {"asked_hit_upper", "asked_hit_median", "asked_background_delta_e_median"} <= asked
    assert not {"asked_recolor_upper", "asked_texture_upper"} & asked
    hits = [one["hit"] for one in next(iter(record.details["asked"].values()))]
    assert len(hits) >= 2 and record.scores["asked_hit_median"].mean == pytest.approx(np.median(hits))
    assert {metric_info(f"test/{name}").group for name in asked} == {"colour asked for"}
