"""The stage of the flow: where its codes come from, what it learns of them, and that training goes on exactly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestration.search.costs import cost_of_run
from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.inference.behavior import BehaviorGenerator
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion
from posegen.samples import Batch, fixed_batch
from posegen.stages import STAGES, Behavior, BehaviorFlow, Recognition
from posegen.stages.behavior_stage import BehaviorStage
from posegen.synthetic.motions import make_subject, perform

SHARED = {"latent_dim": 16, "num_frames": 8, "actions": ("walk", "wave", "squat"), "fps": 25.0}
SMALL = BehaviorFlow.Config(
    behavior="runs/behavior", hidden_dim=32, depth=1, num_blocks=3, lr=1e-3, batch_size=16, **SHARED
)


@pytest.fixture(scope="module")
def samples(corpus):
    """Windows to learn from."""
    return BehaviorFlow.open_samples(SMALL, corpus, "train")


@pytest.fixture(scope="module")
def behavior(samples) -> Behavior:
    """A behaviour net whose codes are far from N(0, I)."""
    torch.manual_seed(1)
    stage = Behavior(Behavior.Config(**SHARED))
    stage.begin(samples)
    with torch.no_grad():
        stage.network.encoder.mean.gain.mul_(torch.linspace(0.5, 8, 16))
        stage.network.encoder.mean.shift.add_(2.0)
        stage.network.encoder.logstd.shift.sub_(2.0)
    return stage.eval()


def make_stage(trained: Behavior, /, **changes) -> BehaviorFlow:
    torch.manual_seed(0)
    stage = BehaviorFlow(replace(SMALL, **changes))
    stage.initialize(lambda run: trained)
    return stage


@pytest.fixture
def stage(behavior, samples) -> BehaviorFlow:
    """A flow that is about to learn."""
    stage = make_stage(behavior)
    stage.begin(samples)
    return stage


@pytest.fixture
def batch(samples) -> Batch:
    """Sixteen windows."""
    return fixed_batch(samples, 16, 16)[0]


def stepped(stage: BehaviorFlow, batch: Batch, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return stage.step(batch)


def test_stage_is_known_and_its_presets_fit_those_of_the_behaviour_net():
    assert STAGES["behavior_flow"] is BehaviorFlow
    assert list(BehaviorFlow.presets) == list(Behavior.presets)
    assert BehaviorFlow.presets["posegen"] == BehaviorFlow.Config()
    for name, config in BehaviorFlow.presets.items():
        other = Behavior.presets[name]
        assert (config.latent_dim, config.num_frames, config.canonical) == (
            other.latent_dim,
            other.num_frames,
            other.canonical,
        )


@pytest.mark.parametrize(("preset", "count"), [("posegen", 33_636_352), ("reference", 629_575_680)])
def test_presets_have_as_many_weights_as_they_say(preset, count):
    with torch.device("meta"):
        flow = BehaviorFlow(BehaviorFlow.presets[preset]).flow
    assert sum(weight.numel() for weight in flow.parameters()) == count


def test_reference_is_the_published_setting():
    config = BehaviorFlow.presets["reference"]
    assert (config.hidden_dim, config.depth, config.num_blocks, config.latent_dim) == (2048, 2, 15, 1024)
    assert config.lr == pytest.approx(4.5e-7 * config.batch_size) and config.num_epochs == 50 and not config.canonical
    group = make_small_optimizer()
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.9), 0)


def make_small_optimizer() -> dict:
    return BehaviorFlow(SMALL).optimizers["flow"].param_groups[0]


def test_loss_is_minus_the_likelihood_of_codes_drawn_from_the_posterior(stage, batch):
    torch.manual_seed(5)
    with torch.no_grad():
        mean, logstd = stage.network.encode(batch["motion"][:, :-1])
        codes = mean + logstd.exp() * torch.randn_like(mean)
        noise, logdet = stage.flow(codes)
    expected = (0.5 * noise.square().sum(dim=1)).mean() - logdet.mean()
    losses = stepped(stage, batch)
    assert losses.keys() == {"nll"}
    torch.testing.assert_close(losses["nll"], expected)


def test_flow_learns_the_codes_and_leaves_the_network_alone(stage, batch, samples):
    network = {name: x.clone() for name, x in stage.network.state_dict().items()}
    before = stage.evaluate(batch)
    for seed in range(150):
        stepped(stage, batch, seed)
    after = stage.evaluate(batch)
    assert after["nll"] < before["nll"] - 5 and after["nll"] < after["prior_nll"] - 20
    assert all(torch.equal(x, network[name]) for name, x in stage.network.state_dict().items())
    drawn = stage.sample_codes(500, torch.Generator().manual_seed(0))
    with torch.no_grad():
        real, _ = stage.network.encode(batch["motion"][:, :-1])
    prior = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    distances = [(x.mean(dim=0) - real.mean(dim=0)).norm().item() for x in (drawn, prior)]
    assert distances[0] < 0.4 * distances[1]


def test_norms_start_with_the_codes_of_the_training_data(stage, samples):
    batches = fixed_batch(samples, 200, 100)
    with torch.no_grad():
        codes = torch.cat([stage._codes(batch) for batch in batches])
        noise, _ = stage.flow.blocks[0].norm(codes)
    assert noise.mean(dim=0).abs().max() < 0.3 and (noise.std(dim=0) - 1).abs().max() < 0.3


def test_likelihoods_have_their_constants(behavior, batch, monkeypatch):
    stage = make_stage(behavior)
    monkeypatch.setattr(stage.flow, "forward", lambda x: (torch.zeros_like(x), torch.zeros(len(x))))
    monkeypatch.setattr(stage, "_codes", lambda *_: torch.ones(4, 16))
    metrics = stage.evaluate(batch)
    assert metrics["nll"] == pytest.approx(8 * math.log(2 * math.pi))
    assert metrics["prior_nll"] == pytest.approx(8 * math.log(2 * math.pi) + 8)


def test_evaluation_is_always_the_same(stage, batch):
    first = stage.eval().evaluate(batch)
    torch.manual_seed(7)
    assert stage.evaluate(batch) == first
    assert {"nll", "prior_nll", "asd", "fsd", "ade", "fde"} == first.keys()


def test_preview_shows_random_futures(stage, batch):
    picture = stage.eval().preview(batch)["futures"]
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and np.ptp(picture) > 100


def transfer(stage: BehaviorStage, source: Motion, target: Motion) -> Motion:
    behavior = BehaviorGenerator(stage, torch.device("cpu"))
    return behavior.transfer([behavior.prepare(source)], [behavior.prepare(target)])[0]


def test_flow_carries_all_that_it_needs_to_transfer(stage, behavior, tmp_path):
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None))
    loaded = load_stage(StorageFolder(tmp_path), BehaviorFlow)
    walk, wave = perform("walk", make_subject(2)), perform("wave", make_subject(1))
    own, theirs = (transfer(stage, wave, walk) for stage in (loaded, behavior))
    np.testing.assert_array_equal(own.joints, theirs.joints)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"behavior": ""}, "behavior is missing: name a run of `posegen train behavior`"),
        ({"latent_dim": 32}, "has latent_dim 16, expected latent_dim 32"),
        ({"canonical": False}, "has canonical True, expected canonical False"),
        ({"num_frames": 9}, "has num_frames 8, expected num_frames 9"),
    ],
)
def test_runs_that_do_not_fit_are_refused(changes, message, behavior):
    with pytest.raises(ValueError, match=message):
        make_stage(behavior, **changes)


def test_runs_of_other_stages_are_refused():
    with pytest.raises(ValueError, match="is a run of the stage 'recognition', expected 'behavior'"):
        BehaviorFlow(SMALL).initialize(lambda run: Recognition(Recognition.Config()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        ({"num_blocks": 0}, "num_blocks must be at least 1, got 0"),
        ({"depth": -1}, "depth must be 0 or more, got -1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_cost_of_training_is_known_without_training(corpus):
    cost = cost_of_run(SMALL, corpus)
    assert cost.flops > 0
    assert cost.parameters == sum(weight.numel() for weight in BehaviorFlow(SMALL).parameters())


def test_training_goes_on_as_if_nothing_had_happened(stage, batch, tmp_path):
    for seed in range(3):
        stepped(stage, batch, seed)
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=3, data_fingerprint="", size=None))
    torch.manual_seed(1)
    resumed = BehaviorFlow(stage.config)
    load_training_state(StorageFolder(tmp_path), resumed)
    assert stepped(resumed, batch) == stepped(stage, batch)
    for left, right in zip(stage.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)
