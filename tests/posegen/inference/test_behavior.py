"""Codes of motions and motions from codes, by networks that were not trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.errors import CheckpointError, MotionError
from posegen.inference import behavior as behavior_module
from posegen.inference.behavior import BehaviorGenerator, PreparedMotion, load_behavior_generator, slerp_codes
from posegen.io.storage import StorageFolder
from posegen.motion.editing import Placement, canonicalize, first_frames, place, placement, resample
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import INVENTED_JOINTS
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17, SMPL_24, joint_indices
from posegen.stages import Behavior, BehaviorFlow, Recognition
from posegen.synthetic.motions import make_subject, perform

SMALL = Behavior.Config(latent_dim=32, num_frames=12, actions=("walk", "wave", "squat", "turn"), fps=25.0)
CPU = torch.device("cpu")


def make_generator(samples, **changes) -> BehaviorGenerator:
    """A net that knows the scale of the data."""
    torch.manual_seed(0)
    stage = Behavior(replace(SMALL, **changes))
    stage.begin(samples)
    return BehaviorGenerator(stage, CPU)


@pytest.fixture(scope="module")
def samples(corpus):
    """Windows of the corpus."""
    return Behavior.open_samples(SMALL, corpus, "train")


@pytest.fixture
def behavior(samples) -> BehaviorGenerator:
    """A net whose windows are in canonical coordinates."""
    return make_generator(samples)


@pytest.fixture(scope="module")
def walk_motion() -> Motion:
    """A walk, somewhere."""
    return place(perform("walk", make_subject(2)), Placement(1.0, -2.0, 0.8))


@pytest.fixture(scope="module")
def wave_motion() -> Motion:
    """Another person's wave, elsewhere."""
    motion = place(perform("wave", make_subject(3)), Placement(-3.0, 0.5, -2.0))
    return replace(motion, label=1, label_name="wave")


@pytest.fixture
def walk(behavior, walk_motion) -> PreparedMotion:
    return behavior.prepare(walk_motion)


@pytest.fixture
def wave(behavior, wave_motion) -> PreparedMotion:
    return behavior.prepare(wave_motion)


def without_rotations(motion: Motion) -> Motion:
    return replace(motion, rot6d=None, rest=None)


def seventeen(motion: Motion) -> np.ndarray:
    return h36m_joints(without_rotations(motion))


# ---- The entrance


@pytest.mark.parametrize("fps", [20.0, 25.0, 50.0])
def test_a_motion_is_prepared_at_the_nets_rate_with_rotations_and_the_nets_joints(samples, wave_motion, fps):
    behavior = make_generator(samples, fps=fps)
    for motion in (wave_motion, without_rotations(wave_motion)):
        prepared = behavior.prepare(motion)
        expected = resample(motion, fps)
        np.testing.assert_array_equal(prepared.motion.joints, expected.joints)
        np.testing.assert_array_equal(prepared.joints, h36m_joints(expected))
        assert prepared.motion.fps == fps and prepared.motion.rot6d is not None
        assert len(prepared) == len(expected) and prepared.motion.label_name == "wave"


def test_a_prepared_motion_is_resampled_once_and_its_rotations_are_found_once(samples, wave_motion, monkeypatch):
    behavior = make_generator(samples)
    calls = {"resample": 0, "find_rotations": 0}

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    from posegen.motion import editing, to_openpose

    found = counted("find_rotations", editing.find_rotations)
    monkeypatch.setattr(editing, "find_rotations", found)
    monkeypatch.setattr(to_openpose, "find_rotations", found)
    monkeypatch.setattr(behavior_module, "resample", counted("resample", editing.resample))
    wave = behavior.prepare(resample(without_rotations(wave_motion), 50.0))
    assert calls == {"resample": 1, "find_rotations": 1}
    behavior.require_window(wave, "wave")
    behavior.transfer([wave, wave], [wave, wave])
    behavior.sample([wave] * 3, seed=1)
    behavior.interpolate(wave, wave, wave)
    behavior.reconstruct([wave])
    assert calls == {"resample": 1, "find_rotations": 1}


