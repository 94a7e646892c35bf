"""From confidence maps and part affinity fields to people (Cao et al., 2017, arXiv:1611.08050, Sections 2.4–2.6).

Joints are the maxima of the confidence maps. A limb is likely where the field along it points from one of its
joints to the other. Limbs are chosen greedily, best first, and those that share a joint make a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from posegen.errors import PerceptionError
from posegen.skeletons import LIMBS, OPENPOSE_18, joint_indices

MIN_HEAT = 0.1
"""Confidence above which a maximum is a joint."""
FIELD_LIMBS: tuple[tuple[str, str], ...] = (
    ("neck", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("neck", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "right_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("right_shoulder", "right_ear"),
    ("neck", "left_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("left_shoulder", "left_ear"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("nose", "left_eye"),
    ("right_eye", "right_ear"),
    ("left_eye", "left_ear"),
)
"""The limbs of the field's pairs of channels (x, y). Those from shoulder to ear are never drawn: they tell apart."""

_SIGMA = 3  # pixels, of the Gaussian that smooths confidence maps
_REACH = 3  # pixels around a maximum over which its position is averaged
_NUM_SAMPLES = 10  # along a limb
_MIN_FIELD = 0.05  # along the limb, at a sample that supports it
_MIN_SUPPORT = 0.8  # share of the samples that must exceed that
_MIN_JOINTS = 4
_MIN_SCORE = 0.4  # per joint
_EARLIER = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)  # neighbours that come before a pixel
_ASSEMBLY = (*LIMBS, *(limb for limb in FIELD_LIMBS if limb not in LIMBS))  # limbs that only tell apart come last


@dataclass(frozen=True)
class People:
    """Everyone in an image."""

    keypoints: np.ndarray
    """(P, 18, 3) x and y in pixels of the maps, confidence in (0, 1]; (0, 0, 0) is missing."""
    scores: np.ndarray
    """(P,) confidences of the joints and of the limbs, summed."""


@dataclass(frozen=True)
class Peaks:
    """Candidates for all joints of all people."""

    joints: np.ndarray
    """(K,) int: which joint."""
    points: np.ndarray
    """(K, 2) x and y in pixels of the maps."""
    scores: np.ndarray
    """(K,) confidence in (0, 1]."""


def decode_people(heat: np.ndarray, fields: np.ndarray) -> People:
    """Find everyone who shows at least four joints and is likely enough.

    Args:
        heat: (H, W, 18) confidence of every joint, around [0, 1].
        fields: (H, W, 38) x and y of the direction of every limb in `FIELD_LIMBS`, times its confidence.

    Raises:
        PerceptionError: For maps of other shapes.
    """
    if heat.shape[2:] != (18,) or fields.shape != (*heat.shape[:2], 38):
        raise PerceptionError(f"got maps {heat.shape} and {fields.shape}, expected (H, W, 18) and (H, W, 38)")
    peaks = find_peaks(heat)
    people = [person for person in _assemble(peaks, _find_limbs(peaks, fields)) if person.is_likely()]
    keypoints = np.zeros((len(people), len(OPENPOSE_18), 3))
    for row, person in zip(keypoints, people, strict=True):
        row[peaks.joints[person.peaks]] = np.column_stack([peaks.points, peaks.scores])[person.peaks]
    return People(keypoints, np.array([person.score for person in people]))


@dataclass(frozen=True, eq=False)
class _Person:
    """Some joints of one person, and the limbs between them."""

    peaks: list[int]
    score: float

    def is_likely(self) -> bool:
        return len(self.peaks) >= _MIN_JOINTS and self.score >= _MIN_SCORE * len(self.peaks)


