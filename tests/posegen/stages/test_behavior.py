"""The stage of behaviour: its losses, its bound on information, its transfers, and that training goes on exactly."""

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
from posegen.motion.editing import Placement, canonicalize, place, placement, resample
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import INVENTED
from posegen.motion.to_openpose import h36m_joints
from posegen.samples import Batch, fixed_batch
from posegen.stages import STAGES, Behavior
from posegen.stages.behavior_stage import between
from posegen.synthetic.motions import make_subject, perform

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


@pytest.fixture(scope="module")
def walk() -> Motion:
    """Someone who walks, somewhere."""
    return place(perform("walk", make_subject(2)), Placement(1.0, -2.0, 0.8))


@pytest.fixture(scope="module")
def wave() -> Motion:
    """Someone else who waves elsewhere."""
    motion = place(perform("wave", make_subject(3)), Placement(-3.0, 0.5, -2.0))
    return replace(motion, label=1, label_name="wave")


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
    assert list(Behavior.presets) == ["posegen", "reference", "small", "tiny"]
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


@pytest.mark.parametrize("canonical", [True, False])
def test_transfer_starts_in_the_targets_posture_and_place(canonical, samples, walk, wave):
    stage = make_stage(canonical=canonical)
    stage.begin(samples)
    with torch.no_grad():
        stage.network.decoder.head.weight.zero_()  # no velocity: what is drawn stays as it starts
        stage.network.decoder.head.bias.zero_()
    (drawn,) = stage.transfer([wave], [walk], 5)
    np.testing.assert_allclose(h36m_joints(walk)[[0] * 5], _seventeen(drawn), atol=0.06)
    np.testing.assert_allclose(drawn.trans, walk.trans[[0] * 5], atol=1e-4)
    assert (drawn.label, drawn.label_name, drawn.fps, len(drawn)) == (1, "wave", 25.0, 5)
    assert drawn.meta["invented_joints"] == list(INVENTED)


def _seventeen(motion: Motion) -> np.ndarray:
    return h36m_joints(replace(motion, rot6d=None, rest=None))


def test_first_frame_of_a_transfer_leaves_the_start_by_what_the_head_says(stage, walk, wave):
    code = stage.encode([wave])
    joints = h36m_joints(walk)[0]
    start = stage.network.normalize(torch.from_numpy(placement(walk).to_canonical(joints)))
    with torch.no_grad():
        hidden, _ = stage.network.decoder.rnn(start[None], (code, code))
        expected = stage.network.denormalize(start + stage.network.decoder.head(hidden))[0].numpy()
    drawn = stage.transfer([wave], [walk], 1)[0]
    np.testing.assert_allclose(drawn.trans[0], placement(walk).to_world(expected)[6], atol=1e-4)


def test_a_motion_may_begin_with_its_posture(stage, walk, wave):
    codes = stage.encode([wave])
    (whole,), (drawn,) = stage.generate(codes, [walk], 6, with_start=True), stage.generate(codes, [walk], 6)
    np.testing.assert_allclose(_seventeen(whole)[0], h36m_joints(walk)[0], atol=0.06)
    np.testing.assert_allclose(whole.trans[0], walk.trans[0], atol=1e-4)
    np.testing.assert_allclose(whole.joints[1:, :3], drawn.joints[:, :3], atol=1e-5)  # which both skeletons share
    assert len(whole) == 7


def test_ground_is_where_people_stood_in_the_training_data(stage, corpus):
    floors = [floor_height(corpus.read(entry).joints) for entry in corpus.info.motions]
    assert stage.ground == pytest.approx(np.median(floors), abs=0.05)
    with torch.no_grad():
        stage.network.mean[:, 1] -= 1.25
    assert stage.ground == pytest.approx(np.median(floors) - 1.25, abs=0.05)


def test_transfers_do_not_depend_on_where_people_are(stage, walk, wave):
    elsewhere = Placement(5.0, 3.0, 1.3)
    here = stage.transfer([wave], [walk])[0]
    moved = stage.transfer([place(wave, elsewhere)], [place(walk, elsewhere)])[0]
    np.testing.assert_allclose(moved.joints, elsewhere.to_world(here.joints), atol=1e-3)
    canonical = stage.transfer([canonicalize(wave)[0]], [walk])[0]
    np.testing.assert_allclose(canonical.joints, here.joints, atol=1e-3)


