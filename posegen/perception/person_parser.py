"""Parses a picture of a person into hair, skin, garments, shoes and carried things."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch

from posegen.errors import ConfigError
from posegen.features.parser_inputs import (
    crop_affine,
    parser_inputs,
    person_region,
    warp_labels,
    warp_mask,
    warp_picture,
)
from posegen.features.stick_figure import require_one_pose
from posegen.networks.person_parser import PersonParserNetwork
from posegen.perception.garment_guess import guess_garments, person_probability
from posegen.perception.garment_patches import settle_patches
from posegen.perception.keypoint_maps import map_keypoints
from posegen.perception.selfie import Selfie
from posegen.person_classes import PersonClass
from posegen.weights.shipped import load_shipped

PARSER_SIZE = (256, 192)
"""Height and width of the crop that the network sees, in pixels."""
_HALF = 127
_SURE = 200  # of 255: of a mask that shows the person
_RIM = 0.006  # of the height: what is thinner at the border of a mask may be background
_LEAST_SHARE = 0.02  # of the largest connected part of the person, below which a part is taken for a mistake
_LEAST_JACKET = 0.2  # of the one-piece below it: of 186 labelled photos with one, 4 show less

_CERTAIN = 20.0  # difference of scores outside the crop


class PictureParser:
    """Labels the pixels of pictures, one after the other. Not to be shared between threads.

    Args:
        network: Trained by the stage ``person_parser``; by default that of the shipped weights.
        size: Height and width of the crop that it sees, multiples of 32.
    """

    def __init__(self, network: PersonParserNetwork | None = None, size: tuple[int, int] = PARSER_SIZE):
        if network is None:
            network = PersonParserNetwork()
            network.load_state_dict(load_shipped("person_parser"))
        self._network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._size = size
        self._segmenter = Selfie()

    def __call__(self, image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Label one picture, see `parse_person`."""
        scores = self.logits(image, keypoints, mask)
        labels = label_classes(scores)
        if mask is not None:
            labels = fill_person(drop_strays(labels, mask), scores, mask)
        return settle_patches(settle_garments(labels, scores), image, keypoints)

    @torch.inference_mode()
    def logits(self, image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Score the classes of every pixel: (H, W, 8) float32; arguments are those of `parse_person`.

        What lies outside the region around the pose is background, and after that what is at the region's border.
        """
        _check(image, keypoints, mask)
        frame = (image.shape[0], image.shape[1])
        if mask is None:
            mask = person_probability(image, keypoints, self._segmenter)
        garments = guess_garments(image, keypoints, mask)
        affine = crop_affine(person_region(keypoints, frame), self._size)
        inputs = parser_inputs(
            warp_picture(image, affine, self._size),
            map_keypoints(keypoints, affine),
            warp_mask(mask, affine, self._size),
            warp_labels(garments, affine, self._size),
        )
        batch = torch.from_numpy(inputs)[None].contiguous(memory_format=torch.channels_last)
        scores = self._network(batch)[0].permute(1, 2, 0).contiguous().numpy()  # (h, w, 8)
        return _scores_in_frame(scores, affine, frame)


def parse_person(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Label every pixel of a picture by what it shows of a person.

    The person's pixels are those with a positive label.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) OpenPose-18 in pixels of the image; missing joints have confidence 0.
        mask: (H, W) uint8, probability × 255 of the person; by default it is found in the image.

    Returns:
        (H, W) uint8, values of `PersonClass`.

    Raises:
        ConfigError: Image, keypoints or mask have another shape.
        WeightsError: The shipped weights are damaged.
    """
    return _shared_parser()(image, keypoints, mask)


@cache
def _shared_parser() -> PictureParser:
    return PictureParser()


def label_classes(scores: np.ndarray) -> np.ndarray:
    """Return the best class of every pixel by scores (H, W, 8): (H, W) uint8, without parts that are too small."""
    labels = scores.argmax(axis=-1).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats((labels > 0).astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    if count > 2:
        small = areas < _LEAST_SHARE * areas[1:].max()
        labels[small[parts]] = PersonClass.BACKGROUND
    return labels


def drop_strays(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Take connected parts that a mask of the person nowhere shows for background, such as leaves beside a leg.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        mask: (H, W) uint8, probability × 255 of the person.

    Returns:
        (H, W) uint8. Where the mask shows nobody, the labels as they are.
    """
    _, parts = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=8)
    shown = np.unique(parts[(mask > _HALF) & (parts > 0)])
    return np.where(np.isin(parts, shown), labels, PersonClass.BACKGROUND).astype(np.uint8) if len(shown) else labels


def fill_person(labels: np.ndarray, scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Label what a mask is sure of and the parser took for background, such as a sleeve in front of a dark floor.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        scores: (H, W, 8) of the classes.
        mask: (H, W) uint8, probability × 255 of the person.

    Returns:
        (H, W) uint8. Thin rims, where the mask is wider than the person, stay background.
    """
    person = (mask > _SURE).astype(np.uint8)
    missing = person * (labels == PersonClass.BACKGROUND)
    width = 2 * max(round(_RIM * len(mask)), 1) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    inside = missing * cv2.erode(person, brush, borderValue=1)
    filled = labels.copy()
    where = (inside | cv2.morphologyEx(missing, cv2.MORPH_OPEN, brush)) > 0
    filled[where] = scores[where][:, 1:].argmax(axis=-1) + 1
    return filled


def settle_garments(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Leave a person garments that are worn together, instead of patches of others.

    People wear a one-piece or a lower garment, hardly ever both: the one with more pixels is left. What is worn over a
    one-piece, as a jacket, is no small part of it: a small upper garment beside it belongs to it.

    Args:
        labels: (H, W) uint8 of `PersonClass`.
        scores: (H, W, 8) of the classes.

    Returns:
        (H, W) uint8. Pixels of the garment that is not left have the other one, or upper garment where that scores
        higher.
    """
    lower, one_piece = (np.count_nonzero(labels == kind) for kind in (PersonClass.LOWER, PersonClass.ONE_PIECE))
    if not one_piece:
        return labels
    left, other = PersonClass.LOWER, PersonClass.ONE_PIECE
    if one_piece > lower:
        left, other = other, left
    where = labels == other
    settled = labels.copy()
    settled[where] = np.where(scores[where, PersonClass.UPPER] > scores[where, left], PersonClass.UPPER, left)
    upper = settled == PersonClass.UPPER
    if np.count_nonzero(upper) < _LEAST_JACKET * np.count_nonzero(settled == PersonClass.ONE_PIECE):
        settled[upper] = PersonClass.ONE_PIECE
    return settled


def _check(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None) -> None:
    require_one_pose(keypoints)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ConfigError(f"image has shape {image.shape} and type {image.dtype}, expected (H, W, 3) uint8")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ConfigError(f"mask has shape {mask.shape}, expected that of the image, {image.shape[:2]}")


def _scores_in_frame(scores: np.ndarray, affine: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """Enlarge the scores of an upright crop (h, w, 8) to those of its frame (H, W, 8), bilinearly.

    Outside the crop is background; the other classes keep the order that they have at its border.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    halves = [  # OpenCV warps up to four channels at once
        cv2.warpAffine(np.ascontiguousarray(half), affine, frame[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for half in (scores[..., :4], scores[..., 4:])
    ]
    enlarged = np.concatenate(halves, axis=-1)
    y, x = (np.arange(length) * affine[axis, axis] + affine[axis, 2] for axis, length in ((1, frame[0]), (0, frame[1])))
    height, width = scores.shape[:2]
    outside = ((y < -0.5) | (y > height - 0.5))[:, None] | ((x < -0.5) | (x > width - 0.5))
    beyond = enlarged[outside][:, 1:]  # the crop's border, repeated: what is surely of the person beyond goes on so
    enlarged[outside, 1:] = beyond - beyond.max(axis=-1, keepdims=True) - _CERTAIN
    enlarged[outside, 0] = 0
    return enlarged
