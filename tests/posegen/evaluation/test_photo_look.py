"""A studio person's photo in its own pose, where every figure is known, and what spoils it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.color.garment_segmentation import garment_labels
from posegen.color.palette import parse_color
from posegen.errors import ColorError
from posegen.evaluation.photo_look import ShownPhoto, SurfaceMap, evenly, own_look, score_color, score_wholeness
from posegen.features.background import fill_background
from posegen.features.body_pose import BodyPoses
from posegen.inference.photo import Photo
from posegen.person_classes import PersonClass
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (192, 128)


@pytest.fixture(scope="module")
def photo() -> Photo:
    clip = render_action("grace", "salute", 2, RenderSettings(size=SIZE))
    mask = (clip.masks[0] > 127).astype(np.uint8) * 255
    garments = garment_labels(clip.images[:1], clip.keypoints[:1], mask[None])[0]
    labels = np.where(mask > 0, PersonClass.SKIN, PersonClass.BACKGROUND).astype(np.uint8)
    labels[garments == 1], labels[garments == 2] = PersonClass.UPPER, PersonClass.LOWER
    pose = BodyPoses.from_keypoints(clip.keypoints[0].astype(np.float32))
    background = fill_background(clip.images[0], mask, pose)
    return Photo(clip.images[0], pose, labels, (mask / 255).astype(np.float32), background)


@pytest.fixture(scope="module")
def shown(photo: Photo) -> ShownPhoto:
    """The person in the photo's own pose, and a little to the right."""
    moved = photo.pose.keypoints.copy()
    moved[:, 0] += 12
    keypoints = np.stack([photo.pose.keypoints, moved])
    return ShownPhoto.of(photo, BodyPoses.from_keypoints(keypoints))


def test_surfaces_are_where_they_were_in_the_own_pose(photo, shown):
    surface = shown.surfaces[0]
    ys, xs = np.nonzero(surface.opaque)
    assert len(ys) > 0.7 * (photo.labels > 0).sum()
    assert np.median(np.abs(surface.columns[ys, xs] - xs)) <= 1
    assert np.median(np.abs(surface.rows[ys, xs] - ys)) <= 1
    moved = shown.surfaces[1]
    ys, xs = np.nonzero(moved.opaque)
    assert np.median(moved.columns[ys, xs] - xs) == pytest.approx(-12, abs=1)


def test_surfaces_are_found_to_the_pixel(photo):
    """Stripes of one pixel keep their look only where no pixel is taken for the one below."""
    image = photo.image.copy()
    image[::2][photo.labels[::2] > 0] //= 3
    striped = replace(photo, image=image)
    shown = ShownPhoto.of(striped, BodyPoses.from_keypoints(photo.pose.keypoints[None]))
    surface, sure = shown.surfaces[0], striped.layered().frame_with_map(photo.pose).sure
    there = image[surface.rows, surface.columns].astype(int)
    assert np.abs(there - shown.frames[0])[surface.opaque & sure].mean() < 2


def test_a_person_who_only_moves_keeps_the_look(shown):
    look = own_look(shown)
    assert look.keys() == {"garments", "skin"}  # nothing is called hair in this photo
    assert max(look.values()) < 2


def test_another_colour_is_seen_wherever_it_is(shown):
    tinted = shown.frames.copy()
    tinted[1] = 255 - tinted[1]
    assert own_look(replace(shown, frames=tinted))["garments"] > own_look(shown)["garments"] + 10


def test_the_background_does_not_count(photo, shown):
    frames = np.where(np.stack([one.drawn for one in shown.surfaces])[..., None], shown.frames, 0).astype(np.uint8)
    assert own_look(replace(shown, frames=frames)) == pytest.approx(own_look(shown), abs=0.3)


def test_a_colour_is_met_and_stays_in_the_garment(shown):
    scores = score_color(shown, "upper", parse_color("#2a6fdb"))
    assert scores.distances.shape == (2,)
    assert np.nanmedian(scores.distances) < 3
    assert scores.leak < 0.05


def test_a_garment_that_truly_is_elsewhere_shows_the_leak(photo, shown):
    truth = np.where(photo.labels == PersonClass.UPPER, PersonClass.SKIN, photo.labels).astype(np.uint8)
    truth[photo.labels == PersonClass.LOWER] = PersonClass.UPPER
    scores = score_color(shown, "upper", parse_color("#2a6fdb"), truth)
    assert scores.leak > 0.2  # what is painted is skin, by the truth
    assert np.nanmin(scores.distances) > 5


def test_a_garment_that_is_not_seen_is_named(photo, shown):
    bare = replace(photo, labels=np.where(photo.labels > 0, PersonClass.SKIN, 0).astype(np.uint8))
    with pytest.raises(ColorError):
        score_color(replace(shown, photo=bare), "upper", parse_color("navy"))


def test_a_person_left_in_place_is_counted(photo, shown):
    clean = score_wholeness(shown)
    haunted = score_wholeness(replace(shown, photo=replace(photo, background=photo.image)))
    assert clean.ghosts < 0.01
    assert haunted.ghosts > clean.ghosts + 0.05  # only where the moved person does not cover it
    assert clean.whole_limbs > 0.9


def test_limbs_that_are_not_drawn_are_not_whole(shown):
    nobody = [one._replace(drawn=np.zeros_like(one.drawn)) for one in shown.surfaces]
    assert score_wholeness(replace(shown, surfaces=nobody)).whole_limbs == 0


def test_poses_are_spread_evenly():
    poses = BodyPoses.from_keypoints(np.arange(10 * 54, dtype=np.float32).reshape(10, 18, 3))
    assert (evenly(poses, 3).keypoints[:, 0, 0] == poses.keypoints[[0, 4, 9], 0, 0]).all()
    assert len(evenly(poses, 50)) == 10


def test_nothing_is_shown_without_a_trunk(photo):
    surface = SurfaceMap(photo.layered()).of(BodyPoses.from_keypoints(np.zeros((18, 3), np.float32)))
    assert not surface.drawn.any() and not surface.opaque.any()
