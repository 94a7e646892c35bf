"""The protocol of behaviour: nets of which it is known what they do get the figures that belong to that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError
from posegen.evaluation.behavior import BehaviorProtocol, futures_from, probed_frames, score_behavior
from posegen.evaluation.behavior_rollouts import sample_late_starts, sample_windows
from posegen.io.storage import StorageFolder
from posegen.motion.editing import posture_placement
from posegen.networks.behavior import BehaviorNet
from posegen.samples import BehaviorWindows, EpochSettings, WindowSettings
from posegen.skeletons import H36M_17
from posegen.stages import Behavior
from posegen.synthetic.motions import make_subject, perform
from tests.support.samples import make_samples as collect

ACTIONS = ("walk", "wave", "squat")
FRAMES = 8
CONFIG = Behavior.Config(num_frames=FRAMES, latent_dim=FRAMES * 51, actions=ACTIONS, fps=25.0)
PROTOCOL = BehaviorProtocol(
    windows=60,
    training_windows=150,
    sequences=6,
    futures=4,
    action_dim=32,
    action_steps=70,
    realism_dim=32,
    realism_steps=80,
    posture_steps=30,
)


class Copying(BehaviorNet):
    """Its codes are the postures themselves, whatever it shall start from."""

    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        code = self.normalize(joints).flatten(1)
        return code, torch.zeros_like(code)

    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        return self.denormalize(code.unflatten(1, (num_frames, -1)))


class Standing(BehaviorNet):
    """Its codes say nothing, and people stay as they are."""

    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.zeros(2, len(joints), CONFIG.latent_dim).unbind()

    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        return start[:, None].expand(-1, num_frames, -1, -1).clone()


class Naming(BehaviorNet):
    """Its code of a window is the unit vector of the window's action, and 0 for motions that are none of the data."""

    actions: dict[bytes, int]

    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        code = torch.zeros(len(joints), CONFIG.latent_dim)
        for row, window in enumerate(joints.numpy()):
            if window.tobytes() in self.actions:
                code[row, self.actions[window.tobytes()]] = 1
        return code, torch.zeros_like(code)

    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        return start[:, None].expand(-1, num_frames, -1, -1).clone()


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> MotionDataset:
    """Six to learn from and two held out, with three actions each."""
    motions = (
        NamedMotion(
            perform(action, make_subject(number)), f"s{number}", action, "corpus", "test" if number > 5 else "train"
        )
        for action in ACTIONS
        for number in range(8)
    )
    folder = StorageFolder(tmp_path_factory.mktemp("people"))
    write_motions(folder, motions, settings={})
    return MotionDataset(folder)


def windows(data: MotionDataset, split: str, **changes) -> BehaviorWindows:
    options = {"actions": ACTIONS, "windows": WindowSettings(num_frames=changes.pop("num_frames", FRAMES))}
    return collect(BehaviorWindows, EpochSettings, data, split, **(options | changes))


def stage_with(kind: type[BehaviorNet], data: MotionDataset) -> Behavior:
    """A stage whose net is this one."""
    stage = Behavior(CONFIG)
    stage.begin(windows(data, "train"))
    network = kind(17, CONFIG.latent_dim)
    network.load_state_dict(stage.network.state_dict())
    stage.network = network
    return stage.eval()


def means(data: MotionDataset, kind: type[BehaviorNet], protocol: BehaviorProtocol = PROTOCOL) -> dict:
    training, held_out = (windows(data, split, actions=(*ACTIONS, "fly")) for split in ("train", "test"))
    found = score_behavior(stage_with(kind, data), training, held_out, protocol)
    return {source: {name: float(np.mean(values)) for name, values in of.items()} for source, of in found.items()}


@pytest.fixture(scope="module")
def copied(people) -> dict:
    return means(people, Copying)


@pytest.fixture(scope="module")
def stood(people) -> dict:
    return means(people, Standing)


def test_copied_postures_are_the_sources_action_and_leak(copied):
    assert copied["real"]["accuracy"] > 0.8
    assert copied["transfer"]["accuracy"] == pytest.approx(copied["real"]["accuracy"], abs=0.1)
    assert copied["transfer"]["target_accuracy"] < 0.2
    assert copied["reconstruction"]["movement_accuracy"] > 0.7
    assert copied["transfer"]["cross_displacement"] < 0.2 * copied["real"]["cross_displacement"]
    assert copied["code"]["posture_r2"] > 0.6
    assert copied["code"]["posture_error"] < 0.6 * copied["chance"]["posture_error"]
    assert copied["transfer"]["first_step"] > 2 * copied["real"]["first_step"]  # people jump to where the source is
    assert copied["reconstruction"]["realism"] == pytest.approx(copied["reconstruction"]["realism_of_real"], abs=0.15)


def test_random_postures_are_not_real(copied):
    assert copied["prior"]["realism"] < 0.3 < 0.6 < copied["prior"]["realism_of_real"]
    assert copied["prior"]["realism_accuracy"] > 0.9
    assert copied["prior"]["limb_drift"] > 0.1 > 1e-4 > copied["real"]["limb_drift"]
    assert copied["prior"]["ade"] > 1 and copied["prior"]["asd"] > 1


def test_codes_that_say_nothing_leak_nothing_and_transfer_nothing(stood):
    assert stood["code"]["posture_r2"] < 0.05
    assert stood["code"]["posture_error"] == pytest.approx(stood["chance"]["posture_error"], rel=0.1)
    for name in ("accuracy", "movement_accuracy"):
        assert stood["transfer"][name] < 0.6 * stood["real"][name]
    assert stood["transfer"]["first_step"] == 0 == pytest.approx(stood["transfer"]["limb_drift"], abs=1e-9)
    assert stood["prior"]["asd"] == stood["prior"]["fsd"] == stood["prior"]["apd"] == 0
    assert stood["transfer"]["consistency"] == 0 == stood["chance"]["consistency"]
    displaced = stood["transfer"]["cross_displacement"], stood["real"]["cross_displacement"]
    assert displaced[0] == pytest.approx(displaced[1], rel=0.5)


