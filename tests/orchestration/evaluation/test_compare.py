"""Comparisons of what a real store holds, and the page that is made of them."""

from __future__ import annotations

import gc
import re
import shutil
import subprocess

import numpy as np
import pytest
from mlflow import MlflowClient

from orchestration.cli import main as cli
from orchestration.evaluation import compare_page
from orchestration.evaluation.compare import compare_runs
from orchestration.evaluation.compare_page import as_study, plot_comparison, write_page
from orchestration.tracking.mirror import sync
from orchestration.tracking.queries import find_runs
from posegen.errors import TrackingError
from tests.support.recorded_runs import begin_run, finish_epoch


@pytest.fixture(scope="module")
def store(new_store, tmp_path_factory):
    """A search of eight trials: one without a value, two stopped early, the others the better the nearer to 10."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        patch.setenv("POSEGEN_CACHE", str(folder / "cache"))
        parent = begin_run(folder / "weights", experiment="posegen-search", parameters={"space": "loss_weights"})
        sync(parent.folder)
        for number, weight in enumerate((10.0, 0.3, 3.0, 30.0, 1.0, 100.0, 7.0, 0.05)):
            trial = begin_run(
                folder / f"weights/trial-{number:04d}",
                experiment="posegen-search",
                parameters={"video_generator.lambda_fm": weight, "video_generator.z_inject": "spade", "seed": number},
                parent=parent,
            )
            value = abs(np.log10(weight) - 1)
            for epoch in (1, 2, 3):
                finish_epoch(trial, epoch, {"val/st_lpips_masked": value + 1 / epoch}, picture="generated")
            if number != 4:
                trial.log_metrics({"objective/lpips": value}, 3, group="objective")
                trial.set_tags({"posegen.state": "pruned" if number in (3, 7) else "complete"})
            trial.finish()
            sync(trial.folder)
        yield folder


def test_the_best_come_first_and_those_stopped_early_last(store):
    found = compare_runs(["weights"])
    assert (found.info.name, found.info.direction, found.without) == ("objective/lpips", "down", 1)
    names = [int(entry.run.name[-1]) for entry in found.entries]
    assert names == [0, 6, 2, 5, 1, 3, 7]
    assert found.varied == ["video_generator.lambda_fm"]
    assert [trial.number for trial in as_study(found).best_trials] == [0]


def test_runs_are_found_by_experiment_name_and_id(store):
    parent = next(run for run in find_runs("posegen-search") if run.name == "weights")
    assert len(compare_runs([parent.run_id]).entries) == 7
    assert len(compare_runs(["posegen-search"]).entries) == 7
    assert len(compare_runs(["posegen-search"], metric="val/st_lpips_masked").entries) == 8
    assert [entry.run.name for entry in compare_runs(["trial-0002"], "val/st_lpips_masked").entries] != []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing"], "has no experiment and no run 'nothing'"),
        (["weights", "--metric", "fid"], "has the metric 'fid', expected one of objective/lpips"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(store, capsys, arguments, complaint):
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", *arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and complaint in said and said.count("\n") == 1


def test_the_command_prints_a_table_and_writes_the_page(store, capsys):
    cli.main(["compare", "weights", "--top", "3", "--out", "pages/weights.html"])
    said = capsys.readouterr().out
    assert "7 runs, lowest objective/lpips first" in said and "trial-0000" in said and "trial-0001" not in said
    page = (store / "pages" / "weights.html").read_text()
    assert "Parallel coordinates" in page and "Importance" in page and "Learning curves" in page
    assert page.count('<img src="data:image/png;base64') == 3
    assert not re.search(r'src="https?:|<link', page)


def test_of_very_many_runs_some_are_plotted(store, monkeypatch):
    found = compare_runs(["weights"])
    plots = {plot.title: plot.explanation for plot in plot_comparison(found)}
    assert not any("evenly by rank" in explanation for explanation in plots.values())
    monkeypatch.setattr(compare_page, "_PLOTTED", 4)
    studies = []
    monkeypatch.setattr(
        compare_page, "as_study", lambda *args, **kw: studies.append(as_study(*args, **kw)) or studies[-1]
    )
    thinned = {plot.title: plot.explanation for plot in plot_comparison(found)}
    assert max(len(study.trials) for study in studies) == 4
    assert thinned["Slices"] == plots["Slices"] + " 4 of the 7 runs, evenly by rank."


def test_cycles_are_not_collected_while_runs_are_read(store, monkeypatch):
    """The collector would go through all objects of MLflow's answer again and again."""
    seen = []

    def search(self, *args, original=MlflowClient.search_runs, **kw):
        seen.append(gc.isenabled())
        return original(self, *args, **kw)

    monkeypatch.setattr(MlflowClient, "search_runs", search)
    find_runs("posegen-search")
    assert seen and not any(seen) and gc.isenabled()


