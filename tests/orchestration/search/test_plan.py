"""What a search would cost, before anything of it runs."""

from __future__ import annotations

import pytest

from orchestration.search import plan, tune
from orchestration.search.settings import TuneSettings
from tests.support.command_line import refuse, run


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CPUs and no cluster: its plans start no Ray."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(tune, "start_ray", pytest.fail)
    monkeypatch.setattr(plan, "is_ray_running", lambda: False)
    monkeypatch.setattr(plan, "count_resources", lambda: {"CPU": 2, "GPU": 0})


def test_plan_counts_what_is_shared(dataset, capsys):
    settings = TuneSettings(preset="tiny", trials=3, objectives=("l1",), workers=0)
    planned = tune.plan("latent_sizes", dataset, settings)
    assert [trial.number for trial in planned.trials] == [0, 1, 2] and planned.capacity.trials == 2
    assert (
        planned.trials[0].point == tune.open_search("latent_sizes", tune.complete("latent_sizes", settings)).starts[0]
    )
    assert planned.without_reuse.flops > planned.total.flops > 0
    said = run(f"tune latent_sizes {dataset} --preset tiny --trials 1 --plan --objectives l1", capsys).out
    assert "at a time on this cluster" in said and "TFLOP" in said


def test_searches_of_behavior_are_planned(corpus, capsys):
    few = "--preset tiny --trials 2 --plan --set behavior.epoch_size=32"
    line = f"tune behavior_information {corpus.folder} {few} --objectives joint_error ade --pruning none"
    assert "TFLOP" in run(line, capsys).out
    line = f"tune behavior_flow {corpus.folder} {few}"
    assert "times as much if no run was shared" in run(line, capsys).out
    expected = "no objective of behavior_flow, expected one of nll, ade"
    assert expected in refuse(f"{line} --objectives joint_error", capsys)


def test_a_search_of_motions_is_planned(corpus, capsys):
    line = f"tune motion_kl {corpus.folder} --preset tiny --trials 2 --plan --objectives joint_error"
    code, out, err = run(f"{line} --set actor.batch_size=6", capsys)
    assert code == 0 and "TFLOP" in out, err
