"""The behaviour stage with diffusion: it learns, generates with averaged weights, and goes on exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.losses import supervised_contrast
from posegen.networks.behavior_diffusion import BehaviorDiffusion
from posegen.samples import EpochLoader, fixed_batch
from posegen.stages import Behavior, BehaviorFlow

CONFIG = replace(
    Behavior.presets["transfer"],
    actions=("walk", "wave", "squat", "turn"),
    fps=25.0,
    latent_dim=8,
    num_frames=20,
    num_components=24,
    decoder_width=64,
    decoder_blocks=1,
    batch_size=8,
    epoch_size=64,
    lambda_auxiliary=0.1,
    auxiliary_steps=1,
)


@pytest.fixture(scope="module")
def samples(corpus):
    return Behavior.open_samples(CONFIG, corpus, "train")


def begun(samples) -> Behavior:
    torch.manual_seed(0)
    stage = Behavior(CONFIG)
    stage.begin(samples)
    stage.start_epoch(0)
    return stage.train()


def test_it_learns_and_generates_with_averaged_weights(samples):
    stage, batches = begun(samples), list(EpochLoader(samples, CONFIG.batch_size).epoch(0))
    losses = [stage.step(batches[number % len(batches)]) for number in range(40)]
    assert losses[0].keys() == {"denoising", "kl", "contrast", "auxiliary", "information", "gamma", "posture"}
    for name in ("denoising", "contrast"):
        first, last = (sum(loss[name].item() for loss in part) for part in (losses[:8], losses[-8:]))
        assert last < 0.9 * first, name
    own, new = next(stage.network.parameters()), next(stage.learner.parameters())
    assert not torch.equal(own, new) and not own.requires_grad
    metrics = stage.eval().evaluate(batches[0])
    assert metrics["joint_error"] < 0.6 and metrics["posture_error"] > 0
    assert stage.preview(batches[0]).keys() == {"transfer"}


def test_the_best_epoch_is_that_of_the_nearest_codes_where_motions_are_sampled(samples):
    stage = begun(samples)
    [batch] = fixed_batch(samples, 8, 8)
    assert stage.best_metric == "val/consistency" and stage.eval().evaluate(batch)["consistency"] > 0
    assert Behavior(Behavior.presets["tiny"]).best_metric == "val/joint_error"


def test_training_goes_on_exactly(samples, tmp_path):
    stage, batch = begun(samples), fixed_batch(samples, 8, 8)[0]
    stage.step(batch)
    folder = StorageFolder(tmp_path) / "checkpoint"
    save_checkpoint(folder, stage, TrainingProgress(epoch=0, step=1, data_fingerprint="", size=None))
    torch.manual_seed(1)
    stage.step(batch)
    again = begun(samples)
    load_training_state(folder, again)
    torch.manual_seed(1)
    again.step(batch)
    for (name, one), other in zip(stage.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert isinstance(load_stage(folder, Behavior).network, BehaviorDiffusion)


def test_a_flow_takes_its_codes(samples):
    stage = begun(samples)
    shared = {name: getattr(CONFIG, name) for name in BehaviorFlow.requires["behavior"].agree}
    flow = BehaviorFlow(replace(BehaviorFlow.presets["transfer"], **shared, hidden_dim=8, num_blocks=1, depth=0))
    flow.take_over("behavior", stage)
    flow.begin(samples)
    batch = fixed_batch(samples, 4, 4)[0]
    assert flow.step(batch)["nll"].isfinite() and flow.eval().evaluate(batch)["ade"] > 0


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="lambda_cycle is for the recurrent decoder"):
        replace(CONFIG, lambda_cycle=1.0)
    with pytest.raises(ConfigError, match="least_frames must be from 2 to num_frames"):
        replace(CONFIG, least_frames=90)


def test_contrast_is_nothing_where_actions_point_their_own_ways():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]])
    assert supervised_contrast(apart, labels) < 1e-6
    mixed = supervised_contrast(apart, torch.tensor([0, 1, 0, 1]))
    assert mixed > 10
    alone = supervised_contrast(apart, torch.arange(4))
    assert alone == 0