def test_in_the_reference_places_count(samples, walk, wave):
    stage = make_stage(canonical=False)
    code, moved = stage.encode([wave, place(wave, Placement(5.0, 3.0, 1.3))])
    assert not torch.allclose(code, moved, atol=1e-3)


def test_codes_are_of_the_first_frames_at_the_rate_that_was_learned(stage, wave):
    code = stage.encode([wave])
    cut = replace(wave, joints=wave.joints[:12], valid=wave.valid[:12], rot6d=None, rest=None)
    torch.testing.assert_close(stage.encode([cut]), code, atol=0.05, rtol=0)
    torch.testing.assert_close(stage.encode([resample(wave, 50.0)]), code, atol=0.05, rtol=0)
    assert stage.encode([]).shape == (0, 32)


@pytest.mark.parametrize("length", [1, 7, 60, 200])
def test_motions_of_any_length_are_drawn(length, stage, walk, wave):
    motion = stage.transfer([wave], [walk], length)[0]
    assert motion.joints.shape == (length, 24, 3) and np.isfinite(motion.joints).all()


def test_reconstruction_is_a_transfer_to_oneself(stage, walk, wave):
    for left, right in zip(stage.reconstruct([walk, wave]), stage.transfer([walk, wave], [walk, wave]), strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
        assert len(left) == 12


def test_futures_begin_at_the_last_frame_and_follow_their_seed(stage, walk, wave):
    first, same = (stage.sample([walk, wave], 4, seed=3) for _ in range(2))
    for left, right in zip(first, same, strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
    assert not np.allclose(stage.sample([walk, wave], 4, seed=4)[0].joints, first[0].joints, atol=1e-3)
    near = np.linalg.norm(first[0].trans[0] - walk.trans[[0, -1]], axis=-1)
    assert near[1] < near[0]


def test_many_are_drawn_in_several_batches(stage, walk, wave, monkeypatch):
    whole = stage.sample([walk, wave, walk], 3)
    monkeypatch.setattr("posegen.stages.behavior_stage._BATCH", 2)
    for left, right in zip(whole, stage.sample([walk, wave, walk], 3), strict=True):
        np.testing.assert_allclose(left.joints, right.joints, atol=1e-4)


def test_interpolation_goes_from_one_behaviour_to_the_other(stage, walk, wave):
    drawn = stage.interpolate(walk, wave, walk, count=3, num_frames=4)
    assert len(drawn) == 3
    np.testing.assert_allclose(drawn[0].joints, stage.transfer([walk], [walk], 4)[0].joints, atol=1e-3)
    np.testing.assert_allclose(drawn[2].joints, stage.transfer([wave], [walk], 4)[0].joints, atol=1e-3)


def test_what_lies_between_codes_is_as_long_as_they_are():
    start, end = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    halfway = between(start, end, 0.5)
    assert halfway.norm().item() == pytest.approx((start.norm() + end.norm()).item() / 2, rel=1e-4)
    assert torch.cosine_similarity(halfway, start, dim=0).item() == pytest.approx(
        torch.cosine_similarity(halfway, end, dim=0).item(), abs=1e-4
    )
    torch.testing.assert_close(between(start, end, 0.0), start)
    torch.testing.assert_close(between(start, end, 1.0), end)
    torch.testing.assert_close(between(start, 3 * start, 0.5), 2 * start)
    torch.testing.assert_close(between(torch.zeros(3), torch.ones(3), 0.25), torch.full((3,), 0.25))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, m: s.transfer([m], []), "got 1 sources and 0 targets"),
        (lambda s, m: s.generate(torch.zeros(1, 8), [m]), r"codes of shape \(1, 8\), expected \(1, 32\)"),
        (lambda s, m: s.generate(torch.zeros(1, 32), [m], -1), "at least 1 frame, got -1"),
        (lambda s, m: s.generate(torch.zeros(1, 32), [m], frame=10_000), "expected one with frame 10000"),
        (lambda s, m: s.interpolate(m, m, m, count=1), "count must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message, stage, walk):
    with pytest.raises(ValueError, match=message):
        call(stage, walk)


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