def test_a_window_must_be_whole_at_the_runs_rate(samples, wave_motion):
    behavior = make_generator(samples, fps=20.0, num_frames=10)
    enough = behavior.prepare(first_frames(wave_motion, 13))  # 0.48 s: 10 frames at 20 a second
    behavior.require_window(enough, "wave")
    with pytest.raises(MotionError, match="wave has 9 frames at 20 frames per second, expected the 10 or more"):
        behavior.require_window(behavior.prepare(first_frames(wave_motion, 11)), "wave")


def test_ground_is_where_people_stood_in_the_training_data(behavior, corpus):
    floors = [floor_height(corpus.read(entry).joints) for entry in corpus.info.motions]
    assert behavior.ground == pytest.approx(np.median(floors), abs=0.05)
    with torch.no_grad():
        behavior.stage.network.mean[:, 1] -= 1.25
    assert behavior.ground == pytest.approx(np.median(floors) - 1.25, abs=0.05)


# ---- Codes


def test_codes_are_of_the_first_frames_at_the_rate_that_was_learned(behavior, wave, wave_motion):
    code = behavior.encode([wave])
    cut = without_rotations(first_frames(wave_motion, 12))
    torch.testing.assert_close(behavior.encode([behavior.prepare(cut)]), code, atol=0.05, rtol=0)
    faster = behavior.prepare(resample(wave_motion, 50.0))
    torch.testing.assert_close(behavior.encode([faster]), code, atol=0.05, rtol=0)
    assert behavior.encode([]).shape == (0, 32)


def test_in_the_reference_places_count(samples, wave_motion):
    behavior = make_generator(samples, canonical=False)
    motions = [wave_motion, place(wave_motion, Placement(5.0, 3.0, 1.3))]
    code, moved = behavior.encode([behavior.prepare(motion) for motion in motions])
    assert not torch.allclose(code, moved, atol=1e-3)


def test_an_interpolated_code_is_as_long_as_both_ends():
    start, end = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    halfway = slerp_codes(start, end, 0.5)
    assert halfway.norm().item() == pytest.approx((start.norm() + end.norm()).item() / 2, rel=1e-4)
    assert torch.cosine_similarity(halfway, start, dim=0).item() == pytest.approx(
        torch.cosine_similarity(halfway, end, dim=0).item(), abs=1e-4
    )
    torch.testing.assert_close(slerp_codes(start, end, 0.0), start)
    torch.testing.assert_close(slerp_codes(start, end, 1.0), end)
    torch.testing.assert_close(slerp_codes(start, 3 * start, 0.5), 2 * start)
    torch.testing.assert_close(slerp_codes(torch.zeros(3), torch.ones(3), 0.25), torch.full((3,), 0.25))


# ---- Transfer


@pytest.mark.parametrize("canonical", [True, False])
def test_transfer_starts_in_the_targets_posture_and_place(canonical, samples, walk_motion, wave_motion):
    behavior = make_generator(samples, canonical=canonical)
    with torch.no_grad():
        behavior.stage.network.decoder.head.weight.zero_()  # no velocity: the motion stays as it starts
        behavior.stage.network.decoder.head.bias.zero_()
    (motion,) = behavior.transfer([behavior.prepare(wave_motion)], [behavior.prepare(walk_motion)], 5)
    np.testing.assert_allclose(h36m_joints(walk_motion)[[0] * 5], seventeen(motion), atol=0.06)
    np.testing.assert_allclose(motion.trans, walk_motion.trans[[0] * 5], atol=1e-4)
    assert (motion.label, motion.label_name, motion.fps, len(motion)) == (1, "wave", 25.0, 5)
    assert motion.meta["invented_joints"] == list(INVENTED_JOINTS)


