"""The stage of behaviour: its losses, its bound on information, its metrics, and that training goes on exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from orchestration.search.costs import cost_of_run
from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder
from posegen.losses import mean_kl_to_standard_normal
from posegen.samples import Batch, fixed_batch
from posegen.stages import STAGES, Behavior

SMALL = Behavior.Config(latent_dim=32, num_frames=12, actions=("walk", "wave", "squat", "turn"), lr=1e-3)


def make_stage(config: Behavior.Config = SMALL, **changes) -> Behavior:
    torch.manual_seed(0)
    return Behavior(replace(config, **{"fps": 25.0, **changes}))


@pytest.fixture(scope="module")
def samples(corpus):
    """Windows to learn from."""
    return Behavior.open_samples(SMALL, corpus, "train")


@pytest.fixture
def batch(samples) -> Batch:
    """Eight windows with their companions."""
    return fixed_batch(samples, 8, 8)[0]


@pytest.fixture
def stage(samples) -> Behavior:
    """A stage that knows the scale of the data."""
    prepared = make_stage()
    prepared.begin(samples)
    return prepared


def passed_through(stage: Behavior, batch: Batch, seed: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalized postures, mean and logstd of their codes, and the postures that a step with this seed draws."""
    with torch.no_grad():
        x = stage.network.normalize(batch["motion"])
        mean, logstd = stage.network.encoder(x[:, :-1])
        torch.manual_seed(seed)
        code = mean + logstd.exp() * torch.randn_like(mean)
        return x, mean, logstd, stage.network.decoder(code, x[:, 0], stage.config.num_frames)


