"""The stage of ACTOR: its losses, what it learns, what it draws, and that training goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestration.search.costs import cost_of_run
from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.datasets.motions import MotionDataset
from posegen.errors import CheckpointError, DatasetError
from posegen.io.storage import StorageFolder
from posegen.losses import kl_to_standard_normal
from posegen.motion.floor import floor_height
from posegen.motion.kinematics import markers
from posegen.motion.pose_features import pose_features
from posegen.samples import Batch, fixed_batch
from posegen.stages import STAGES, Actor

SMALL = Actor.Config(
    latent_dim=32,
    num_layers=2,
    feedforward_dim=64,
    dropout=0.0,
    num_frames=20,
    actions=("walk", "wave", "squat", "sit"),
)


def make_stage(config: Actor.Config = SMALL, **changes) -> Actor:
    torch.manual_seed(0)
    return Actor(replace(config, **{"fps": 25.0, **changes}))


def make_batch(corpus: MotionDataset, config: Actor.Config = SMALL, count: int = 6) -> Batch:
    return fixed_batch(Actor.open_samples(config, corpus, "train"), count, count)[0]


@pytest.fixture
def batch(corpus) -> Batch:
    """Six motions of twenty frames, of which two count only in part."""
    full = make_batch(corpus)
    lengths = torch.tensor([20, 12, 20, 5, 20, 20])
    full["motion"] *= (torch.arange(20) < lengths[:, None])[..., None, None]
    return full | {"length": lengths}


def passed_through(stage: Actor, batch: Batch, seed: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The mask, mean and logvar of the codes, and the motions that a step with this seed draws."""
    mask = torch.arange(batch["motion"].shape[1]) < batch["length"][:, None]
    with torch.no_grad():
        mean, logvar = stage.encoder(batch["motion"], batch["action"], mask)
        torch.manual_seed(seed)
        z = mean + (logvar / 2).exp() * torch.randn_like(mean)
        return mask, mean, logvar, stage.decoder(z, batch["action"], mask)