def _find_limbs(peaks: Peaks, fields: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Yield both peaks and the score of every limb."""
    for limb in _ASSEMBLY:
        channel = 2 * FIELD_LIMBS.index(limb)
        starts, ends = (np.flatnonzero(peaks.joints == joint) for joint in joint_indices(limb))
        scores = score_limbs(fields[..., channel : channel + 2], peaks.points[starts], peaks.points[ends])
        for start, end in match_limbs(scores):
            yield int(starts[start]), int(ends[end]), float(scores[start, end])


def _assemble(peaks: Peaks, limbs: Iterable[tuple[int, int, float]]) -> list[_Person]:
    """Join peaks to people, limb by limb; a limb between two that have a joint in common is an error of the field."""
    owners = [_Person([index], float(score)) for index, score in enumerate(peaks.scores)]
    for start, end, score in limbs:
        first, second = owners[start], owners[end]
        if not set(peaks.joints[first.peaks]) & set(peaks.joints[second.peaks]):
            joined = _Person(first.peaks + second.peaks, first.score + second.score + score)
            for index in joined.peaks:
                owners[index] = joined
    return list(dict.fromkeys(owners))


def find_peaks(heat: np.ndarray) -> Peaks:
    """Find the local maxima of the smoothed confidence maps (H, W, J), to a fraction of a pixel.

    A maximum exceeds `MIN_HEAT` and its eight neighbours; of equal neighbours the first one counts. Its position
    is the mean of the 7 × 7 pixels around it, weighted by their confidence.
    """
    smooth = cv2.GaussianBlur(heat.astype(np.float32), (0, 0), _SIGMA, borderType=cv2.BORDER_REPLICATE)
    smooth = smooth.reshape(heat.shape)  # OpenCV drops a single channel
    earlier = cv2.dilate(smooth, _EARLIER).reshape(heat.shape)
    later = cv2.dilate(smooth, _EARLIER[::-1, ::-1].copy()).reshape(heat.shape)
    maxima = (smooth > MIN_HEAT) & (smooth > earlier) & (smooth >= later)
    joints, y, x = np.nonzero(maxima.transpose(2, 0, 1))
    points = np.stack([x, y], axis=1) + _centroids(smooth, joints, y, x)
    return Peaks(joints, points, heat[y, x, joints].clip(MIN_HEAT, 1))


def _centroids(heat: np.ndarray, joints: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Compute the centroid of the heat around every pixel, (K, 2) relative to the pixel."""
    padded = np.pad(heat.clip(0), ((_REACH, _REACH), (_REACH, _REACH), (0, 0)))
    window = np.arange(2 * _REACH + 1)
    rows, columns = y[:, None, None] + window[:, None], x[:, None, None] + window
    weights = padded[rows, columns, joints[:, None, None]]  # (K, 7, 7)
    weights *= weights[:, ::-1, ::-1] > 0  # at the border, half a window would pull the joint inwards
    sums = np.stack([weights.sum(axis=1), weights.sum(axis=2)], axis=1)  # (K, 2, 7)
    return sums @ (window - _REACH) / weights.sum(axis=(1, 2))[:, None]


def score_limbs(field: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Score every pair of joints as a limb (Equation 11), 0 where they cannot be one.

    Pairs that are further apart than half the image's height cost, and the field must support more than 80 % of
    the way. Two joints in one place have no direction that the field could support.

    Args:
        field: (H, W, 2) x and y of the limb's field.
        starts: (A, 2) x and y of candidates of its first joint.
        ends: (B, 2) the same of its second joint.

    Returns:
        (A, B) scores, at least 0.
    """
    height, width = field.shape[:2]
    delta = ends[None] - starts[:, None]  # (A, B, 2)
    length = np.linalg.norm(delta, axis=-1)  # (A, B)
    apart = np.maximum(length, 1e-6)
    steps = np.linspace(0, 1, _NUM_SAMPLES)[:, None]
    points = starts[:, None, None] + steps * delta[:, :, None]  # (A, B, S, 2)
    x, y = np.rint(points).astype(int).clip(0, [width - 1, height - 1]).transpose(3, 0, 1, 2)
    along = (field[y, x] * (delta / apart[..., None])[:, :, None]).sum(axis=-1)  # (A, B, S)
    scores = along.mean(axis=-1) + np.minimum(0.5 * height / apart - 1, 0)
    supported = (along > _MIN_FIELD).mean(axis=-1) > _MIN_SUPPORT
    return np.where(supported & (scores > 0), scores, 0)


def match_limbs(scores: np.ndarray) -> list[tuple[int, int]]:
    """Pair candidates greedily, the best score of (A, B) first, each at most once, as long as scores exceed 0."""
    order = np.argsort(-scores, axis=None, kind="stable")
    pairs: list[tuple[int, int]] = []
    free_starts, free_ends = set(range(scores.shape[0])), set(range(scores.shape[1]))
    for start, end in zip(*np.unravel_index(order[: np.count_nonzero(scores)], scores.shape), strict=True):
        if start in free_starts and end in free_ends:
            pairs.append((int(start), int(end)))
            free_starts.remove(start)
            free_ends.remove(end)
    return pairs


def brightest_person(heat: np.ndarray) -> People:
    """Take the brightest candidates of all joints in (H, W, 18) for one person, whatever connects them.

    It is nobody if they are fewer than four.
    """
    peaks = find_peaks(heat)
    keypoints = np.zeros((1, heat.shape[2], 3))
    for index in np.argsort(peaks.scores):  # the brightest last
        keypoints[0, peaks.joints[index]] = [*peaks.points[index], peaks.scores[index]]
    scores = keypoints[..., 2].sum(axis=1)
    enough = (keypoints[..., 2] > 0).sum(axis=1) >= _MIN_JOINTS
    return People(keypoints[enough], scores[enough])
