"""Samples of the person parser: functions of the plan, in step with their labels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from posegen.datasets.parsing import ParsingDataset
from posegen.person_classes import PersonClass
from posegen.samples import ParsedPhotos, ParsedPhotoSettings
from posegen.skeletons import joint_indices
from tests.support.labelled_photos import studio_photos, write_photos

SIZE = (128, 96)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ParsingDataset:
    return write_photos(tmp_path_factory.mktemp("photos"), studio_photos(size=(128, 96)))


def open_samples(dataset: ParsingDataset, **changes) -> ParsedPhotos:
    return ParsedPhotos(dataset, "train", ParsedPhotoSettings(**{"size": SIZE, **changes}))


def test_a_plan_is_a_function_of_seed_and_epoch(dataset):
    samples = open_samples(dataset, epoch_size=7)
    assert samples.plan(3) == open_samples(dataset, epoch_size=7).plan(3)
    assert samples.plan(3) != samples.plan(4) and len(samples.plan(3)) == 7
    assert {sample.photo for sample in samples.plan(0)} == {0, 1, 2}


def test_crops_grow(dataset):
    samples = open_samples(dataset, half_epochs=2, three_quarter_epochs=1)
    assert [samples.plan(epoch)[0].size for epoch in range(4)] == [(64, 64), (64, 64), (96, 64), SIZE]
    assert open_samples(dataset, half_epochs=2, disturbed=False).plan(0)[0].size == SIZE


def test_samples_are_equal_however_they_are_loaded(dataset):
    samples = open_samples(dataset)
    sample = samples.plan(0)[1]
    first, again = samples.load(sample), pickle.loads(pickle.dumps(samples)).load(sample)
    assert first["inputs"].shape == (24, *SIZE) and first["inputs"].dtype == np.float32
    assert first["labels"].shape == SIZE and first["labels"].dtype == np.int64
    for key, value in first.items():
        np.testing.assert_array_equal(again[key], value)


def test_undisturbed_samples_are_those_of_the_photo(dataset):
    samples = open_samples(dataset, disturbed=False)
    crop = samples.load(samples.plan(0)[0])
    inputs, labels = crop["inputs"], crop["labels"]
    known = labels != 255
    np.testing.assert_array_equal((inputs[22] == 1)[known], (labels == PersonClass.UPPER)[known])
    assert (inputs[21][labels == PersonClass.SKIN] > 0.25).all()


def test_mirrored_samples_have_their_joints_swapped(dataset):
    """Garments lie where the first guess has them, and the right wrist's heat is on the person's right side."""
    right, left = joint_indices(["right_shoulder", "left_shoulder"]) + 3
    turned = set()
    samples = open_samples(dataset, pose_drop=0.0, recolored_share=0.0)
    for epoch in range(8):
        crop = samples.load(samples.plan(epoch)[0])
        if crop["inputs"][22].any():
            agree = (crop["inputs"][22] == 1) == (crop["labels"] == PersonClass.UPPER)
            assert agree[crop["labels"] != 255].mean() > 0.97
        if crop["inputs"][right].any() and crop["inputs"][left].any():
            columns = [crop["inputs"][joint].max(axis=0).argmax() for joint in (right, left)]
            turned.add(bool(columns[0] < columns[1]))
    assert turned == {True}


def test_poses_and_guesses_are_dropped(dataset):
    samples = open_samples(dataset, pose_drop=1.0)
    crop = samples.load(samples.plan(0)[0])
    assert not crop["inputs"][3:21].any() and not crop["inputs"][22:].any()