def stepped(stage: Behavior, batch: Batch, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return stage.step(batch)


def test_stage_is_known_and_its_first_preset_has_the_defaults():
    assert STAGES["behavior"] is Behavior
    assert list(Behavior.presets) == ["posegen", "reference", "small", "tiny", "transfer"]
    assert Behavior.presets["posegen"] == Behavior.Config()
    with torch.device("meta"):
        network = Behavior(Behavior.presets["reference"]).network
    assert sum(weight.numel() for weight in network.parameters()) == 10_980_403


def test_reference_is_the_published_setting():
    config = Behavior.presets["reference"]
    published = {"batch_size": 64, "lr": 1e-4, "lambda_reconstruction": 2.5, "information_max": 100, "num_frames": 50}
    published |= {"gamma_rate": 1e-5, "gamma_init": 0, "lambda_auxiliary": 0.01, "auxiliary_steps": 5}
    assert {name: getattr(config, name) for name in published} == published
    assert not config.canonical and not config.lambda_cycle
    stage = Behavior(replace(config, latent_dim=8))
    factors = [stage.lr_factor(epoch) for epoch in range(39)]
    falls = [epoch for epoch in range(1, 39) if factors[epoch] < factors[epoch - 1]]
    assert falls == [10, 22, 35] and factors[-1] == pytest.approx(0.3**3)
    stage.start_epoch(38)
    assert stage.optimizers["network"].param_groups[0]["lr"] == pytest.approx(1e-4 * 0.3**3)
    assert stage.optimizers["auxiliary"].param_groups[0]["lr"] == 1e-4


def test_losses_are_those_of_the_paper(stage, batch):
    stage.gamma.fill_(0.25)
    x, mean, logstd, drawn = passed_through(stage, batch)
    losses = stepped(stage, batch)
    torch.testing.assert_close(losses["reconstruction"], 2.5 * (drawn - x[:, 1:]).square().mean())
    kl = (-logstd + ((2 * logstd).exp() + mean.square()) / 2).sum(dim=1).mean() - 16
    torch.testing.assert_close(losses["kl"], 0.25 * kl)
    torch.testing.assert_close(losses["information"], kl)
    assert losses.keys() == {"reconstruction", "kl", "auxiliary", "information", "gamma", "posture"}
    assert all(not loss.requires_grad for loss in losses.values())


@pytest.mark.parametrize(("error", "expected"), [(0.3, 0.6), (0.5, 0.45 + 0.5), (0.9, 0.45 + 0.7)])
def test_what_takes_posture_away_saturates_twice(error, expected, stage, batch, monkeypatch):
    x = stage.network.normalize(batch["motion"])
    # It reads every posture with an error that has this mean square, whatever it learned.
    monkeypatch.setattr(
        stage.auxiliary, "forward", lambda code, times: x[:, times] + error**0.5 + 0 * stage.auxiliary.head.bias.sum()
    )
    torch.testing.assert_close(stepped(stage, batch)["auxiliary"], torch.tensor(-0.01 * expected))


def test_posture_decoder_learns_five_times_in_a_step_and_is_frozen_while_the_network_learns(stage, batch, monkeypatch):
    before = [weight.clone() for weight in stage.auxiliary.parameters()]
    updates, update = [], stage.update

    def watched(name: str, loss: Tensor) -> None:
        kept = [weight.clone() for weight in stage.auxiliary.parameters()]
        encoder = [weight.clone() for weight in stage.network.parameters()]
        update(name, loss)
        frozen = all(torch.equal(*pair) for pair in zip(kept, stage.auxiliary.parameters(), strict=True))
        still = all(torch.equal(*pair) for pair in zip(encoder, stage.network.parameters(), strict=True))
        updates.append((name, frozen, still))

    monkeypatch.setattr(stage, "update", watched)
    stepped(stage, batch)
    assert updates == [("auxiliary", False, True)] * 5 + [("network", True, False)]
    assert not any(torch.equal(*pair) for pair in zip(before, stage.auxiliary.parameters(), strict=True))


def test_gradient_of_what_takes_posture_away_is_that_of_the_decoder_as_it_then_is(stage, batch, monkeypatch):
    """Published, it mixed weights from before and after an update."""
    losses = {}
    monkeypatch.setattr(stage, "update", lambda name, loss: losses.setdefault(name, loss))
    stepped(stage, batch)
    bias = stage.network.encoder.mean.shift
    (gradient,) = torch.autograd.grad(losses["network"], bias, retain_graph=True)
    assert gradient.abs().sum() > 0
    (leaked,) = torch.autograd.grad(losses["auxiliary"], bias, allow_unused=True)
    assert leaked is None  # what teaches the posture decoder does not reach the encoder


def trained(corpus, num_steps: int, **changes) -> tuple[Behavior, Batch, list[dict[str, Tensor]]]:
    """A stage after some steps on a few short windows, these, and what the steps told."""
    config = replace(SMALL, num_frames=4, latent_dim=16, **changes)
    samples = Behavior.open_samples(config, corpus, "train")
    stage, few = make_stage(config), fixed_batch(samples, 16, 16)[0]
    stage.begin(samples)
    return stage, few, [stepped(stage, few, seed) for seed in range(num_steps)]


def test_codes_forget_postures_the_more_the_larger_the_weight(corpus):
    errors = []
    for weight in (1e-9, 30.0):
        stage, few, _ = trained(corpus, 60, lambda_auxiliary=weight, auxiliary_steps=2, auxiliary_lr=2e-3, lr=2e-3)
        errors.append(stage.evaluate(few)["posture_error"])
    assert errors[1] > 1.2 * errors[0]


@pytest.mark.parametrize(("gamma", "bound", "rises"), [(0.5, 1e-3, True), (0.5, 1e6, False)])
def test_weight_of_information_follows_the_bound(gamma, bound, rises, batch):
    stage = make_stage(information_max=bound, gamma_init=gamma, gamma_rate=1e-3)
    information = stepped(stage, batch)["information"].item()
    expected = max(0.0, gamma - 1e-3 * (bound - information))
    assert stage.gamma.item() == pytest.approx(expected) and (expected > gamma) is rises


def test_weight_of_information_never_falls_below_zero_and_may_be_fixed(batch):
    stage = make_stage(information_max=1e6)
    stepped(stage, batch)
    assert stage.gamma.item() == 0
    fixed = make_stage(gamma_init=1.0, gamma_rate=0.0)
    stepped(fixed, batch)
    assert fixed.gamma.item() == 1


def test_information_is_held_near_its_bound(corpus):
    """Without the bound it is several times as much."""
    carried = {}
    for rate in (3e-3, 0.0):
        settings = {"information_max": 4.0, "gamma_rate": rate, "lambda_auxiliary": 0.0, "lr": 5e-3}
        told = trained(corpus, 250, **settings)[2]
        carried[rate] = np.mean([losses["information"].item() for losses in told[-60:]])
    assert carried[3e-3] == pytest.approx(4.0, rel=0.35)
    assert carried[0.0] > 2 * carried[3e-3]


def test_losses_without_weight_are_left_out_and_cycle_may_be_added(batch):
    losses = stepped(make_stage(lambda_auxiliary=0.0, lambda_cycle=2.0), batch)
    assert losses.keys() == {"reconstruction", "kl", "cycle", "information", "gamma"}
    stage = make_stage(lambda_auxiliary=0.0, lambda_cycle=2.0)
    with torch.no_grad():
        mean, _ = stage.network.encode(batch["motion"][:, :-1])
        start = batch["paired"][:, 0]
        drawn = stage.network.decode(mean, start, 12)
        after, _ = stage.network.encode(torch.cat([start[:, None], drawn[:, :-1]], dim=1))
    torch.testing.assert_close(losses["cycle"], 2 * F.mse_loss(after, mean))


def test_it_learns_a_few_motions_by_heart(corpus):
    stage, few, _ = trained(corpus, 150, lr=5e-3, lambda_auxiliary=0.0)
    moved = (few["motion"][:, 1:] - few["motion"][:, :1]).norm(dim=-1).mean().item()  # error of who stands still
    metrics = stage.eval().evaluate(few)
    assert metrics["joint_error"] < 0.5 * moved
    assert metrics["information"] == pytest.approx(mean_kl_to_standard_normal(*_posterior(stage, few)).item(), rel=1e-5)


def _posterior(stage: Behavior, batch: Batch) -> tuple[Tensor, Tensor]:
    _, mean, logstd, _ = passed_through(stage, batch)
    return mean, 2 * logstd


def test_evaluation_measures_what_it_says(stage, batch, monkeypatch):
    real = batch["motion"][:, 1:]
    moved = real + torch.tensor([0.0, 0.25, 0.0])
    monkeypatch.setattr(stage.network.decoder, "forward", lambda *_: stage.network.normalize(moved))
    monkeypatch.setattr(stage, "measure_futures", lambda _: {})
    metrics = stage.evaluate(batch)
    assert metrics["joint_error"] == pytest.approx(0.25, rel=1e-5)
    expected = (0.25 / stage.network.std[:, 1]).norm().item()  # of whole postures, in standard deviations
    assert metrics["cross_displacement"] == pytest.approx(expected, rel=1e-4)
    assert metrics["information_share"] == pytest.approx(metrics["information"] / 100)
    assert "posture_error" not in make_stage(lambda_auxiliary=0.0).evaluate(batch)


def test_random_futures_of_the_evaluation_are_always_the_same(stage, batch):
    first = stage.eval().evaluate(batch)
    torch.manual_seed(7)
    assert stage.evaluate(batch) == first
    assert {"asd", "fsd", "ade", "fde"} <= first.keys() and first["asd"] > 0


def test_preview_shows_sources_targets_and_transfers(stage, batch):
    picture = stage.eval().preview(batch)["transfer"]
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and np.ptp(picture) > 100


def test_scale_comes_from_the_training_data_and_is_kept(stage, samples, tmp_path):
    np.testing.assert_allclose(stage.network.std.numpy(), samples.scale().std, rtol=1e-6)
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None))
    loaded = load_stage(StorageFolder(tmp_path), Behavior)
    assert torch.equal(loaded.network.std, stage.network.std) and torch.equal(loaded.network.mean, stage.network.mean)