MEASURED = {
    "good": {
        "test/recolor_upper": 0.97,
        "behavior/transfer_target_accuracy": 0.05,
        "behavior/prior_realism_accuracy": 0.52,
        "motion/amplitude": 0.16,
        "val/charm": 2.0,
        "test/psnr": 30.0,
    },
    "fair": {
        "test/recolor_upper": 1.40,
        "behavior/transfer_target_accuracy": 0.30,
        "behavior/prior_realism_accuracy": 0.40,
        "motion/amplitude": 0.30,
        "val/charm": 3.0,
        "test/psnr": 25.0,
    },
    "bad": {
        "test/recolor_upper": 0.02,
        "behavior/transfer_target_accuracy": 0.90,
        "behavior/prior_realism_accuracy": 0.99,
        "motion/amplitude": 0.01,
        "val/charm": 1.0,
        "test/psnr": 20.0,
    },
}


@pytest.fixture(scope="module")
def measured(new_store, tmp_path_factory):
    """Three runs with scores of several protocols."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        patch.setenv("POSEGEN_CACHE", str(folder / "cache"))
        for name, metrics in MEASURED.items():
            run = begin_run(folder / name, experiment="measured", parameters={"lr": len(name)})
            run.log_metrics(metrics, 0, group="test")
            run.finish()
            sync(run.folder)
        yield folder


@pytest.mark.parametrize(
    ("metric", "order"),
    [
        ("test/recolor_upper", "test/recolor_upper nearest to 1 first"),
        ("behavior/transfer_target_accuracy", "lowest behavior/transfer_target_accuracy first"),
        ("behavior/prior_realism_accuracy", "behavior/prior_realism_accuracy nearest to 50 first"),
        ("test/psnr", "highest test/psnr first"),
    ],
)
def test_runs_are_sorted_by_the_distance_to_the_metrics_goal(measured, metric, order):
    found = compare_runs(["measured"], metric)
    assert [entry.run.name for entry in found.entries] == ["good", "fair", "bad"]
    assert found.order == order
    assert as_study(found).best_trial.number == 0


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("motion/amplitude", "is best where it equals that of real data, and is not ranked"),
        ("val/charm", "has no direction, and is not ranked"),
    ],
)
def test_metrics_without_a_goal_are_listed_and_not_ranked(measured, metric, reason, capsys):
    found = compare_runs(["measured"], metric)
    assert [entry.run.name for entry in found.entries] == ["bad", "fair", "good"]  # by name
    cli.main(["compare", "measured", "--metric", metric, "--out", "page.html", "--overwrite"])
    assert f"3 runs, by name: {metric} {reason}" in " ".join(capsys.readouterr().out.split())
    page = (measured / "page.html").read_text()
    body = page[page.index("<body>") :]
    assert f"{metric} {reason}" in body and "Best runs" not in body and "are better" not in body


def test_the_default_is_the_first_ranked_metric_of_an_evaluation(measured, store):
    """Evaluations come before validations, and motion/amplitude is no goal."""
    found = compare_runs(["measured"])
    assert found.info.name == "test/psnr"


def test_values_are_printed_as_the_registry_says(measured, capsys):
    cli.main(
        ["compare", "measured", "--metric", "behavior/prior_realism_accuracy", "--out", "page.html", "--overwrite"]
    )
    out = capsys.readouterr().out
    assert "52.0" in out and "0.52" not in out
    assert "prior: discriminator accuracy, % → 50" in (measured / "page.html").read_text()


def test_what_does_not_exist_is_not_made_by_being_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match=rf"no runs are recorded here: {tmp_path}/mlflow.db is not there"):
        compare_runs(["nobody"])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_a_browser_draws_the_page(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    page = write_page(compare_runs(["weights"]), tmp_path / "page.html")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    drawn = re.findall(r'<svg class="main-svg"', done.stdout)
    assert len(drawn) >= 3
    assert "parcoords" in done.stdout
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "error" in line.lower()]
    assert not errors