def stepped(stage: Actor, batch: Batch, seed: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return stage.step(batch)


def test_stage_is_known():
    assert STAGES["actor"] is Actor
    assert list(Actor.presets) == ["posegen", "reference", "small", "tiny"]
    assert Actor.presets["posegen"] == Actor.Config()


def test_reference_is_the_published_setting():
    config = Actor.presets["reference"]
    published = {"lr": 1e-4, "batch_size": 20, "num_frames": 60, "num_layers": 8, "latent_dim": 256, "decay_epochs": 0}
    assert {name: getattr(config, name) for name in published} == published
    assert config.repeat_last and config.skip_last_start and config.count_zeros and not config.lambda_velocity
    mean, logvar = torch.randn(20, 256), torch.randn(20, 256)
    stage = make_stage(lambda_kl=config.lambda_kl)
    torch.testing.assert_close(
        stage.config.lambda_kl * kl_to_standard_normal(mean, logvar) / 20, 1e-5 * kl_to_standard_normal(mean, logvar)
    )


@pytest.mark.parametrize("count_zeros", [True, False])
def test_rotation_loss_is_the_mean_over_frames_that_are_there(count_zeros, batch):
    stage = make_stage(count_zeros=count_zeros, lambda_rotation=3.0)
    mask, _, _, fake = passed_through(stage, batch)
    squares = (fake - batch["motion"])[mask].square()  # (frames, 25, 6)
    if not count_zeros:
        squares[:, -1, 3:] = 0
    torch.testing.assert_close(stepped(stage, batch)["rotation"], 3 * squares.mean())


@pytest.mark.parametrize("translate", [False, True])
def test_vertex_loss_is_that_of_joints_and_markers(translate, batch):
    stage = make_stage(translate=translate, lambda_vertex=2.0)
    mask, _, _, fake = passed_through(stage, batch)
    posed = [pose_features(x, batch["rest"], translate=translate) for x in (fake, batch["motion"])]
    points = [torch.cat([x.joints, markers(x)], dim=2)[mask] for x in posed]
    assert points[0].shape[1:] == (96, 3)
    torch.testing.assert_close(stepped(stage, batch)["vertex"], 2 * (points[0] - points[1]).square().mean())


def test_root_moves_the_vertex_loss_only_where_it_should(batch):
    elsewhere = batch | {"motion": batch["motion"].clone()}
    elsewhere["motion"][:, :, -1, :3] += 1.0 * (batch["length"][:, None] > torch.arange(20))[..., None]
    for translate in (False, True):
        losses = []
        for one in (batch, elsewhere):
            stage = make_stage(translate=translate)
            stage.encoder.forward = lambda *_: (torch.zeros(6, 32), torch.zeros(6, 32))  # the same code for both
            stage.config = replace(stage.config, lambda_kl=0.0)
            losses.append(stepped(stage, one)["vertex"].item())
        assert (losses[0] == pytest.approx(losses[1], rel=1e-5)) is not translate


def test_velocity_loss_is_of_frames_that_follow_each_other(batch):
    stage = make_stage(lambda_velocity=4.0)
    mask, _, _, fake = passed_through(stage, batch)
    speeds = [pose_features(x, batch["rest"], translate=False).joints.diff(dim=1) for x in (fake, batch["motion"])]
    expected = 4 * (speeds[0] - speeds[1])[mask[:, 1:]].square().mean()
    torch.testing.assert_close(stepped(stage, batch)["velocity"], expected)


def test_kl_divergence_is_the_published_one_at_the_published_batch(batch):
    stage = make_stage()
    _, mean, logvar, _ = passed_through(stage, batch)
    summed = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()
    torch.testing.assert_close(stepped(stage, batch)["kl"], 1e-5 * 20 / len(mean) * summed)


def test_losses_without_weight_are_left_out(batch):
    assert stepped(make_stage(), batch).keys() == {"kl", "rotation", "vertex"}
    assert stepped(make_stage(lambda_vertex=0.0), batch).keys() == {"kl", "rotation"}


def test_what_is_behind_the_last_frame_changes_nothing(batch):
    spoiled = batch | {
        "motion": batch["motion"] + 9.0 * (torch.arange(20) >= batch["length"][:, None])[..., None, None]
    }
    stages = make_stage(lambda_velocity=1.0), make_stage(lambda_velocity=1.0)
    first, second = (stepped(stage, one) for stage, one in zip(stages, (batch, spoiled), strict=True))
    assert first == second
    for left, right in zip(stages[0].parameters(), stages[1].parameters(), strict=True):
        assert torch.equal(left, right)
    assert stages[0].eval().evaluate(batch) == stages[1].eval().evaluate(spoiled)


def test_motions_of_one_frame_are_learned_from(corpus):
    config = replace(SMALL, num_frames=1)
    losses = make_stage(config).step(make_batch(corpus, config))
    assert all(loss.isfinite() for loss in losses.values())


def test_it_learns_a_few_motions_by_heart(corpus):
    stage = make_stage(latent_dim=64, num_layers=1, feedforward_dim=128, lr=5e-3, lambda_kl=1e-6)
    few = make_batch(corpus)
    joints = pose_features(few["motion"], few["rest"], translate=False).joints
    mean_pose = (joints - joints.mean(dim=(0, 1))).norm(dim=-1).mean().item()  # of who draws always the same
    before = stage.eval().evaluate(few)
    stage.train()
    for _ in range(500):
        stage.step(few)
    after = stage.eval().evaluate(few)
    assert after["joint_error"] < 0.1 * before["joint_error"]
    assert after["joint_error"] < 0.7 * mean_pose
    assert after["root_error"] < 0.3 * before["root_error"]


def test_evaluation_measures_in_metres(batch):
    stage = make_stage().eval()
    mask, _, _, _ = passed_through(stage, batch)
    shifted = batch["motion"].clone()
    shifted[:, :, -1, 0] += 0.25
    stage.decoder.forward = lambda *_: shifted
    metrics = stage.evaluate(batch)
    assert metrics["joint_error"] == pytest.approx(0, abs=1e-6)
    assert metrics["root_error"] == pytest.approx(0.25, rel=1e-5)
    assert metrics["amplitude"] == pytest.approx(1, rel=1e-5)
    stage.decoder.forward = lambda *_: batch["motion"][:, :1].expand(-1, 20, -1, -1) * mask[..., None, None]
    assert stage.evaluate(batch)["amplitude"] == pytest.approx(0, abs=1e-5)  # frozen


def test_random_motions_of_the_evaluation_are_always_the_same(batch):
    stage = make_stage().eval()
    first = stage.evaluate(batch)
    torch.manual_seed(7)
    assert stage.evaluate(batch) == first


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (7, 1.0), (8, 2 / 3), (9, 1 / 3)])
def test_learning_rate_falls_at_the_end(epoch, factor):
    stage = make_stage(num_epochs=10, decay_epochs=2, lr=1e-3)
    stage.start_epoch(epoch)
    assert stage.optimizers["network"].param_groups[0]["lr"] == pytest.approx(1e-3 * factor)


