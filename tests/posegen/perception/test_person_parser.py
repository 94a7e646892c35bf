"""The parser of pictures: sizes, masks and what is done with scores, by networks that say what a test wants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from posegen.errors import ConfigError
from posegen.features.parser_inputs import crop_affine, person_region
from posegen.perception.garment_guess import guess_garments, person_probability
from posegen.perception.garments import garment_masks, garments_of_classes, label_garments
from posegen.perception.person_parser import PictureParser, drop_strays, fill_person, label_classes, settle_garments
from posegen.perception.selfie import Selfie
from posegen.person_classes import PersonClass
from tests.support.labelled_photos import studio_photos


class Guess(nn.Module):
    """Takes the first guess of the garments for the truth, and the rest of the person for skin."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        person, upper, lower = inputs[:, 21:].unbind(dim=1)
        scores = torch.zeros(len(inputs), 8, *inputs.shape[2:])
        scores[:, PersonClass.SKIN] = 4 * person - 2
        scores[:, PersonClass.UPPER], scores[:, PersonClass.LOWER] = 9 * upper - 1, 9 * lower - 1
        return scores


@pytest.fixture(scope="module")
def photo():
    return studio_photos(size=(384, 256), people=("ada",))[0]


@pytest.fixture
def cached(networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))


@pytest.fixture
def parser(cached) -> PictureParser:
    return PictureParser(Guess())


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_labels_have_the_size_of_the_picture(parser, photo):
    labels = parser(photo.image, photo.keypoints, photo.mask)
    assert labels.shape == (384, 256) and labels.dtype == np.uint8
    assert iou(labels > 0, photo.labels > 0) > 0.9
    assert iou(labels == PersonClass.UPPER, photo.labels == PersonClass.UPPER) > 0.7


def test_without_a_mask_the_person_is_found(parser, photo):
    assert iou(parser(photo.image, photo.keypoints) > 0, photo.labels > 0) > 0.7


def test_scores_beside_the_region_are_of_the_background(parser, photo):
    wide = np.pad(photo.image, ((0, 0), (0, 600), (0, 0)))
    scores = parser.logits(wide, photo.keypoints, np.pad(photo.mask, ((0, 0), (0, 600)), constant_values=255))
    assert scores.shape == (384, 856, 8)
    assert (scores[:, 500:].argmax(axis=-1) == PersonClass.BACKGROUND).all()


