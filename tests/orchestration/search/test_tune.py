"""A search on a real Ray, with runs of a second each."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestration.cli import main as cli
from orchestration.evaluation.compare import compare_runs
from orchestration.search.settings import TuneSettings
from orchestration.search.tune import tune
from orchestration.tracking.queries import children_of, find_runs
from posegen.io.storage import StorageFolder

QUICK = (
    "color_encoder.num_epochs=1",
    "color_encoder.epoch_size=8",
    "video_generator.num_epochs=3",
    "video_generator.epoch_size=8",
    "video_generator.decay_epochs=1",
    *(f"color_encoder.{name}_width=4" for name in ("generator", "discriminator")),
    *(f"video_generator.{name}_width=4" for name in ("generator", "encoder", "discriminator")),
    "video_generator.num_blocks=1",
    "video_generator.num_local_blocks=1",
)


@pytest.fixture(scope="module")
def place(new_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", new_store(folder))
        yield folder


def settings(**changes) -> TuneSettings:
    plain = dict(preset="tiny", set=QUICK, trials=3, objectives=("l1",), grace=1, workers=0)
    return TuneSettings(**plain | changes)


@pytest.fixture(scope="module")
def found(dataset, place, ray_session):
    """Three trials, two at a time, that differ in the size of the codes; two of them share an encoder."""
    heard = []
    result = tune("latent_sizes", dataset, settings(), on_trial=lambda tried, best: heard.append(tried.number))
    assert sorted(heard) == [0, 1, 2]
    return result


@pytest.mark.ray
def test_every_trial_is_told_of(found, place):
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert {trial.state for trial in found.trials} <= {"complete", "pruned"} and found.count("complete")
    best = found.best[0]
    assert best.epochs == 3 and best.values["l1"] == min(t.values["l1"] for t in found.trials if t.state == "complete")
    assert StorageFolder(best.run).exists("checkpoints/epoch-0003")


@pytest.mark.ray
def test_equal_encoders_are_trained_once(found, place):
    distinct = {
        (region, trial.point[f"video_generator.{region}_latent_dim"])
        for trial in found.trials
        for region in ("upper", "lower")
    }
    assert sum(trial.trained for trial in found.trials) == len(distinct) < 2 * len(found.trials)
    assert sum(trial.trained + trial.reused for trial in found.trials) == 2 * len(found.trials)
    assert len(StorageFolder(place / "runs" / "stages").folders()) == len(distinct)


@pytest.mark.ray
def test_mlflow_has_search_trials_and_stages(found, place):
    trials = find_runs("latent_sizes")
    assert {run.name for run in trials} == {f"trial-000{number}" for number in range(3)}
    assert {run.tags["posegen.state"] for run in trials} <= {"complete", "pruned"}
    for run in trials:
        assert "val/l1" in run.metrics  # a trial and its training are one run
    stages = [stage for run in trials for stage in children_of(run.run_id)]
    assert {stage.name for stage in stages} == set(StorageFolder(place / "runs" / "stages").folders())
    parent = MlflowClient().get_run(trials[0].parent)
    files = [file.path for file in MlflowClient().list_artifacts(parent.info.run_id)]
    assert "comparison.html" in files and parent.info.status == "FINISHED"
    page = Path(MlflowClient().download_artifacts(parent.info.run_id, "comparison.html")).read_text(encoding="utf-8")
    assert "<h1>latent_sizes</h1>" in page
    assert len(compare_runs(["latent_sizes"]).entries) == 3


@pytest.mark.ray
def test_the_same_command_does_nothing_twice(found, dataset, place, capsys):
    again = tune("latent_sizes", dataset, settings(), on_trial=lambda tried, best: pytest.fail("tried again"))
    assert [(t.number, t.values, t.point) for t in again.trials] == [
        (t.number, t.values, t.point) for t in found.trials
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("nothing DATA", "unknown search space 'nothing', expected one of behavior_flow"),
        ("latent_sizes DATA --set lr=1", "expected STAGE.FIELD=VALUE"),
        ("latent_sizes DATA --set video_generator.rate=1", "is no setting of video_generator"),
        ("latent_sizes DATA --objectives fid", "'fid' is no objective of video_generator"),
        ("latent_sizes DATA --method end_to_end", "expected the method no_restoration or proposed"),
        ("latent_sizes DATA --storage nowhere://x", "the study's storage nowhere://x does not work"),
        ("latent_sizes DATA --cpus-per-trial 64 --objectives l1", "a trial needs 64 CPUs"),
        ("latent_sizes DATA --workers 2 --gpus-per-trial 3", "gpus_per_trial 3 is 1.5 for each of 2 workers"),
        ("latent_sizes NODATA", "no dataset in"),
    ],
)
def test_bad_input_is_a_line_and_starts_nothing(
    dataset, tmp_path, monkeypatch, capsys, ray_session, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    text = arguments.replace("NODATA", str(tmp_path / "none")).replace("DATA", dataset)
    with pytest.raises(SystemExit) as stop:
        cli.main(f"tune {text} --preset tiny".split())
    said = capsys.readouterr().err
    assert stop.value.code == 2 and complaint in said and said.count("\n") == 1
    assert not list(Path("runs").rglob("trial-*"))


def test_a_server_that_does_not_answer_is_a_line(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit):
        cli.main(f"tune latent_sizes {dataset} --preset tiny --objectives l1".split())
    assert "MLflow at http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    assert not Path("runs").exists()