def test_first_frame_of_a_transfer_leaves_the_start_by_what_the_head_says(behavior, walk, walk_motion, wave):
    code = behavior.encode([wave])
    network, where = behavior.stage.network, placement(walk_motion)
    start = network.normalize(torch.from_numpy(where.to_canonical(h36m_joints(walk_motion)[0])))
    with torch.no_grad():
        hidden, _ = network.decoder.rnn(start[None], (code, code))
        expected = network.denormalize(start + network.decoder.head(hidden))[0].numpy()
    motion = behavior.transfer([wave], [walk], 1)[0]
    np.testing.assert_allclose(motion.trans[0], where.to_world(expected)[6], atol=1e-4)


def test_a_motion_may_begin_with_its_posture(behavior, walk, walk_motion, wave):
    codes, posture = behavior.encode([wave]), walk.joints[0]
    (whole,), (rest,) = (behavior.generate(codes, [posture], 6, with_start=start) for start in (True, False))
    np.testing.assert_allclose(seventeen(whole)[0], h36m_joints(walk_motion)[0], atol=0.06)
    np.testing.assert_allclose(whole.trans[0], walk_motion.trans[0], atol=1e-4)
    limbs = joint_indices([name for name in H36M_17 if name in SMPL_24 and name != "neck"], SMPL_24)
    np.testing.assert_allclose(whole.joints[0, limbs], walk_motion.joints[0, limbs], atol=1e-5)
    np.testing.assert_allclose(whole.joints[1:, :3], rest.joints[:, :3], atol=1e-5)  # which both skeletons share
    assert len(whole) == 7


def test_a_source_of_another_rate_gives_the_same_transfer(behavior, walk, wave, wave_motion):
    faster = behavior.prepare(resample(wave_motion, 50.0))
    (expected,), (motion,) = (behavior.transfer([source], [walk], 5) for source in (wave, faster))
    np.testing.assert_allclose(motion.joints, expected.joints, atol=1e-3)


def test_transfers_do_not_depend_on_where_people_are(behavior, walk, walk_motion, wave, wave_motion):
    elsewhere = Placement(5.0, 3.0, 1.3)
    here = behavior.transfer([wave], [walk])[0]
    source, target = (behavior.prepare(place(motion, elsewhere)) for motion in (wave_motion, walk_motion))
    moved = behavior.transfer([source], [target])[0]
    np.testing.assert_allclose(moved.joints, elsewhere.to_world(here.joints), atol=1e-3)
    canonical = behavior.transfer([behavior.prepare(canonicalize(wave_motion)[0])], [walk])[0]
    np.testing.assert_allclose(canonical.joints, here.joints, atol=1e-3)


@pytest.mark.parametrize("length", [1, 7, 60, 200])
def test_motions_of_any_length_are_generated(length, behavior, walk, wave):
    motion = behavior.transfer([wave], [walk], length)[0]
    assert motion.joints.shape == (length, 24, 3) and np.isfinite(motion.joints).all()


def test_several_targets_do_not_influence_each_other(behavior, walk, wave):
    motions = behavior.transfer([wave] * 3, [walk, wave, walk], 33)
    assert [len(motion) for motion in motions] == [33] * 3
    np.testing.assert_allclose(motions[0].joints, motions[2].joints, atol=1e-5)
    alone = behavior.transfer([wave], [walk], 33)[0]
    np.testing.assert_allclose(motions[0].joints, alone.joints, atol=1e-4)


