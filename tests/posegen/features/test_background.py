"""What is behind a person, made up or taken from a clip."""

from __future__ import annotations

import numpy as np

from posegen.features.background import fill_background, median_background, person_hole
from posegen.features.body_pose import BodyPoses

HEIGHT, WIDTH = 192, 128


def standing_pose() -> BodyPoses:
    keypoints = np.zeros((18, 3), np.float32)
    keypoints[10], keypoints[13] = (58, 168, 1), (70, 168, 1)  # ankles
    return BodyPoses.from_keypoints(keypoints)


def person_mask(left: int = 50) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[30:172, left : left + 28] = 255
    return mask


def wall(seed: int = 0) -> np.ndarray:
    """A wall that gets darker to the right, with grain of 3 levels."""
    shade = np.linspace(210, 150, WIDTH)[None, :, None] + np.zeros((HEIGHT, 1, 3))
    grain = np.random.default_rng(seed).normal(0, 3, (HEIGHT, WIDTH, 3))
    return (shade + grain).clip(0, 255).round().astype(np.uint8)


def painted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None] > 0, np.uint8([30, 40, 120]), image)


def test_person_vanishes_and_the_rest_is_untouched():
    image, mask = painted(wall(), person_mask()), person_mask()
    filled = fill_background(image, mask, standing_pose())
    hole = person_hole(image, mask, standing_pose())
    assert (filled[~hole] == image[~hole]).all()
    assert np.abs(filled[hole].astype(float) - wall()[hole]).mean() < 6


def test_hole_takes_in_the_shadow_and_what_the_mask_lacks():
    image, mask = painted(wall(), person_mask()), person_mask()
    shadow = np.zeros((HEIGHT, WIDTH), bool)
    shadow[60:140, 78:88] = True
    finger = np.zeros((HEIGHT, WIDTH), bool)
    finger[90:96, 42:50] = True
    image[shadow] = (image[shadow] * 0.8).astype(np.uint8)
    image[finger] = (200, 120, 90)
    hole = person_hole(image, mask, standing_pose())
    assert hole[shadow].all()
    assert hole[finger].all()
    assert hole.sum() < 2.2 * (mask > 0).sum()


def test_hole_takes_in_the_reflection_on_a_glossy_floor():
    mask = person_mask()
    mask[120:] = 0  # the feet stand there, and the floor mirrors the legs
    pose = standing_pose()
    pose.keypoints[[10, 13], 1] = 115
    image = painted(wall(), mask)
    reflection = np.zeros((HEIGHT, WIDTH), bool)
    reflection[120:, 52:78] = True
    image[reflection] = (0.6 * image[reflection] + 0.4 * np.array((160, 60, 20))).astype(np.uint8)
    hole = person_hole(image, mask, pose)
    assert hole[reflection].mean() > 0.95
    filled = fill_background(image, mask, pose)
    assert np.abs(filled[reflection].astype(float) - wall()[reflection]).mean() < 8
    beside = wall()  # the same stripe, but not below the person
    beside[120:, 100:116] = image[120:, 60:76]
    assert not person_hole(painted(beside, mask), mask, pose)[125:, 100:116].any()


def test_hole_of_a_plain_wall_is_little_larger_than_the_person():
    mask = person_mask()
    hole = person_hole(painted(wall(), mask), mask, standing_pose())
    assert hole.sum() < 1.4 * (mask > 0).sum()


def test_everything_is_person():
    image = wall()
    filled = fill_background(image, np.full((HEIGHT, WIDTH), 255, np.uint8), standing_pose())
    assert filled.shape == image.shape
    assert (filled == filled[0, 0]).all()


def test_nobody_is_there():
    image = wall()
    assert (fill_background(image, np.zeros((HEIGHT, WIDTH), np.uint8), standing_pose()) == image).all()


def test_clip_shows_what_is_behind_a_person_who_moves():
    scene = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    masks = [person_mask(left) for left in (2, 20, 40, 60, 80, 98)]
    found = median_background([painted(scene, mask) for mask in masks], masks)
    assert (found == scene).mean() > 0.99


def test_clip_of_a_person_who_stands_is_filled():
    masks = [person_mask()] * 3
    frames = [painted(wall(seed), mask) for seed, mask in enumerate(masks)]
    found = median_background(frames, masks)
    assert np.abs(found.astype(float) - wall()).mean() < 5


def framed_picture(picture: np.ndarray) -> np.ndarray:
    """A picture of 40 × 30 pixels in the middle of a frame, and what is behind nobody there."""
    frame, known = np.zeros((100, 50, 3), np.uint8), np.zeros((100, 50), bool)
    frame[50:90, 10:40], known[50:90, 10:40] = picture, True
    return fill_background(frame, np.zeros((100, 50), np.uint8), standing_pose(), known)


def test_picture_is_mirrored_beyond_its_border():
    """A dark strip at the border, as of a ceiling, is not smeared, and the floor does not appear above it."""
    picture = np.full((40, 30, 3), 200, np.uint8)
    picture[:6] = 10
    picture[30:] = (120, 60, 20)
    filled = framed_picture(picture)
    assert (filled[50:90, 10:40] == picture).all()
    above = filled[:50, :, 0]
    assert set(np.unique(above)) == {10, 200}  # nothing between, and no floor
    assert (above[44:50] == 10).all() and (above[38:44] == 200).all()
    assert (filled[50:90, :10] == filled[50:90, 19:9:-1]).all()
    assert (filled[90:, 10:40] == (120, 60, 20)).all()


def test_frame_of_a_picture_is_not_mirrored():
    picture = np.full((40, 30, 3), 200, np.uint8)
    picture[:1], picture[:, :2] = 0, 10
    assert (framed_picture(picture)[:, :, 0] == 200).all()
    picture[2, 2:] = 225  # enlarged: brighter beside the line
    assert (framed_picture(picture)[40:53, 12:40, 0] == 200).all()
    picture[2, 2:] = 200
    picture[0, 15:] = 90  # no frame: of two colours
    assert (framed_picture(picture)[49, 25:35, 0] == 90).all()