def test_what_the_mask_shows_below_the_region_is_as_its_border(cached, photo, monkeypatch):
    """The toes of high shoes lie below it: they were hair, the first of equal scores, and stayed on the ground."""

    class Shoes(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            scores = torch.zeros(len(inputs), 8, *inputs.shape[2:])
            scores[:, PersonClass.SHOES] = 4 * inputs[:, 21] - 2
            return scores

    region = crop_affine(person_region(photo.keypoints, (384, 256)), (256, 192))
    bottom = int((255 - region[1, 2]) / region[1, 1]) + 1
    longer = np.pad(photo.image, ((0, 100), (0, 0), (0, 0)))
    mask = np.pad(photo.mask, ((0, 100), (0, 0)))
    mask[300 : bottom + 20, 100:140] = 255
    labels = PictureParser(Shoes())(longer, photo.keypoints, mask)
    assert bottom + 20 < len(longer)
    assert (labels[bottom + 2 : bottom + 18, 102:138] == PersonClass.SHOES).all()


def test_a_picture_is_parsed_without_a_pose(parser, photo):
    labels = parser(photo.image, np.zeros((18, 3), np.float32), photo.mask)
    assert iou(labels > 0, photo.labels > 0) > 0.9 and not (labels == PersonClass.UPPER).any()


@pytest.mark.parametrize(
    ("image", "keypoints", "mask", "reason"),
    [
        (np.zeros((8, 8), np.uint8), np.zeros((18, 3)), None, r"expected \(H, W, 3\) uint8"),
        (np.zeros((8, 8, 3)), np.zeros((18, 3)), None, r"expected \(H, W, 3\) uint8"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((17, 3)), None, r"expected \(18, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((18, 3)), np.zeros((4, 8)), r"that of the image, \(8, 8\)"),
    ],
)
def test_other_shapes_are_refused(parser, image, keypoints, mask, reason):
    with pytest.raises(ConfigError, match=reason):
        parser(image, keypoints, mask)


def test_small_parts_are_mistakes():
    scores = np.zeros((40, 40, 8), np.float32)
    scores[..., 0] = 1
    scores[:20, :20, PersonClass.UPPER] = 2
    scores[30, 30, PersonClass.SHOES] = 2
    scores[35:, 35:, PersonClass.CARRIED] = 2
    labels = label_classes(scores)
    assert (labels[:20, :20] == PersonClass.UPPER).all() and labels[30, 30] == PersonClass.BACKGROUND
    assert (labels[35:, 35:] == PersonClass.CARRIED).all()


def test_probability_and_guess_have_the_size_of_the_picture(cached, photo):
    probability = person_probability(photo.image, photo.keypoints, Selfie())
    assert probability.shape == photo.labels.shape and iou(probability > 127, photo.labels > 0) > 0.7
    guess = guess_garments(photo.image, photo.keypoints, photo.mask)
    assert guess.shape == photo.labels.shape and iou(guess == 1, photo.labels == PersonClass.UPPER) > 0.7


def test_a_dress_is_the_upper_garment_and_in_both_masks():
    classes = np.array([[PersonClass.SKIN, PersonClass.UPPER], [PersonClass.LOWER, PersonClass.ONE_PIECE]], np.uint8)
    assert garments_of_classes(classes).tolist() == [[0, 1], [2, 1]]
    upper, lower = garment_masks(classes).tolist()
    assert upper == [[False, True], [False, True]] and lower == [[False, False], [True, True]]


def test_garments_by_heuristic_and_by_parser(cached, photo, monkeypatch):
    monkeypatch.setattr("posegen.perception.garments.parse_person", PictureParser(Guess()))
    clip = photo.image[None], photo.keypoints[None], photo.mask[None]
    for method in ("heuristic", "parser"):
        labels = label_garments(*clip, method)
        assert labels.shape == (1, 384, 256) and set(np.unique(labels)) == {0, 1, 2}
        assert iou(labels[0] == 2, photo.labels == PersonClass.LOWER) > 0.5


def test_parts_that_the_mask_shows_nowhere_are_background():
    labels, mask = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.uint8)
    labels[10:50, 20:30] = PersonClass.LOWER
    labels[20:30, 30:36] = PersonClass.CARRIED  # a bag at the body, which a mask of people leaves out
    labels[40:50, 45:55] = PersonClass.CARRIED  # leaves
    mask[10:50, 20:30] = 255
    kept = drop_strays(labels, mask)
    assert (kept[:, :40] == labels[:, :40]).all() and not kept[:, 40:].any()
    assert (drop_strays(labels, np.zeros_like(mask)) == labels).all()


def test_what_the_mask_is_sure_of_gets_a_class_and_thin_rims_do_not():
    mask = np.zeros((100, 60), np.uint8)
    mask[20:80, 10:50] = 255
    labels = np.where(mask > 0, PersonClass.UPPER, 0).astype(np.uint8)
    labels[60:80, 30:50] = 0  # a hand that was taken for background
    labels[40, 30] = 0  # a hole
    labels[20:80, 10] = 0  # a rim, where the mask is wider than the person
    scores = np.zeros((100, 60, len(PersonClass)), np.float32)
    scores[..., PersonClass.BACKGROUND] = 5
    scores[..., PersonClass.UPPER], scores[60:80, 30:50, PersonClass.SKIN] = 1, 2
    filled = fill_person(labels, scores, mask)
    assert (filled[62:78, 32:48] == PersonClass.SKIN).all() and filled[40, 30] == PersonClass.UPPER
    assert not filled[20:80, 10].any() and not filled[mask == 0].any()
    mask[:] = 150  # not sure
    assert (fill_person(labels, scores, mask) == labels).all()


@pytest.mark.parametrize(
    ("left", "other"), [(PersonClass.LOWER, PersonClass.ONE_PIECE), (PersonClass.ONE_PIECE, PersonClass.LOWER)]
)
def test_a_person_has_a_dress_or_trousers_and_no_patches_of_both(left, other):
    labels = np.full((30, 20), left, np.uint8)
    labels[:10] = PersonClass.UPPER
    labels[8:12, :5], labels[20:25, 5:10] = other, other  # on the shirt, and below it
    labels[28:] = PersonClass.SHOES
    scores = np.zeros((30, 20, len(PersonClass)), np.float32)
    scores[:12, :, PersonClass.UPPER], scores[..., left], scores[..., other] = 2, 1, 3
    settled = settle_garments(labels, scores)
    assert (settled[:10] == PersonClass.UPPER).all() and (settled[8:12, :5] == PersonClass.UPPER).all()
    assert (settled[12:28] == left).all() and (settled[28:] == PersonClass.SHOES).all()
    assert (settle_garments(settled, scores) == settled).all()


@pytest.mark.parametrize(("rows", "expected"), [(3, PersonClass.ONE_PIECE), (9, PersonClass.UPPER)])
def test_a_jacket_over_a_dress_is_no_small_patch_of_it(rows, expected):
    labels = np.full((30, 20), PersonClass.ONE_PIECE, np.uint8)
    labels[:rows] = PersonClass.UPPER
    settled = settle_garments(labels, np.zeros((30, 20, len(PersonClass)), np.float32))
    assert (settled[:rows] == expected).all() and (settled[rows:] == PersonClass.ONE_PIECE).all()


def test_pictures_are_parsed_without_patches_of_a_dress(cached, photo):
    """The rule holds for what is filled in by the mask, too."""

    class Patches(Guess):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            scores = super().forward(inputs)
            scores[:, PersonClass.ONE_PIECE] = -20
            scores[:, PersonClass.ONE_PIECE, ::16] = scores[:, PersonClass.LOWER, ::16] + 1
            return scores

    for mask in (photo.mask, None):
        labels = PictureParser(Patches())(photo.image, photo.keypoints, mask)
        assert (labels == PersonClass.LOWER).any() and not (labels == PersonClass.ONE_PIECE).any()