def test_preview_shows_a_few_motions(batch):
    picture = make_stage().eval().preview(batch)["generated"]
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert np.ptp(picture) > 100


def test_cost_of_training_is_known_without_training(corpus):
    cost = cost_of_run(replace(SMALL, lambda_velocity=1.0), corpus)
    stage = make_stage()
    assert cost.parameters == sum(parameter.numel() for parameter in stage.parameters())
    assert cost.flops > 0 and cost.memory > 4 * cost.parameters


def test_dataset_fills_in_actions_and_rate(corpus):
    config = Actor.adapt(Actor.Config(), corpus)
    assert config.actions == tuple(corpus.info.actions) and config.fps == 25.0
    assert Actor.adapt(config, corpus) == config
    assert Actor.adapt(Actor.Config(actions=("wave", "bend")), corpus).actions == ("wave", "bend")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 20.0}, "has 25 frames per second, expected 20"),
        ({"actions": ("fly",)}, "has no action 'fly', expected"),
    ],
)
def test_other_datasets_are_refused(changes, message, corpus):
    with pytest.raises(DatasetError, match=message):
        Actor.adapt(Actor.Config(**changes), corpus)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 30}, "latent_dim must be even and a multiple of num_heads, got 30 and 4"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"num_heads": 0}, "num_heads must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"min_frames": 90, "max_frames": 80}, "expected 1 ≤ min ≤ max"),
        ({"decay_epochs": -1}, "decay_epochs must be 0 or more, got -1"),
        ({"lambda_velocity": 1.0, "num_frames": 1}, "lambda_velocity needs windows of at least 2 frames"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Actor.Config(**changes)


@pytest.mark.parametrize("length", [1, 7, 60, 200])
def test_motions_of_any_length_are_generated(length):
    motion = make_stage().eval().generate(["squat"], [length])[0]
    assert motion.joints.shape == (length, 24, 3) and np.isfinite(motion.joints).all()
    assert (motion.label, motion.label_name, motion.fps) == (2, "squat", 25.0)
    assert floor_height(motion.joints) == pytest.approx(0, abs=1e-5)


def test_generated_motions_follow_their_seed_and_not_their_company():
    stage = make_stage().eval()
    actions, lengths = ["walk", "sit", "walk"], [9, 14, 4]
    first = stage.generate(actions, lengths, seed=3)
    assert [len(motion) for motion in first] == lengths
    for left, right in zip(first, stage.generate(actions, lengths, seed=3), strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
    alone = stage.generate(actions[:1], lengths[:1], seed=3)[0]
    np.testing.assert_allclose(alone.joints, first[0].joints, atol=1e-4)
    assert not np.allclose(stage.generate(actions, lengths, seed=4)[0].joints, first[0].joints, atol=1e-3)
    assert not np.allclose(first[2].joints, first[0].joints[:4], atol=1e-3)  # another code of the same action
    assert stage.generate([], []) == []


def test_motions_like_others_follow_the_generator_that_draws_them():
    stage = make_stage().eval()
    actions, lengths = torch.tensor([1, 0]), torch.tensor([3, 8])
    first, same, other = (stage.generate_like(actions, lengths, torch.Generator().manual_seed(k)) for k in (0, 0, 1))
    assert first.shape == (2, 8, 25, 6) and not first[0, 3:].any()
    assert torch.equal(first, same) and not torch.allclose(first, other, atol=1e-3)


def test_many_motions_are_drawn_in_several_batches(monkeypatch):
    stage = make_stage().eval()
    lengths = [3, 8, 5, 2, 6]
    whole = stage.generate(["wave"] * 5, lengths)
    monkeypatch.setattr("posegen.stages.motion_generator._BATCH", 2)
    for left, right in zip(whole, stage.generate(["wave"] * 5, lengths), strict=True):
        np.testing.assert_allclose(left.joints, right.joints, atol=1e-4)


def test_drawn_frames_behind_the_last_one_are_zero_and_weights_lie_between_actions():
    stage = make_stage().eval()
    z, lengths = stage.sample_codes(2, torch.Generator().manual_seed(0)), torch.tensor([8, 3])
    drawn = stage.decode(torch.tensor([0, 3]), lengths, z)
    assert drawn.shape == (2, 8, 25, 6) and not drawn[1, 3:].any() and drawn[1, :3].all()
    certain = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    torch.testing.assert_close(stage.decode(certain, lengths, z), drawn)
    between = stage.decode(torch.full((2, 4), 0.25), lengths, z)
    assert between.isfinite().all() and not torch.allclose(between[0], drawn[0], atol=1e-3)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"actions": ["fly"], "lengths": [4]}, "unknown action 'fly', expected one of walk, wave, squat, sit"),
        ({"actions": ["sit"], "lengths": [0]}, "at least 1 frame, got 0"),
        ({"actions": ["sit", "walk"], "lengths": [4]}, r"got 1 lengths, expected 2 and codes \(2, 32\)"),
        (
            {"actions": ["sit"], "lengths": [4], "z": torch.zeros(2, 32)},
            r"codes \(2, 32\), expected 1 and codes \(1, 32",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        make_stage().generate(**request_)


def test_actions_are_named_in_any_case():
    stage = make_stage()
    assert stage.label("SIT") == stage.label("sit")
    assert stage.generate(["Sit"], [4])[0].label_name == "sit"


def test_body_is_the_mean_of_those_learned_from_and_is_kept(corpus, tmp_path):
    stage = make_stage()
    samples = Actor.open_samples(SMALL, corpus, "train")
    stage.finish_epoch(samples)
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None))
    loaded = load_stage(StorageFolder(tmp_path), Actor)
    np.testing.assert_array_equal(loaded.get_buffer("rest").numpy(), samples.mean_rest)
    np.testing.assert_allclose(loaded.generate(["sit"], [3])[0].rest, samples.mean_rest)