def test_dataset_fills_in_actions_and_rate(corpus):
    config = Behavior.adapt(Behavior.Config(), corpus)
    assert config.actions == tuple(corpus.info.actions) and config.fps == 25.0
    assert Behavior.adapt(config, corpus) == config
    with pytest.raises(DatasetError, match="has 25 frames per second, expected 20"):
        Behavior.adapt(Behavior.Config(fps=20.0), corpus)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
        ({"latent_dim": 30}, "latent_dim must be a positive multiple of 4, got 30"),
        ({"information_max": 0.0}, "information_max must be positive, got 0.0"),
        ({"auxiliary_steps": 0}, "auxiliary_steps must be at least 1, got 0"),
        ({"lambda_auxiliary": -1.0}, "lambda_auxiliary must be 0 or more, got -1.0"),
        ({"decay_at": (0.5, 2.0)}, "decay_at must be shares from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Behavior.Config(**changes)


def test_cost_of_training_is_known_without_training(corpus):
    cost = cost_of_run(replace(SMALL, lambda_cycle=1.0), corpus)
    assert cost.parameters == sum(weight.numel() for weight in make_stage().parameters())
    assert cost.flops > 0 and cost.memory > 4 * cost.parameters


def test_training_goes_on_as_if_nothing_had_happened(stage, batch, tmp_path):
    stage.config = replace(stage.config, gamma_rate=1e-2, information_max=1.0)
    for seed in range(3):
        stepped(stage, batch, seed)
    assert stage.gamma.item() > 0
    folder = StorageFolder(tmp_path / "checkpoint")
    save_checkpoint(folder, stage, TrainingProgress(epoch=1, step=3, data_fingerprint="", size=None))
    torch.manual_seed(1)
    resumed = Behavior(stage.config)
    load_training_state(folder, resumed)
    for left, right in zip(stage.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    assert stepped(resumed, batch) == stepped(stage, batch)
    for left, right in zip(stage.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)
