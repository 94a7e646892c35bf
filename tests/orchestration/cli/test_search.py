"""Commands that search and compare."""

from __future__ import annotations

import pytest

from orchestration.cli import main as cli
from orchestration.search import tune as search
from orchestration.search.results import SearchResult, TrialResult
from tests.support.command_line import refusals

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("tune latent_sizes d --set a.b=1 --set c.d=2", "got --set twice: give it once, with all its values"),
    ("tune nowhere d", "nowhere"),
    ("tune latent_sizes nowhere --preset tiny --plan", "no dataset in .*nowhere"),
    ("tune latent_sizes d --trials 0", "trials must be 1 or more, got 0"),
    ("compare", "no runs given, expected posegen compare RUN …"),
)


def trial(number: int, state: str, reason: str = "") -> TrialResult:
    return TrialResult(number, state, 1, {}, {}, reason, (), 0, 0, "")


@pytest.mark.parametrize("states", [("failed", "failed"), ("failed", "complete"), ("failed", "running")])
def test_a_search_whose_trials_all_failed_is_an_error(states, monkeypatch, capsys):
    trials = [trial(number, state, "no val/ssim" * (state == "failed")) for number, state in enumerate(states)]
    monkeypatch.setattr(search, "tune", lambda *args, **kw: SearchResult("two", "runs/two", trials, [], 1.0))
    if set(states) != {"failed"}:
        cli.main(["tune", "latent_sizes", "data"])
        return
    with pytest.raises(SystemExit) as stop:
        cli.main(["tune", "latent_sizes", "data"])
    said = capsys.readouterr()
    assert stop.value.code == 2 and "2 failed" in said.out
    assert "every trial of two failed, trial 0 because no val/ssim" in " ".join(said.err.split())