def test_codes_of_a_class_prior_are_those_of_training_motions(corpus, batch):
    stage = make_stage(class_prior=True)
    apart = stage.reconstruct(batch) - stage.decode(batch["action"], batch["length"], stage.encode(batch))
    assert apart.abs().max() < 1e-4
    before = stage.decode(batch["action"], batch["length"], torch.zeros(6, 32))
    stage.finish_epoch(Actor.open_samples(stage.config, corpus, "train"))
    again = stage.decode(batch["action"], batch["length"], stage.encode(batch))
    torch.testing.assert_close(again, stage.reconstruct(batch), atol=1e-3, rtol=1e-3)
    typical = stage.decode(batch["action"], batch["length"], torch.zeros(6, 32))
    assert (typical - before).abs().max() > 0.01
    assert stage.encode(batch).square().mean() < 2


def test_checkpoint_is_exact_and_training_goes_on_as_if_nothing_had_happened(batch, tmp_path):
    trained = make_stage(dropout=0.1)
    for seed in range(3):
        stepped(trained, batch, seed)
    folder = StorageFolder(tmp_path / "checkpoint")
    save_checkpoint(folder, trained, TrainingProgress(epoch=1, step=3, data_fingerprint="", size=None))
    loaded = load_stage(folder)
    assert isinstance(loaded, Actor) and loaded.config == trained.config and not loaded.training
    torch.manual_seed(1)
    resumed = Actor(trained.config)
    load_training_state(folder, resumed)
    for left, right, again in zip(*(x.state_dict().values() for x in (trained, resumed, loaded)), strict=True):
        assert torch.equal(left, right) and torch.equal(left, again)
    assert stepped(resumed, batch) == stepped(trained, batch)
    for left, right in zip(trained.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(left, right)


def test_checkpoints_of_other_sizes_are_refused(tmp_path):
    save_checkpoint(
        StorageFolder(tmp_path), make_stage(), TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None)
    )
    with pytest.raises(CheckpointError, match="does not fit"):
        load_training_state(StorageFolder(tmp_path), make_stage(latent_dim=64))


def test_places_of_other_files_are_those_of_whoever_asks(tmp_path, monkeypatch):
    """A worker of Ray has another working directory."""
    monkeypatch.chdir(tmp_path)
    config = Actor.Config(recognizer="runs/judge", smpl="smpl.npz")
    assert (config.recognizer, config.smpl) == (str(tmp_path / "runs/judge"), str(tmp_path / "smpl.npz"))
    assert Actor.Config(recognizer="gru-humanact12").recognizer == "gru-humanact12"
