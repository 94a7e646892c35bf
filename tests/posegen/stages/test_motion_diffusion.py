"""The stage of motion diffusion: its losses, what it generates, and that training goes on where it stopped."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, load_training_state, save_checkpoint
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.motion.anatomy import bone_lengths
from posegen.motion.floor import floor_height
from posegen.motion.world_features import PLACES, flat_world
from posegen.samples import Batch, WorldCrops, fixed_batch
from posegen.stages import STAGES, MotionDiffusion
from posegen.stages.motion_generator import GivenFrames

SMALL = replace(
    MotionDiffusion.presets["tiny"], actions=("walk", "wave", "squat", "sit"), fps=25.0, dropout=0.0, width=24
)


def open_samples(corpus: MotionDataset, config: MotionDiffusion.Config = SMALL) -> WorldCrops:
    samples = MotionDiffusion.open_samples(config, corpus, "train")
    assert isinstance(samples, WorldCrops)
    return samples


def make_stage(corpus: MotionDataset, **changes) -> MotionDiffusion:
    torch.manual_seed(0)
    stage = MotionDiffusion(replace(SMALL, **changes))
    samples = open_samples(corpus)
    stage.begin(samples)
    stage.finish_epoch(samples)
    return stage


@pytest.fixture
def batch(corpus) -> Batch:
    return fixed_batch(open_samples(corpus), 8, 8)[0]


def stepped(stage: MotionDiffusion, batch: Batch, seed: int = 5) -> dict[str, float]:
    torch.manual_seed(seed)
    return {name: loss.item() for name, loss in stage.step(batch).items()}


def trained(corpus: MotionDataset, batch: Batch, count: int = 20, **changes) -> MotionDiffusion:
    stage = make_stage(corpus, **changes)
    for seed in range(count):
        stepped(stage, batch, seed)
    return stage.eval()


@pytest.fixture(scope="module")
def learned(corpus) -> MotionDiffusion:
    """A stage after some steps, to generate with."""
    return trained(corpus, fixed_batch(open_samples(corpus), 8, 8)[0])


def test_stage_is_known():
    assert STAGES["motion_diffusion"] is MotionDiffusion
    assert list(MotionDiffusion.presets) == ["posegen", "small", "compact", "gpu", "tiny"]
    assert MotionDiffusion.presets["posegen"] == MotionDiffusion.Config()


def test_loss_of_the_first_step_is_that_of_gaussians(corpus, batch):
    """The network's output is 0 at first: what is left is the mean squared distance from each action's Gaussian."""
    stage = make_stage(corpus)
    assert stepped(stage, batch)["denoising"] == pytest.approx(1, abs=0.4)


def test_steps_learn_from_blended_codes(corpus, batch):
    plain, around = make_stage(corpus), make_stage(corpus, blend=0.5)
    seen = []
    around.code.blend = lambda code, action, strength: seen.append((len(code), strength)) or 0 * code
    assert stepped(around, batch)["denoising"] != stepped(plain, batch)["denoising"]
    assert seen == [(8, 0.5)]
    with pytest.raises(ConfigError, match="blend must be 0 or more, got -1"):
        make_stage(corpus, blend=-1.0)


def test_windows_are_encoded_once_and_equal_numbers_are_equal_windows(corpus, monkeypatch):
    stage, samples = make_stage(corpus), open_samples(corpus)
    epochs = [fixed_batch(samples, 1000, 1000, epoch=epoch)[0] for epoch in range(3)]
    worlds = {}
    for batch in epochs:
        torch.testing.assert_close(stage._encode_once(batch), stage.encode(batch), atol=1e-4, rtol=1e-4)
        for number, world in zip(batch["window"].tolist(), batch["world"], strict=True):
            torch.testing.assert_close(worlds.setdefault(number, world), world)
    assert len(worlds) == len(stage._codes) < sum(len(batch["window"]) for batch in epochs)
    monkeypatch.setattr(stage.code, "encode", None)
    stage._encode_once(epochs[0])


def test_steps_lower_the_losses_and_move_the_averaged_weights_behind(corpus, batch):
    stage = make_stage(corpus, lr=3e-3, lambda_velocity=0.1, lambda_contact=0.1)
    first = [stepped(stage, batch, seed) for seed in range(10)]
    for seed in range(300):
        stepped(stage, batch, 100 + seed)
    last = [stepped(stage, batch, seed) for seed in range(10)]
    assert first[0].keys() == {"denoising", "velocity", "contact"}
    for name, share in (("denoising", 0.8), ("velocity", 0.95)):
        assert np.mean([x[name] for x in last]) < share * np.mean([x[name] for x in first])
    assert int(stage.get_buffer("num_steps")) == 320
    pairs = zip(stage.averaged.parameters(), stage.network.parameters(), strict=True)
    assert any(not torch.equal(mean, own) for mean, own in pairs)


def test_velocity_loss_is_of_frames_that_are_there(corpus, batch):
    stage = make_stage(corpus, lambda_velocity=1.0, drop_action=0.0)
    short = batch | {"length": torch.full((8,), 2)}
    losses = [stepped(make_stage(corpus, lambda_velocity=1.0, drop_action=0.0), x)["velocity"] for x in (batch, short)]
    torch.manual_seed(5)
    code = stage.encode(short)
    sigma = torch.exp(torch.randn(8) * stage.config.noise_std + stage.config.noise_mean)
    found = stage._denoise(
        stage.network, code + sigma[:, None] * torch.randn_like(code), sigma, short["action"], short["length"]
    )
    off = (stage.code.decode(found.code) - stage.code.decode(code))[:, :2, PLACES].diff(dim=1)
    expected = (off.square() / (1 + sigma.square())[:, None, None]).mean() / stage.get_buffer("mean_speed")
    assert losses[1] == pytest.approx(expected.item(), rel=1e-4) and losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_contact_loss_is_of_feet_that_stand(corpus, batch):
    flying = batch | {"world": batch["world"].clone()}
    flying["world"][..., :3] += 0.5 * torch.arange(20)[:, None, None] * torch.tensor([1.0, 0, 0])
    losses = [stepped(make_stage(corpus, lambda_contact=1.0), x)["contact"] for x in (batch, flying)]
    assert losses[1] < 1e-3 * losses[0]


@pytest.mark.parametrize("length", [1, 7, 20, 33, 90])
def test_motions_of_any_length_are_generated_with_rigid_limbs(length, learned):
    motion = learned.generate(["squat"], [length])[0]
    assert motion.joints.shape == (length, 24, 3) and np.isfinite(motion.joints).all()
    assert (motion.label, motion.label_name, motion.fps) == (2, "squat", 25.0)
    assert floor_height(motion.joints) == pytest.approx(0, abs=1e-5)
    assert bone_lengths(motion.joints).std(axis=0).max() < 1e-5


def test_a_motion_shorter_than_all_that_were_learned_is_the_beginning_of_one(corpus):
    stage = make_stage(corpus, foot_strength=0.0).eval()
    torch.manual_seed(1)
    for weight in stage.averaged.parameters():  # untrained layers begin at zero, and lengths count nothing
        weight.data += 0.1 * torch.randn_like(weight)
    whole, cut = (from_the_first_place(stage, frames) for frames in (12, 5))
    stage.config = replace(stage.config, shortest=12)
    np.testing.assert_allclose(from_the_first_place(stage, 5), whole[:5], atol=1e-5)
    np.testing.assert_array_equal(from_the_first_place(stage, 12), whole)
    assert np.abs(cut - whole[:5]).max() > 1e-4


def from_the_first_place(stage: MotionDiffusion, frames: int) -> np.ndarray:
    """Joints (T, 24, 3) of a motion, from where its hips are at first: the floor is that of all its frames."""
    joints = stage.generate(["squat"], [frames], seed=3)[0].joints
    return joints - joints[:1, :1]


def test_generated_motions_follow_their_seed_and_not_their_company(learned):
    stage = learned
    actions, lengths = ["walk", "sit", "walk"], [9, 50, 4]
    first = stage.generate(actions, lengths, seed=3)
    assert [len(motion) for motion in first] == lengths
    for left, right in zip(first, stage.generate(actions, lengths, seed=3), strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
    alone = stage.generate(actions[:1], lengths[:1], seed=3)[0]
    np.testing.assert_allclose(alone.joints, first[0].joints, atol=1e-3)
    assert not np.allclose(stage.generate(actions, lengths, seed=4)[0].joints, first[0].joints, atol=1e-2)
    assert not np.allclose(first[2].joints, first[0].joints[:4], atol=1e-2)


def test_drawn_frames_behind_the_last_one_are_zero_and_weights_lie_between_actions(learned):
    stage = learned
    z, lengths = stage.sample_codes(2, torch.Generator().manual_seed(0)), torch.tensor([8, 3])
    drawn = stage.decode(torch.tensor([0, 3]), lengths, z)
    assert drawn.shape == (2, 8, 25, 6) and not drawn[1, 3:].any() and drawn[1, :3, :-1].any()
    certain = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    torch.testing.assert_close(stage.decode(certain, lengths, z), drawn, atol=1e-4, rtol=1e-4)
    between = stage.decode(torch.full((2, 4), 0.25), lengths, z)
    assert between.isfinite().all() and not torch.allclose(between[0], drawn[0], atol=1e-3)


def test_guidance_moves_away_from_motions_of_any_action(learned):
    stage, found = deepcopy(learned), []
    for guidance in (0.0, 1.0, 2.0):
        stage.config = replace(stage.config, guidance=guidance)
        found.append(stage._clean(stage.fixed_codes(1), torch.tensor(1.0), torch.tensor([2]), torch.tensor([20])))
    torch.testing.assert_close(found[2] - found[1], found[1] - found[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[1], found[0], atol=1e-2)


def speeds(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(axis=1)


def test_actions_follow_each_other_without_a_seam(learned):
    stage = learned
    motion = stage.compose(["walk", "sit"], [30, 25], seed=1)
    assert len(motion) == 55 and motion.label is None
    apart = stage.generate(["walk", "sit"], [30, 25], seed=1)
    jump = np.linalg.norm(apart[1].joints[0] - apart[0].joints[-1], axis=-1).mean()
    step = speeds(motion.joints)
    assert step[25:35].max() < max(2.5 * np.median(step), 0.5 * jump)
    assert stage.compose(["walk"], [30]).label_name == "walk"


def test_given_frames_come_out_and_others_do_not(learned, batch):
    stage = learned
    values = flat_world(batch["world"][:1])[0]
    weights = torch.zeros_like(values)
    weights[:6] = weights[14:] = 500.0
    action = stage.config.actions[int(batch["action"][0])]
    motion = stage.compose([action], [20], given=GivenFrames(weights, values), seed=2)
    other = stage.compose([action], [20], seed=2)
    real = batch["world"][0, ..., :3].numpy()
    off, free = (np.linalg.norm(x.joints - x.joints[:1, :1] - real, axis=-1).mean(axis=1) for x in (motion, other))
    given = weights[:, 0].numpy() > 0
    assert off[given].mean() < 0.03 and off[given].mean() < 0.5 * free[given].mean()


def test_checkpoint_is_exact_and_training_goes_on_as_if_nothing_had_happened(corpus, batch, tmp_path):
    stage = make_stage(corpus, dropout=0.1, lambda_velocity=0.1)
    for seed in range(3):
        stepped(stage, batch, seed)
    folder = StorageFolder(tmp_path / "checkpoint")
    save_checkpoint(folder, stage, TrainingProgress(epoch=1, step=3, data_fingerprint="", size=None))
    loaded = load_stage(folder)
    assert isinstance(loaded, MotionDiffusion) and loaded.config == stage.config and not loaded.training
    torch.manual_seed(1)
    resumed = MotionDiffusion(stage.config)
    load_training_state(folder, resumed)
    for left, right, again in zip(*(x.state_dict().values() for x in (stage, resumed, loaded)), strict=True):
        assert torch.equal(left, right) and torch.equal(left, again)
    assert stepped(resumed, batch) == stepped(stage, batch)
    for left, right in zip(stage.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(left, right)


def test_evaluation_says_how_well_noise_is_removed_and_how_near_codes_are(corpus, batch):
    stage = trained(corpus, batch, count=100, lr=3e-3)
    found, first = stage.evaluate(batch), make_stage(corpus).eval().evaluate(batch)
    assert found.keys() == {"denoising_error", "joint_error", "amplitude"}
    assert found["denoising_error"] < first["denoising_error"]
    assert 0 < found["joint_error"] < 0.1 and 0.3 < found["amplitude"] < 3
    assert stage.preview(batch)["generated"].dtype == np.uint8


def test_short_motions_are_encoded_with_their_last_frame(corpus):
    samples = open_samples(corpus, replace(SMALL, num_frames=400, overlap=5))
    one = samples.load(samples.plan(0)[0])
    length = int(one["length"])
    assert length < 400
    last = one["world"][length - 1]
    np.testing.assert_array_equal(one["world"][length:], np.broadcast_to(last, (400 - length, 24, 9)))
    assert not one["motion"][length:].any() and one["world"].shape == (400, 24, 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance": -1.0}, "guidance must be 0 or more"),
        ({"num_frames": 1}, "num_frames must be at least 2"),
        ({"overlap": 20}, "overlap must be at least 1 and below num_frames"),
        ({"drop_action": 1.0}, r"drop_action must be in \[0, 1\)"),
        ({"noise_std": 0.0}, "noise_std must be positive"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"width": 0}, "width must be at least 1"),
        ({"shortest": 21}, "shortest must be from 1 to num_frames"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **changes)


def test_parts_that_cannot_be_are_refused(corpus):
    stage = make_stage(corpus)
    for actions, frames, message in (
        (["fly"], [4], "unknown action 'fly'"),
        (["walk"], [0], "at least 1 frame"),
        (["walk", "sit"], [4], "2 actions and 1 lengths"),
    ):
        with pytest.raises(ConfigError, match=message):
            stage.compose(actions, frames)
