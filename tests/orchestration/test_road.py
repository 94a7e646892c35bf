"""The whole road on the studio, as the demo walks it, with a small share of its training."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from orchestration.cli import main as cli
from orchestration.cli.report import ConsoleOutput
from orchestration.reports.demo import DEMO_EXPERIMENT, DemoSettings, demo
from posegen.datasets.clips import ClipDataset
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image, read_video
from posegen.stages import VideoGenerator

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 6  # of a video


@pytest.fixture(scope="module")
def made(new_store, tmp_path_factory):
    """A demo with short videos, two epochs of the generator and 3 % of each, in this process."""
    folder = tmp_path_factory.mktemp("demo")
    output = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        patch.setitem(VideoGenerator.presets, "tiny", replace(VideoGenerator.presets["tiny"], num_epochs=2))
        settings = DemoSettings(frames=FRAMES, photo_frames=2, effort=0.03, workers=0)
        demo(folder / "out", settings, ConsoleOutput(Console(file=output, width=200)))
        yield folder, output.getvalue()


def test_demo_says_what_it_made(made):
    folder, output = made
    assert (
        "Done." in output
        and "minutes in all" in output
        and "swapped codes: of the way to the other colour went upper garment" in output
    )
    assert output.index("photo-colors.mp4") < output.index("2/7 studio")  # before anything is trained
    for name in (
        "photo-colors.mp4",
        "photo-sheet.png",
        "colors.mp4",
        "contact-sheet.png",
        "runs/video-generator/evaluation",
    ):
        assert (folder / "out" / name).exists() and name in output


def test_video_has_a_frame_for_every_pose(made):
    folder, _ = made
    footage = read_video(folder / "out" / "colors.mp4", size=None)
    assert footage.images.shape == (3 * FRAMES, 384, 256, 3)  # all poses, three times


def test_everything_is_in_mlflow(made):
    folder, _ = made
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name(DEMO_EXPERIMENT)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"demo", "upper-encoder", "lower-encoder", "video-generator"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    video = runs["video-generator"]
    assert video.data.tags["mlflow.parentRunId"] == runs["demo"].info.run_id
    assert {"train/l1", "val/psnr", "test/ssim", "test/recolor_upper"} <= video.data.metrics.keys()
    assert video.data.params["z_inject"] == "spade"
    artifacts = {file.path for file in client.list_artifacts(video.info.run_id)}
    assert {"images", "evaluation"} <= artifacts
    assert {file.path for file in client.list_artifacts(runs["demo"].info.run_id)} == {
        "photo.png",
        "photo-colors.mp4",
        "photo-sheet.png",
        "colors.mp4",
        "contact-sheet.png",
    }


def test_evaluation_names_its_protocol(made):
    folder, _ = made
    evaluation = json.loads((folder / "out/runs/video-generator/evaluation/evaluation.json").read_text())
    basis = evaluation["basis"]
    assert evaluation["protocol"] == "video" and basis["size"] == [96, 64] and basis["split"] == "test"
    assert (
        basis["num_frames"] == 4 * (FRAMES - 1)
        and "ssim" in evaluation["scores"]
        and "ms_ssim" not in evaluation["scores"]
    )


def test_generate_by_hand(made, monkeypatch, capsys):
    folder, _ = made
    monkeypatch.chdir(folder)
    line = "generate out/runs/video-generator --content grace/squat --poses elena/squat --upper #2a6fdb --out x.mp4"
    cli.main(line.split())
    out = capsys.readouterr().out
    assert f"{FRAMES} frames in x.mp4" in out and "upper: #2a6fdb" in out
    assert (folder / "x.sheet.png").exists()


def test_photo_gives_the_colour(made, monkeypatch, capsys):
    folder, _ = made
    monkeypatch.chdir(folder)

    clip = ClipDataset(str(folder / "out/dataset")).clips[0]
    write_picture(folder / "photo.png", clip.image(0))
    line = "generate out/runs/video-generator --content grace/squat --poses grace/squat --lower photo.png --out y.mp4"
    cli.main(line.split())
    assert "lower: as in photo.png" in capsys.readouterr().out


def test_dataset_of_another_size_is_refused(made, monkeypatch, capsys):
    folder, _ = made
    monkeypatch.chdir(folder)
    settings = "--size 64x64 --pose truth --edges truth --mask truth --workers 0"
    cli.main(f"prepare out/videos small {settings}".split())
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", "out/runs/video-generator", "--dataset", "small"])
    assert stop.value.code == 2
    assert "small has frames of (64, 64), the run was trained at (96, 64)" in capsys.readouterr().err


def test_a_stage_that_renders_no_videos_is_measured_by_batches(made, monkeypatch, capsys):
    folder, _ = made
    monkeypatch.chdir(folder)
    cli.main(["evaluate", "out/runs/upper-encoder"])
    out = capsys.readouterr().out
    assert "mean absolute error" in out and "samples of the test split" in out
    record = json.loads((folder / "out/runs/upper-encoder/evaluation/evaluation.json").read_text())
    assert record["protocol"] == "batches" and record["scores"].keys() == {"l1", "kl", "sensitivity", "active_units"}


def test_checkpoint_of_another_stage_is_refused(made, monkeypatch, capsys):
    folder, _ = made
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", "out/runs/upper-encoder", "--swaps", "1"])
    assert stop.value.code == 2
    assert "color_encoder is measured with --split alone" in capsys.readouterr().err


def test_python_of_the_readme_runs(made, monkeypatch):
    folder, _ = made
    monkeypatch.chdir(folder)
    write_picture(folder / "photo.jpg", read_image(folder / "out" / "photo.png", size=None).images[0])
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec(compile(block[1], "README.md", "exec"), {})
    assert len(read_video(folder / "teal.mp4", size=None).images) == 50 and (folder / "colors.png").is_file()
