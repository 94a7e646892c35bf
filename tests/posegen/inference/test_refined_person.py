"""A person whose frames are refined, and the pairs that a refiner is adapted by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.errors import CheckpointError
from posegen.features.background import fill_background
from posegen.features.body_pose import BodyPoses
from posegen.features.matte import soft_matte
from posegen.inference.adaptation_pairs import pair_of_photos, there_and_back
from posegen.inference.photo import Photo
from posegen.inference.refined_person import RefinedPerson, load_refiner
from posegen.io.storage import StorageFolder
from posegen.stages import Colorizer, Refiner
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, StudioPair, render_pair
from posegen.synthetic.studio.pairs import pair_motion
from posegen.synthetic.studio.people import CAST
from posegen.synthetic.studio.retarget import retarget


def photo_of(pair: StudioPair, index: int) -> Photo:
    image, mask = pair.images[index], pair.masks[index]
    background = fill_background(image, mask, pair.poses[index])
    return Photo(image, pair.poses[index], pair.classes[index], soft_matte(image, mask), background)


@pytest.fixture(scope="module")
def pair() -> StudioPair:
    person = CAST["farid"]
    motion = retarget(perform("wave_one_hand", make_subject(0), frames=40), person)
    return render_pair(person, pair_motion(motion, (0, 25), (0.0, 0.0)), RenderSettings(size=(250, 170)))


@pytest.fixture(scope="module")
def photo(pair) -> Photo:
    return photo_of(pair, 0)


def make_refiner(bias: float = 0.0) -> Refiner:
    torch.manual_seed(0)
    refiner = Refiner(Refiner.presets["tiny"]).eval()
    torch.nn.init.constant_(refiner.network.head.bias, bias)
    return refiner


def test_an_untrained_refiner_changes_nothing(pair, photo):
    person = photo.layered()
    shown = RefinedPerson(person, make_refiner()).frame(pair.poses[1])
    np.testing.assert_array_equal(shown, person.frame(pair.poses[1]))


def test_only_the_person_changes(pair, photo):
    person = photo.layered()
    shown = RefinedPerson(person, make_refiner(0.2)).frame(pair.poses[1])
    changed = (shown != person.frame(pair.poses[1])).any(axis=-1)
    near = person.frame_with_map(pair.poses[1]).layers >= 0
    assert changed.any() and not (changed & ~near).any()


def test_colours_go_along(pair, photo):
    red = np.full_like(photo.image, (200, 0, 0))
    shown = RefinedPerson(photo.layered(), make_refiner()).recolored(red).frame(pair.poses[1])
    np.testing.assert_array_equal(shown, photo.layered().recolored(red).frame(pair.poses[1]))


def test_nobody_is_not_refined(photo):
    nobody = BodyPoses.from_keypoints(np.zeros((18, 3), np.float32))
    shown = RefinedPerson(photo.layered(), make_refiner(0.2)).frame(nobody)
    np.testing.assert_array_equal(shown, photo.background)


def test_runs_are_loaded(tmp_path):
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="x", size=None)
    for name, stage in (("r", make_refiner(0.1)), ("c", Colorizer(Colorizer.presets["tiny"]))):
        save_checkpoint(StorageFolder(str(tmp_path / name)), stage, progress)
    loaded = load_refiner(str(tmp_path / "r"))
    assert not loaded.training and loaded.network.head.bias[0].item() == pytest.approx(0.1)
    with pytest.raises(CheckpointError, match="colorizer"):
        load_refiner(str(tmp_path / "c"))


def test_there_and_back_is_the_photo_with_holes(pair, photo):
    back = there_and_back(photo, pair.poses[1])
    assert back is not None
    np.testing.assert_array_equal(back.target, photo.image)
    person = back.mask > 250
    difference = np.abs(back.composed.astype(int) - back.target).mean(axis=-1)[person]
    assert 0.5 < difference.mean() < 15  # grey levels: nearly the photo, and not quite
    known = (back.visible > 0) & (back.sure > 0) & (back.opacity == 255)
    off = np.linalg.norm(back.truth - back.positions, axis=-1)[known]
    assert known.sum() > 0.4 * person.sum() and np.quantile(off, 0.9) < 0.5  # pixels: poses are exact
    warped = cv2.remap(back.source, np.nan_to_num(back.truth), None, cv2.INTER_LINEAR)
    assert np.abs(warped.astype(int) - back.target).mean(axis=-1)[back.visible > 0].mean() < 4


def test_a_person_out_of_the_picture_gives_no_pair(photo):
    far = BodyPoses(photo.pose.keypoints + np.float32((5000, 0, 0)), photo.pose.depths, photo.pose.toes)
    assert there_and_back(photo, far) is None


def test_pairs_of_two_pictures_know_no_correspondence(pair, photo):
    other = photo_of(pair, 1)
    found = pair_of_photos(photo, other)
    np.testing.assert_array_equal(found.target, other.image)
    np.testing.assert_array_equal(found.composed, photo.layered().frame(other.pose))
    assert not found.visible.any() and np.isnan(found.truth).all()
