"""Behaviour and its flow by command: trained one after the other, and on from where they stopped."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestration import cli
from posegen.checkpoint import find_checkpoint, load_stage
from posegen.motion.dataset import MotionDataset
from posegen.stages import Behavior, BehaviorFlow

NARROW = "--preset tiny --actions sit wave --epoch-size 32 --latent-dim 16 --num-frames 8 --workers 0 --no-track"


@pytest.fixture(scope="module")
def place(corpus: MotionDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a run of the stage behavior."""
    place = tmp_path_factory.mktemp("behavior")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        cli.main(f"train behavior {corpus.folder} {NARROW} --num-epochs 2 --decay-at --name behavior".split())
    return place


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def assert_equal(first: str, second: str) -> None:
    """Check that two runs have come to the same."""
    states = [load_stage(find_checkpoint(run)).state_dict() for run in (first, second)]
    for (name, left), right in zip(states[0].items(), states[1].values(), strict=True):
        assert torch.equal(left, right), name


def test_scale_of_postures_is_that_of_the_training_data(corpus):
    stage = load_stage(find_checkpoint("runs/behavior"), Behavior)
    expected = Behavior.open_samples(stage.config, corpus, "train").scale()
    np.testing.assert_allclose(stage.network.mean.numpy(), expected.mean, atol=1e-6)
    np.testing.assert_allclose(stage.network.std.numpy(), expected.std, rtol=1e-6)


def test_behavior_goes_on_where_it_stopped(corpus):
    for epochs in (1, 2):
        cli.main(f"train behavior {corpus.folder} {NARROW} --num-epochs {epochs} --decay-at --name again".split())
    assert_equal("runs/again", "runs/behavior")


def test_flow_learns_the_codes_of_a_run_and_goes_on_where_it_stopped(corpus):
    line = f"train behavior_flow {corpus.folder} {NARROW} --hidden-dim 16 --behavior runs/behavior"
    for epochs in (1, 2):
        cli.main(f"{line} --num-epochs {epochs} --name flow".split())
    cli.main(f"{line} --num-epochs 2 --name at-once".split())
    assert_equal("runs/flow", "runs/at-once")
    flow, behavior = load_stage(find_checkpoint("runs/flow")), load_stage(find_checkpoint("runs/behavior"))
    assert isinstance(flow, BehaviorFlow) and isinstance(behavior, Behavior)
    for left, right in zip(flow.network.state_dict().values(), behavior.network.state_dict().values(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "behavior is missing: name a run of `posegen train behavior`"),
        ("--behavior runs/nobody", "no checkpoint in .*runs/nobody"),
        ("--behavior runs/behavior --num-frames 9", "'num_frames': 8.* but the configuration says .*'num_frames': 9"),
    ],
)
def test_flow_says_what_it_needs(options, message, corpus, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(f"train behavior_flow {corpus.folder} {NARROW} {options}".split())
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(message, error)