def test_chance_is_one_of_the_actions_that_have_windows(stood):
    assert stood["chance"]["accuracy"] == pytest.approx(1 / 3)


def test_codes_of_one_action_are_compared_with_those_of_others(people):
    """The distances that are known: 0 within an action, √2 between two, and 1 to motions without a code."""
    stage = stage_with(Naming, people)
    actions = {}
    for split in ("train", "test"):
        samples = windows(people, split)
        for number, label in enumerate(samples.labels):
            assert actions.setdefault(samples.window(number)[:-1].tobytes(), int(label)) == label
    stage.network.actions = actions
    quick = replace(PROTOCOL, windows=12, training_windows=24, action_steps=1, realism_steps=1, posture_steps=1)
    scores = score_behavior(stage, windows(people, "train"), windows(people, "test"), quick)
    consistency = {source: of["consistency"] for source, of in scores.items() if "consistency" in of}
    assert consistency["real"] == [0] * quick.seeds
    assert consistency["chance"] == pytest.approx([2**0.5] * quick.seeds)
    assert consistency["transfer"] == consistency["reconstruction"] == pytest.approx([1] * quick.seeds)


def test_scores_follow_the_seeds_alone(people, stood):
    quick = replace(PROTOCOL, windows=12, training_windows=24, action_steps=2, realism_steps=2, posture_steps=2)
    assert means(people, Copying, quick) == means(people, Copying, quick)


def test_parts_are_told(people):
    quick = replace(PROTOCOL, windows=6, training_windows=6, action_steps=1, realism_steps=1, posture_steps=1)
    heard: list[tuple[int, int]] = []
    score_behavior(
        stage_with(Standing, people),
        windows(people, "train"),
        windows(people, "test"),
        quick,
        on_progress=lambda done, total: heard.append((done, total)),
    )
    assert [done for done, _ in heard] == list(range(heard[0][1] + 1))


def test_transfers_are_between_actions_and_people(people):
    samples = windows(people, "test")
    chosen = sample_windows(samples, 60, np.random.default_rng(0))
    assert chosen.labels.bincount().tolist() == [20, 20, 20]
    assert (chosen.labels != chosen.target_labels).all()
    own, other = (
        (x[:, 0, H36M_17.index("left_hip")] - x[:, 0, H36M_17.index("left_knee")]).norm(dim=1)
        for x in (chosen.joints, chosen.targets)
    )
    assert ((own - other).abs() > 1e-3).all()  # thighs tell people apart


def test_where_there_is_one_person_transfers_are_between_their_actions(corpus):
    samples = windows(corpus, "test")
    assert len({entry.person for entry in samples.entries}) == 1
    chosen = sample_windows(samples, 9, np.random.default_rng(0))
    assert (chosen.labels != chosen.target_labels).all()


def test_late_postures_are_of_the_second_half_and_where_the_net_has_its_origin(people):
    stage = stage_with(Standing, people)
    targets = sample_windows(windows(people, "test"), 12, np.random.default_rng(0)).targets
    starts = sample_late_starts(stage, targets, np.random.default_rng(1))
    for start, target in zip(starts.numpy(), targets.numpy(), strict=True):
        place = posture_placement(start, H36M_17)
        np.testing.assert_allclose((place.x, place.z, place.yaw), 0, atol=1e-5)
        frames = [posture_placement(posture, H36M_17).to_canonical(posture) for posture in target]
        nearest = int(np.argmin([np.abs(start - frame).max() for frame in frames]))
        assert FRAMES // 2 <= nearest <= 3 * FRAMES // 4 and np.allclose(start, frames[nearest], atol=1e-5)


def test_futures_begin_behind_observed_windows_where_there_are_any(people):
    longest = max(entry.num_frames for entry in people.split("test"))
    assert futures_from(windows(people, "test")) == "last frame"
    assert futures_from(windows(people, "test", num_frames=longest // 2)) in ("last frame", "first frame")
    assert futures_from(windows(people, "test", num_frames=longest // 2 + 1)) == "first frame"


def test_frames_that_are_read_are_the_published_ones():
    assert probed_frames(50) == [0, 10, 20, 30, 40, 49]
    assert probed_frames(30) == [0, 6, 12, 18, 24, 29] and probed_frames(1) == [0]


def test_what_was_learned_from_is_not_measured(people):
    with pytest.raises(DatasetError, match="in the training and in the test split: split it again"):
        score_behavior(stage_with(Standing, people), windows(people, "test"), windows(people, "test"), PROTOCOL)
    with pytest.raises(DatasetError, match="got the actions"):
        score_behavior(
            stage_with(Standing, people),
            windows(people, "train", actions=("walk", "squat")),
            windows(people, "test"),
            PROTOCOL,
        )


def test_one_action_is_refused(people):
    one = [windows(people, split, actions=("walk",)) for split in ("train", "test")]
    with pytest.raises(DatasetError, match="windows of 'walk' alone, expected two actions or more"):
        score_behavior(stage_with(Standing, people), *one, PROTOCOL)


@pytest.mark.parametrize(("name", "least"), [("seeds", 2), ("futures", 2), ("windows", 1), ("realism_steps", 1)])
def test_protocol_says_what_it_needs(name, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
        BehaviorProtocol(**{name: least - 1})
