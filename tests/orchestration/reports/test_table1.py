"""The paper's table and figures, each with one command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.cli import main as cli
from orchestration.evaluation.records import Score
from orchestration.reports.table1 import REPORT_EXPERIMENT, Table1, table_rows
from orchestration.training.recipes import recipe
from posegen.errors import RunError
from posegen.io.video_reader import read_video
from posegen.metrics.statistics import PairedTest
from posegen.stages import STAGES

LITTLE = {"num_epochs": 1, "epoch_size": 8, "decay_epochs": 1, "num_blocks": 1, "num_local_blocks": 1, "width": 4}
LITTLE |= {f"{network}_width": 4 for network in ("generator", "encoder", "restorer", "discriminator")}
LITTLE |= {"restorer_blocks": 1}  # as many as num_blocks of the restorer's own stage


@pytest.fixture(scope="module")
def place(new_store: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory):
    """A working directory with presets that take no time, and all that is trained in it."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        for stage in STAGES.values():
            preset = stage.presets["tiny"]
            known = {name: value for name, value in LITTLE.items() if hasattr(preset, name)}
            patch.setitem(stage.presets, "tiny", replace(preset, **known))
        yield folder


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    cli.main(shlex.split(line))
    return capsys.readouterr().out


def recorded(place: Path) -> list[Run]:
    """What MLflow has of the reports, the first first."""
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    experiment = client.get_experiment_by_name(REPORT_EXPERIMENT)
    return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])


def test_table1_trains_what_is_missing_and_compares(dataset, place, capsys, monkeypatch):
    line = f"report table1 {dataset} --preset tiny --workers 0 --perceptual"
    out = run(line, capsys)
    table = json.loads((place / "runs/report/table1.json").read_text())
    assert table["scores"].keys() == {"deformable_gan", "end_to_end", "no_restoration", "proposed"}
    assert table["tests"].keys() == {"deformable_gan", "end_to_end", "no_restoration"}
    assert {"ssim", "ssim_masked", "flicker"} <= table["scores"]["proposed"].keys()
    assert table["num_frames"] == 9 * table["num_clips"] == 9 * len(table["clips"])
    means = [scores["proposed"]["ssim"] for scores in table["clips"].values()]
    assert table["scores"]["proposed"]["ssim"]["mean"] == pytest.approx(np.mean(means))
    assert "frames of 96×64" in out and "SSIM stands for MS-SSIM" in out and "(backend truth)" in out
    assert "MS-SSIM, masked ↑ (paper, other data): Deformable GAN 0.8975, Proposed 0.9146" in out
    assert len(list((place / "runs/report/clips").glob("*.png"))) == table["num_clips"]
    report, *children = recorded(place)
    assert report.info.status == "FINISHED" and "test/proposed/ssim" in report.data.metrics
    assert {child.info.run_name for child in children} == set(recipe(list(table["scores"])))
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {report.info.run_id}
    for stage in STAGES.values():
        monkeypatch.setattr(stage, "step", None)  # nothing is trained again
    assert "Table 1" in run(f"{line} --max-clips 1 --out again", capsys)
    assert "[nan" not in (place / "again/table1.md").read_text()  # one clip has no interval


def test_failed_run_ends_the_report(dataset, place, capsys, monkeypatch):
    def fail(*arguments: object) -> None:
        raise RunError("no weights here")

    monkeypatch.setattr(STAGES["color_encoder"], "step", fail)
    with pytest.raises(SystemExit) as stop:
        run(f"report figure4 {dataset} --preset tiny --workers 0 --runs broken", capsys)
    assert stop.value.code == 2 and "no weights here" in capsys.readouterr().err
    status = {run.info.run_name: run.info.status for run in recorded(place)}
    assert status["figure4"] == status["upper_encoder"] == "FAILED"


@pytest.mark.parametrize(("options", "complaint"), [("--methods", "got no methods"), ("--runs s3://b/r", "--out")])
def test_settings_that_cannot_work_are_refused(dataset, options, complaint, capsys):
    with pytest.raises(SystemExit) as stop:
        run(f"report table1 {dataset} {options}", capsys)
    assert stop.value.code == 2 and complaint in capsys.readouterr().err


def test_figure2_shows_every_kind_of_colouring(dataset, place, capsys):
    run(f"report figure2 {dataset} --clips 2 --recolorings 2", capsys)
    # Two rows of the frame, two of each garment and the one variant of both that there is, all twice as large.
    assert cv2.imread("runs/report/figure2.png").shape == (2 * (20 + 2 * 96 + 2), 7 * (2 * 64 + 2) - 2, 3)


def test_figure4_goes_from_one_colour_to_another(dataset, place, capsys):
    run(f"report figure4 {dataset} --preset tiny --workers 0 --videos 2 --key-frames 5", capsys)
    for number in (1, 2):
        assert read_video(Path(f"runs/report/figure4-{number}.mp4"), size=None).images.shape == (10, 96, 64, 3)


def test_figure4_takes_the_run_that_is_named(dataset, place, capsys):
    run(f"report figure4 {dataset} runs/proposed --videos 1 --out named", capsys)
    by_default = read_video(Path("runs/report/figure4-1.mp4"), size=None).images
    assert np.array_equal(read_video(Path("named/figure4-1.mp4"), size=None).images, by_default)


def test_figure5_has_a_number_under_each_map(dataset, place, capsys):
    out = run(f"report figure5 {dataset} --preset tiny --workers 0 --codes 40", capsys)
    facts = json.loads((place / "runs/report/figure5.json").read_text())
    assert facts["decoupled"]["num_codes"] == facts["end to end"]["num_codes"] == 40
    assert all(fact["probe_r2"] <= 1 for fact in facts.values())
    assert "decoupled: R² = " in out and "end to end: R² = " in out
    assert cv2.imread("runs/report/figure5.png").std() > 0


def test_unknown_run_is_refused(dataset, place, capsys):
    with pytest.raises(SystemExit) as stop:
        run(f"report figure5 {dataset} --decoupled nowhere --end-to-end nowhere", capsys)
    assert stop.value.code == 2 and "nowhere" in capsys.readouterr().err


def test_table_puts_the_papers_figures_beside():
    score = Score(0.9, (0.8, 1.0))
    metrics = {"ms_ssim": score, "ms_ssim_masked": score, "lpips_masked": score}
    table = Table1(
        dataset="data",
        split="test",
        size=(384, 256),
        mask="truth",
        num_clips=2,
        num_frames=18,
        runs={},
        scores={"deformable_gan": metrics, "proposed": metrics},
        tests={"deformable_gan": {"ms_ssim_masked": PairedTest(0.02, 0.01, 0.03, 0.0002)}},
        clips={},
        weights={},
        left_out={},
    )
    heads, *rows = table_rows(table)
    assert heads == ["method", "MS-SSIM, masked ↑", "LPIPS, masked ↓", "MS-SSIM ↑"]
    assert rows[0][1] == "0.9000 [0.8000, 1.0000]"
    paper = next(row for row in rows if row[0].startswith("Proposed (paper, other data)"))
    assert paper[1:] == ["0.9146", "0.0590", ""]
    assert rows[-1][1] == "+0.0200 [+0.0100, +0.0300], p = 0.0002"
