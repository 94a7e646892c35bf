"""Behaviour and its flow by command: trained one after the other, and on from where they stopped."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestration.cli import main as cli
from orchestration.search.settings import TuneSettings
from orchestration.search.tune import tune
from posegen.checkpoints.checkpoint import find_checkpoint, load_progress, load_stage
from posegen.checkpoints.run_record import find_record
from posegen.datasets.motions import MotionDataset
from posegen.io.storage import StorageFolder
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


def test_from_names_the_same_run_as_behavior(corpus):
    line = f"train behavior_flow {corpus.folder} {NARROW} --hidden-dim 16 --num-epochs 2 --name from"
    cli.main(f"{line} --from runs/behavior".split())
    cli.main(f"{line} --behavior runs/behavior".split())  # goes on, and has nothing left to do
    config = find_record(StorageFolder("runs/from")).config
    assert config["behavior"] == str(StorageFolder("runs/behavior"))


def test_a_flow_alone_trains_its_behavior_net_first_and_goes_on_with_it(corpus, capsys):
    line = f"train behavior_flow {corpus.folder} {NARROW} --hidden-dim 16 --seed 3 --name whole"
    cli.main(f"{line} --num-epochs 1".split())
    behavior, flow = (load_stage(find_checkpoint(f"runs/{name}")) for name in ("whole-behavior", "whole"))
    assert isinstance(behavior, Behavior) and isinstance(flow, BehaviorFlow)
    preset = Behavior.presets["tiny"]
    assert (behavior.config.num_epochs, behavior.config.lr) == (preset.num_epochs, preset.lr)
    for name in ("seed", "epoch_size", "latent_dim", "num_frames", "actions", "canonical"):
        assert getattr(behavior.config, name) == getattr(flow.config, name)
    for left, right in zip(flow.network.state_dict().values(), behavior.network.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    capsys.readouterr()
    cli.main(f"{line} --num-epochs 2".split())
    told = capsys.readouterr().out
    assert "epoch 2/2" in told and "whole-behavior" not in told
    assert load_progress(find_checkpoint("runs/whole")).epoch == 2
    shutil.rmtree("runs/whole")  # as if it had been stopped between the two
    cli.main(f"{line} --num-epochs 1".split())
    told = capsys.readouterr().out
    assert "whole  epoch 1/1" in told and "whole-behavior" not in told


def test_a_flow_goes_on_with_the_behavior_net_that_it_began_with(corpus):
    line = f"train behavior_flow {corpus.folder} {NARROW} --hidden-dim 16 --num-epochs 1 --name began"
    cli.main(f"{line} --from runs/behavior".split())
    cli.main(line.split())
    assert not StorageFolder("runs/began-behavior").exists("run.json")


def test_what_cannot_be_a_flow_trains_no_behavior_net(corpus, recognizer_run, capsys):
    for options, message in (
        ("--num-frames 5000", "5001 frames of a window"),
        ("--from runs/behavior --behavior runs/behavior", "--from and --behavior are the same"),
        (f"--from {recognizer_run}", "is a run of the stage 'recognition', expected 'behavior'"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(f"train behavior_flow {corpus.folder} {NARROW} {options} --name none".split())
        error = capsys.readouterr().err
        assert stop.value.code == 2 and message in error and len(error.strip().splitlines()) == 1
    assert not Path("runs/none").exists() and not Path("runs/none-behavior").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--behavior runs/nobody", "no checkpoint in .*runs/nobody"),
        ("--behavior runs/behavior --num-frames 9", "has num_frames 8, expected num_frames 9"),
    ],
)
def test_flow_says_what_it_needs(options, message, corpus, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(f"train behavior_flow {corpus.folder} {NARROW} {options}".split())
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(message, error)


@pytest.mark.ray
@pytest.mark.slow  # what runs share is tried by searches of other stages, too
def test_a_search_of_flows_trains_their_behavior_net_once(corpus, ray_session):
    settings = TuneSettings(
        preset="tiny",
        trials=2,
        workers=0,
        pruning="none",
        track=False,
        set=(
            "behavior.num_epochs=1",
            "behavior.epoch_size=32",
            "behavior_flow.num_epochs=1",
            "behavior_flow.epoch_size=32",
            "behavior_flow.num_frames=8",
            "behavior_flow.latent_dim=16",
        ),
    )
    found = tune("behavior_flow", str(corpus.folder), settings)
    assert [trial.state for trial in found.trials] == ["complete", "complete"], found.trials
    assert sum(trial.trained for trial in found.trials) == 1
    assert found.best[0].values["nll"] == min(trial.values["nll"] for trial in found.trials)
