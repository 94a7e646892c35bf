"""Action classifiers by name: runs and published ones, their labels and hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, save_checkpoint
from posegen.datasets.motion_formats.action_names import HUMANACT12, NTU13
from posegen.errors import CheckpointError, WeightsError
from posegen.inference.action_classifiers import ActionClassifier, load_action_classifier
from posegen.io.storage import StorageFolder
from posegen.motion.editing import find_rotations
from posegen.motion.motion import Motion
from posegen.motion.pose_features import motion_features, recognized_joints, rest_of
from posegen.networks.recognition import GRURecognizer
from posegen.samples import Batch, fixed_batch
from posegen.stages import Actor, Recognition
from posegen.weights import download as weights

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of weights."""
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def batch(corpus) -> Batch:
    config = Recognition.Config(actions=tuple(corpus.info.actions), num_frames=25)
    return fixed_batch(Recognition.open_samples(config, corpus, "test"), 12, 12)[0]


def provide(name: str, folder: Path, seed: int = 0) -> GRURecognizer:
    """Put weights of random values into the cache, and return their network."""
    torch.manual_seed(seed)
    network = GRURecognizer(12, 24) if name == "gru-humanact12" else GRURecognizer(13, 18)
    torch.save({"model": network.state_dict()}, folder / "gru.tar")
    weights.provide(name, folder / "gru.tar")
    return network.eval()


def test_run_tells_the_actions_it_learned(recognizer_run, batch, corpus):
    recognizer = load_action_classifier(str(recognizer_run), CPU)
    stage = load_stage(StorageFolder(recognizer_run), Recognition)
    assert recognizer.name == str(recognizer_run) and recognizer.actions == tuple(corpus.info.actions)
    recognized = recognizer.recognize(batch, None)
    assert torch.equal(recognized.logits, stage.recognize(batch).logits) and recognized.features.shape == (12, 30)
    assert (recognized.logits.argmax(dim=1) == batch["action"]).float().mean() > 0.5


def test_hash_is_that_of_the_weights(recognizer_run, tmp_path):
    stage = load_stage(StorageFolder(recognizer_run), Recognition)
    first = load_action_classifier(str(recognizer_run), CPU).sha256
    assert len(first) == 64

    def saved(name: str) -> str:
        save_checkpoint(
            StorageFolder(tmp_path / name), stage, TrainingProgress(epoch=9, step=9, data_fingerprint="", size=None)
        )
        return load_action_classifier(str(tmp_path / name), CPU).sha256

    assert saved("copy") == first
    with torch.no_grad():
        stage.best.linear2.bias[3] += 1e-3
    assert saved("changed") != first


@pytest.mark.parametrize(("asked", "labels"), [(("c", "a"), [2, 0]), (("a", "b", "c"), [0, 1, 2]), ((), [])])
def test_labels_are_found_by_name(asked, labels):
    recognizer = ActionClassifier("r", "", ("a", "b", "c"), 0.0, lambda batch, generator: None)
    assert recognizer.labels(asked, 25.0).tolist() == labels


def test_unknown_actions_are_named():
    recognizer = ActionClassifier("r", "", ("a", "b"), 25.0, lambda batch, generator: None)
    with pytest.raises(ValueError, match="the action classifier r does not know 'fly', expected one of a, b"):
        recognizer.labels(("a", "fly"), 25.0)
    with pytest.raises(ValueError, match="was trained at 25 frames per second, got 30"):
        recognizer.labels(("a",), 30.0)


def test_what_is_no_recognizer_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*; or take one of gru-humanact12, gru-ntu13$"):
        load_action_classifier(str(tmp_path))
    stage = Actor(Actor.Config(latent_dim=32, num_layers=1, feedforward_dim=32))
    save_checkpoint(StorageFolder(tmp_path), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None))
    with pytest.raises(CheckpointError, match="is of the stage 'actor', expected 'recognition'"):
        load_action_classifier(str(tmp_path))


def test_published_weights_come_from_the_user(cache):
    with pytest.raises(WeightsError, match=r"humanact12_gru\.tar"):
        load_action_classifier("gru-humanact12")


@pytest.mark.parametrize(
    ("name", "joints", "actions"), [("gru-humanact12", "smpl24", HUMANACT12), ("gru-ntu13", "a2m18", NTU13)]
)
def test_published_recognizers_see_joints_in_a_cameras_axes(name, joints, actions, cache, tmp_path, batch):
    network = provide(name, tmp_path)
    recognizer = load_action_classifier(name, CPU)
    assert recognizer.actions == actions and recognizer.sha256 == weights.identity(name)
    seen = recognized_joints(batch["motion"], batch["rest"], joints) * torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(recognizer.recognize(batch, None), network(seen, batch["length"]))
    noisy = [recognizer.recognize(batch, torch.Generator().manual_seed(seed)).features for seed in (0, 0, 1)]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])


def test_published_hash_changes_with_the_weights(cache, tmp_path):
    hashes = []
    for seed in (0, 0, 1):
        provide("gru-humanact12", tmp_path, seed)
        hashes.append(load_action_classifier("gru-humanact12", CPU).sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_published_recognizer_knows_real_motions_by_their_rotations(shared, cache):
    """Real joints, turned upright, become rotations on a body of their own, and are still told."""
    weights.provide("gru-humanact12", shared / "data" / "motion" / "a2m_gru_classifier_humanact12.pth")
    recognizer = load_action_classifier("gru-humanact12", CPU)
    data = np.load(shared / "data" / "motion" / "humanact12_joints24.npz")
    ends, right = np.cumsum(data["lengths"]), 0
    clips = range(0, len(ends), 80)
    for clip in clips:
        start = ends[clip] - data["lengths"][clip]
        joints = data["joints"][start : ends[clip]][:60] * np.float32([1, -1, -1])
        motion = find_rotations(Motion.from_joints(joints, 20.0)).motion
        features = torch.from_numpy(motion_features(motion))
        filled = torch.cat([features, features[-1:].expand(60 - len(features), -1, -1)])[None]
        rest = torch.from_numpy(rest_of(motion))[None]
        given = {"motion": filled, "length": torch.tensor([60]), "rest": rest}
        right += int(recognizer.recognize(given, None).logits.argmax()) == data["label"][clip]
    assert right / len(clips) > 0.9