def test_reconstruction_is_a_transfer_to_the_motion_itself(behavior, walk, wave):
    motions = [walk, wave]
    for left, right in zip(behavior.reconstruct(motions), behavior.transfer(motions, motions), strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
        assert len(left) == 12


# ---- Random futures and interpolation


def test_futures_begin_at_the_last_frame_and_follow_their_seed(behavior, walk, wave, walk_motion):
    first, same = (behavior.sample([walk, wave], 4, seed=3) for _ in range(2))
    for left, right in zip(first, same, strict=True):
        np.testing.assert_array_equal(left.joints, right.joints)
    assert not np.allclose(behavior.sample([walk, wave], 4, seed=4)[0].joints, first[0].joints, atol=1e-3)
    near = np.linalg.norm(first[0].trans[0] - walk_motion.trans[[0, -1]], axis=-1)
    assert near[1] < near[0]


def test_many_are_generated_in_several_batches(behavior, walk, wave, monkeypatch):
    whole = behavior.sample([walk, wave, walk], 3)
    monkeypatch.setattr(behavior_module, "_BATCH", 2)
    for left, right in zip(whole, behavior.sample([walk, wave, walk], 3), strict=True):
        np.testing.assert_allclose(left.joints, right.joints, atol=1e-4)


def test_futures_are_sampled_through_the_flow(walk_motion):
    shared = {"latent_dim": 16, "num_frames": 8, "actions": ("walk", "wave", "squat"), "fps": 25.0}
    torch.manual_seed(0)
    flow = BehaviorFlow(BehaviorFlow.Config(behavior="runs/b", hidden_dim=32, depth=1, num_blocks=3, **shared))
    behavior = BehaviorGenerator(flow, CPU)
    walk = behavior.prepare(walk_motion)
    futures = behavior.sample([walk, walk], 5, seed=3)
    codes = flow.flow.inverse(torch.randn((2, 16), generator=torch.Generator().manual_seed(3))).detach()
    for left, right in zip(futures, behavior.generate(codes, [walk.joints[-1]] * 2, 5), strict=True):
        np.testing.assert_allclose(left.joints, right.joints, atol=1e-4)
    assert not np.allclose(futures[0].joints, futures[1].joints, atol=1e-3)


def test_interpolation_goes_from_one_behaviour_to_the_other(behavior, walk, wave):
    motions = behavior.interpolate(walk, wave, walk, count=3, num_frames=4)
    assert len(motions) == 3
    np.testing.assert_allclose(motions[0].joints, behavior.transfer([walk], [walk], 4)[0].joints, atol=1e-3)
    np.testing.assert_allclose(motions[2].joints, behavior.transfer([wave], [walk], 4)[0].joints, atol=1e-3)


# ---- Mistakes and runs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, m: b.transfer([m], []), "got 1 sources and 0 targets"),
        (lambda b, m: b.generate(torch.zeros(1, 8), [m.joints[0]]), r"codes of shape \(1, 8\), expected \(1, 32\)"),
        (lambda b, m: b.generate(torch.zeros(1, 32), [m.joints[0]], -1), "at least 1 frame, got -1"),
        (lambda b, m: b.generate(torch.zeros(1, 32), [m.joints]), r"of shape \(\d+, 17, 3\), expected \(17, 3\)"),
        (lambda b, m: b.interpolate(m, m, m, count=1), "count must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_generated_is_refused(call, message, behavior, walk):
    with pytest.raises(ValueError, match=message):
        call(behavior, walk)


def test_runs_of_both_stages_are_loaded_and_others_refused(behavior, wave, walk, tmp_path):
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None)
    flow = BehaviorFlow(
        BehaviorFlow.Config(behavior="runs/b", hidden_dim=32, num_blocks=2, num_frames=12, latent_dim=32)
    )
    for name, stage in (("behavior", behavior.stage), ("flow", flow), ("other", Recognition(Recognition.Config()))):
        save_checkpoint(StorageFolder(tmp_path / name), stage, progress)
    loaded = load_behavior_generator(str(tmp_path / "behavior"), CPU)
    own, expected = (one.transfer([wave], [walk])[0] for one in (loaded, behavior))
    np.testing.assert_array_equal(own.joints, expected.joints)
    assert isinstance(load_behavior_generator(str(tmp_path / "flow"), CPU).stage, BehaviorFlow)
    with pytest.raises(CheckpointError, match="'recognition', expected 'behavior' or 'behavior_flow'"):
        load_behavior_generator(str(tmp_path / "other"))
