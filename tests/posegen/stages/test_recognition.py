"""The stage of recognisers: it learns actions, keeps its best epoch, and measures the same each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from orchestration.search.costs import cost_of_run
from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError, DatasetError
from posegen.io.storage import StorageFolder
from posegen.motion.pose_features import recognized_joints
from posegen.samples import Batch, EpochLoader, fixed_batch
from posegen.stages import STAGES, Recognition

ACTIONS = ("walk", "raise_arms", "sit", "punch")
SMALL = Recognition.Config(num_frames=8, actions=ACTIONS, lr=1e-2)


def make_stage(**changes) -> Recognition:
    torch.manual_seed(0)
    return Recognition(replace(SMALL, **changes))


def make_batch(corpus: MotionDataset, **changes) -> Batch:
    config = replace(SMALL, **changes)
    return fixed_batch(Recognition.open_samples(config, corpus, "train"), 6, 6)[0]


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def equal(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_stage_is_known():
    assert STAGES["recognition"] is Recognition
    assert list(Recognition.presets) == ["posegen", "reference", "stgcn", "small", "tiny"]
    assert Recognition.presets["posegen"] == Recognition.Config()


def test_gru_learns_the_corpus(recognizer_run, corpus):
    """Of twelve actions, by a person whom it has never seen: chance is 0.08."""
    stage = load_stage(StorageFolder(recognizer_run), Recognition)
    config = replace(stage.config, epoch_size=0)
    held_out = [
        batch
        for epoch in range(4)
        for batch in fixed_batch(stage.open_samples(config, corpus, "test"), 12, 12, epoch=epoch)
    ]
    assert sum(stage.evaluate(batch)["accuracy"] for batch in held_out) / 4 > 0.6


def test_stgcn_learns_the_corpus(corpus):
    """Of four actions, by a person whom it has never seen: chance is 0.25."""
    stage = make_stage(network="stgcn", num_frames=4, lr=5e-4, epoch_size=8 * 16)
    for module in stage.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.5  # of few steps
    for batch in EpochLoader(stage.open_samples(stage.config, corpus, "train"), 16).epoch(0):
        stage.step(batch)
    samples = stage.open_samples(replace(stage.config, seed=1), corpus, "test")
    held_out = [fixed_batch(samples, 4, 4, epoch=epoch)[0] for epoch in range(4)]
    assert sum(stage.eval().evaluate(batch)["accuracy"] for batch in held_out) / 4 > 0.6


@pytest.mark.parametrize(("network", "joints"), [("gru", "smpl24"), ("gru", "a2m18"), ("stgcn", "smpl24")])
def test_loss_is_the_cross_entropy_and_all_weights_learn(network, joints, corpus):
    stage, batch = make_stage(network=network, joints=joints), make_batch(corpus)
    before = weights_of(stage.network)
    with torch.no_grad():
        if network == "stgcn":
            logits = make_stage(network=network).network(batch["motion"][:, :, :24]).logits
        else:
            logits = stage.network(recognized_joints(batch["motion"], batch["rest"], joints), batch["length"]).logits
    losses = stage.step(batch)
    torch.testing.assert_close(losses["action"], nn.functional.cross_entropy(logits, batch["action"]))
    assert not any(torch.equal(a, b) for a, b in zip(before, weights_of(stage.network), strict=True))


def test_best_epoch_is_kept_and_recognizes(corpus):
    stage, batch = make_stage(), make_batch(corpus)
    weights = []
    for error in (0.9, 0.4, 0.7, float("nan")):
        stage.step(batch)
        weights.append(weights_of(stage.network))
        stage.after_validation({"val/cross_entropy": error})
    assert equal(weights_of(stage.best), weights[1])
    assert not equal(weights_of(stage.network), weights[1])
    torch.testing.assert_close(stage.recognize(batch).logits, run(stage.best, batch))
    stage.config = replace(stage.config, keep_best=False)
    torch.testing.assert_close(stage.recognize(batch).logits, run(stage.network, batch))


def run(network: nn.Module, batch: Batch) -> torch.Tensor:
    return network(recognized_joints(batch["motion"], batch["rest"], "smpl24"), batch["length"]).logits


def test_last_epoch_is_kept_where_nothing_is_held_out(corpus):
    stage, batch = make_stage(), make_batch(corpus)
    for _ in range(2):
        stage.step(batch)
        stage.after_validation({"train/action": 1.0})
    assert equal(weights_of(stage.best), weights_of(stage.network))


def test_best_epoch_survives_a_checkpoint(corpus, tmp_path):
    stage, batch = make_stage(), make_batch(corpus)
    for error in (0.4, 0.7):
        stage.step(batch)
        stage.after_validation({"val/cross_entropy": error})
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=2, step=2, data_fingerprint="", size=None))
    resumed = make_stage()
    load_training_state(StorageFolder(tmp_path), resumed)
    assert resumed.step(batch) == stage.step(batch)
    assert equal(weights_of(resumed), weights_of(stage))
    resumed.after_validation({"val/cross_entropy": 0.5})
    assert equal(weights_of(resumed.best), weights_of(stage.best))  # 0.4 was better
    assert not equal(weights_of(resumed.best), weights_of(resumed.network))


@pytest.mark.parametrize("network", ["gru", "stgcn"])
def test_checkpoints_bring_recognizers_back(network, corpus, tmp_path):
    stage, batch = make_stage(network=network), make_batch(corpus)
    stage.after_validation({})
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None))
    loaded = load_stage(StorageFolder(tmp_path), Recognition)
    assert torch.equal(loaded.recognize(batch).features, stage.eval().recognize(batch).features)


def test_random_states_are_for_training_and_for_those_who_ask(corpus):
    stage, batch = make_stage(random_state=True).eval(), make_batch(corpus)
    zeros = stage.recognize(batch).features
    torch.manual_seed(9)
    assert torch.equal(stage.recognize(batch).features, zeros)
    noise = [stage.recognize(batch, torch.Generator().manual_seed(seed)).features for seed in (0, 0, 1)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], zeros)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(make_stage().recognize(batch, generator).features, zeros)  # it never saw random states
    losses = []
    for seed in (0, 0, 1):
        training = make_stage(random_state=True)
        torch.manual_seed(seed)
        losses.append(training.step(batch)["action"])
    assert losses[0] == losses[1] != losses[2]


def test_short_motions_repeat_their_last_frame(corpus):
    batch = make_batch(corpus, num_frames=200)
    assert (batch["length"] == 200).all()
    assert torch.equal(batch["motion"][:, 160], batch["motion"][:, 199])  # the longest has 150 frames


def test_dataset_fills_in_the_actions(corpus):
    assert Recognition.adapt(Recognition.Config(), corpus).actions == tuple(corpus.info.actions)
    assert Recognition.adapt(SMALL, corpus) == replace(SMALL, fps=25.0)
    with pytest.raises(DatasetError, match="has no action 'fly'"):
        Recognition.adapt(Recognition.Config(actions=("fly",)), corpus)


def test_one_action_is_none_to_tell_apart(corpus):
    with pytest.raises(ConfigError, match="tells actions apart, and there is one: walk"):
        Recognition.adapt(replace(Recognition.presets["tiny"], actions=("walk",)), corpus)


@pytest.mark.parametrize("changes", [{}, {"joints": "a2m18"}, {"network": "stgcn"}])
def test_cost_of_training_is_known_without_training(changes, corpus):
    assert cost_of_run(replace(SMALL, epoch_size=16, batch_size=8, **changes), corpus).flops > 0


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        Recognition.Config(num_frames=0)
