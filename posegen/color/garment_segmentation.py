"""Finds the upper and the lower garment in a clip, from poses, person masks and the clip's own colours.

Body parts say roughly where garments are; where they end (sleeves, waist, trouser legs) only colours show. So:
place every pixel of the person on its nearest body part; learn over the clip what skin, hair, shoes and both
garments look like, from places that are sure; find where the garments end along arms, trunk and legs; then give
each pixel the label that its place and its colour make most likely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from posegen.errors import ConfigError
from posegen.features.parts import FACE_JOINTS, TORSO_JOINTS, is_usable, torso_size
from posegen.skeletons import joint_indices

NONE, UPPER, LOWER = 0, 1, 2
"""Labels of garments in a picture."""

GarmentMethod = Literal["heuristic", "parser"]
"""Method that finds garments: `garment_labels`, or the person parser."""

_NECK = joint_indices(["neck"])[0]
_ARMS = [joint_indices([f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")]) for side in ("right", "left")]
_LEGS = [joint_indices([f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]) for side in ("right", "left")]

# Half widths of body parts and distances, in torso lengths.
_TORSO_MARGIN, _HEAD_RADIUS, _NECK_RADIUS = 0.10, 0.22, 0.10
_ARM_WIDTHS, _LEG_WIDTHS = (0.12, 0.09), (0.18, 0.13)
_HAND_LENGTH, _FOOT_LENGTH = 0.35, 0.35
_COLLAR = 0.25  # from the neck joint on, skin and hair are as likely as cloth
_SMOOTHING = 0.04

_HEAD, _TORSO, _ARM, _LEG = range(4)
_BIN_SHIFTS = (4, 3, 3)  # of 8-bit L, a and b: 16 × 32 × 32 bins
_BLUR = (1.0, 0.7, 0.7)  # bins
_UNSEEN = 1e-5  # probability of a colour that was never seen
_MAX_EVIDENCE = 3.0  # nats that one pixel may say
_DOUBT = 0.5  # nats of a pixel's evidence that random likeness of colours explains
_WAIST = (0.95, 0.12)  # where waists are along the spine: mean and standard deviation
_LONG = (2.0, 1.0)  # where sleeves and legwear end along the limb, if colours don't tell
_SHOE_TOP = 1.8  # along the leg; what looks like a shoe above it is cloth
_CUT_STEPS = 42
_SOFTNESS = 0.07  # of a garment's end, along the limb


@dataclass(frozen=True)
class _Pixels:
    """Positions on the body and colours of the N pixels of the person in one frame."""

    inside: np.ndarray
    """(H, W) bool, with N true values."""
    scale: float
    """Length of the torso in pixels, were it not foreshortened."""
    color: np.ndarray
    """(N,) number of the colour's bin."""
    part: np.ndarray
    """(N,) head, torso, arm or leg, whichever is nearest."""
    distance: np.ndarray
    """(N,) from that part's axis (the torso's outline) in half widths."""
    spine: np.ndarray
    """(N,) along the spine: 0 at the shoulders, 1 at the hips."""
    neck: np.ndarray
    """(N,) distance from the neck in torso lengths."""
    arm: np.ndarray
    """(N,) along the nearest arm: 0 at the shoulder, 1 at the elbow, 2 at the wrist, more on the hand."""
    arm_distance: np.ndarray
    """(N,) from that arm's axis in half widths."""
    leg: np.ndarray
    """(N,) along the nearest leg: 0 at the hip, 1 at the knee, 2 at the ankle, more on the foot."""


@dataclass(frozen=True)
class _Ends:
    """Ends of garments: sleeves along the arm, the upper garment along the spine, legwear along the leg."""

    sleeve: float
    waist: float
    leg: float


def garment_labels(images: np.ndarray, keypoints: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Label the pixels of the upper and the lower garment of one person over a clip.

    Skin, hair, hands and shoes have no label, so short sleeves and bare legs come out as they are. Frames without
    both shoulders and both hips are left unlabelled.

    Args:
        images: (T, H, W, 3) uint8 RGB.
        keypoints: (T, 18, 3) OpenPose-18.
        masks: (T, H, W), positive on the person.

    Returns:
        (T, H, W) uint8: 0 neither, 1 upper, 2 lower garment.
    """
    if not images.shape[:3] == masks.shape == (len(keypoints), *masks.shape[1:]):
        raise ConfigError(
            f"got images {images.shape}, keypoints {keypoints.shape} and masks {masks.shape}, "
            "expected (T, H, W, 3), (T, 18, 3) and (T, H, W)"
        )
    labels = np.full(masks.shape, NONE, np.uint8)
    usable = np.flatnonzero(is_usable(keypoints) & (masks > 0).any(axis=(1, 2)))
    if not usable.size:
        return labels
    sizes = torso_size(keypoints)
    usual = np.median(sizes[usable])
    frames = [_place(images[t], keypoints[t], masks[t] > 0, max(sizes[t], 0.8 * usual)) for t in usable]
    likelihoods = _learn_colors(frames)
    ends = _find_ends(frames, likelihoods)
    for t, pixels in zip(usable, frames, strict=True):
        labels[t] = _label(pixels, likelihoods, ends)
    return labels


# ---- Places


def _place(image: np.ndarray, keypoints: np.ndarray, inside: np.ndarray, scale: float) -> _Pixels:
    """Relate every pixel of the person to the body parts around it."""
    rows, columns = np.nonzero(inside)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    arm, arm_distance = _nearest_limb(points, keypoints, _ARMS, np.array(_ARM_WIDTHS) * scale, _HAND_LENGTH * scale)
    leg, leg_distance = _nearest_limb(points, keypoints, _LEGS, np.array(_LEG_WIDTHS) * scale, _FOOT_LENGTH * scale)
    neck = np.linalg.norm(points - _neck(keypoints), axis=1) / scale
    distances = np.stack(
        [
            _head_distance(points, keypoints, scale),
            _torso_distance(points, keypoints) / (_TORSO_MARGIN * scale),
            arm_distance,
            leg_distance,
        ]
    )
    return _Pixels(
        inside=inside,
        scale=scale,
        color=_color_bins(image[inside]),
        part=distances.argmin(axis=0),
        distance=distances.min(axis=0),
        spine=_along_spine(points, keypoints),
        neck=neck,
        arm=arm,
        arm_distance=arm_distance,
        leg=leg,
    )


def _nearest_limb(
    points: np.ndarray, keypoints: np.ndarray, limbs: list[np.ndarray], widths: np.ndarray, extension: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for points (N, 2), the position along the nearer limb and the distance from it in half widths."""
    along, distance = np.zeros(len(points)), np.full(len(points), np.inf)
    for joints in limbs:
        for bone in (0, 1):
            near, far = keypoints[joints[bone : bone + 2]].astype(np.float64)
            if near[2] <= 0 or far[2] <= 0:
                continue
            axis = far[:2] - near[:2]
            length = max(float(np.hypot(*axis)), 1.0)
            t = (points - near[:2]) @ axis / length**2
            end = 1 + extension / length if bone == 1 else 1
            on_axis = near[:2] + np.clip(t, 0, end)[:, None] * axis
            from_axis = np.linalg.norm(points - on_axis, axis=1) / widths[bone]
            nearer = from_axis < distance
            along = np.where(nearer, bone + np.clip(t, 0, end), along)
            distance = np.minimum(distance, from_axis)
    return along, distance


def _torso_distance(points: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Distance in pixels of points (N, 2) from the hull of shoulders and hips; negative inside."""
    hull = cv2.convexHull(keypoints[TORSO_JOINTS, :2].astype(np.float32))[:, 0].astype(np.float64)
    following = np.roll(hull, -1, axis=0) - hull  # (K, 2)
    offset = points[:, None] - hull  # (N, K, 2)
    share = np.clip((offset * following).sum(-1) / np.maximum((following**2).sum(-1), 1e-9), 0, 1)
    distance = np.linalg.norm(offset - share[..., None] * following, axis=-1).min(axis=1)
    cross = following[:, 0] * offset[..., 1] - following[:, 1] * offset[..., 0]  # (N, K)
    within = (cross >= 0).all(axis=1) | (cross <= 0).all(axis=1)
    return np.where(within, -distance, distance)


def _head_distance(points: np.ndarray, keypoints: np.ndarray, scale: float) -> np.ndarray:
    """Distance of points (N, 2) from the head and the neck below it, in their radii."""
    face = keypoints[FACE_JOINTS]
    face = face[face[:, 2] > 0, :2]
    if not len(face):
        return np.full(len(points), np.inf)
    center, neck = face.mean(axis=0), _neck(keypoints)
    axis = center - neck
    t = np.clip((points - neck) @ axis / max(float(axis @ axis), 1.0), 0, 1)[:, None]
    from_neck = np.linalg.norm(points - neck - t * axis, axis=1) / (_NECK_RADIUS * scale)
    return np.minimum(np.linalg.norm(points - center, axis=1) / (_HEAD_RADIUS * scale), from_neck)


def _neck(keypoints: np.ndarray) -> np.ndarray:
    """The neck, or the middle of the shoulders."""
    return keypoints[_NECK, :2] if keypoints[_NECK, 2] > 0 else keypoints[TORSO_JOINTS[:2], :2].mean(axis=0)


def _along_spine(points: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    shoulders, hips = keypoints[TORSO_JOINTS[:2], :2].mean(axis=0), keypoints[TORSO_JOINTS[2:], :2].mean(axis=0)
    axis = (hips - shoulders).astype(np.float64)
    return (points - shoulders) @ axis / max(float(axis @ axis), 1.0)


# ---- Colours


def _color_bins(rgb: np.ndarray) -> np.ndarray:
    """Number the colours (N, 3) by their bin of CIELAB."""
    lab = cv2.cvtColor(rgb[None], cv2.COLOR_RGB2LAB)[0].astype(np.int64) >> _BIN_SHIFTS
    return np.ravel_multi_index(tuple(lab.T), _bin_counts())


def _bin_counts() -> tuple[int, ...]:
    return tuple(256 >> shift for shift in _BIN_SHIFTS)


def _learn_colors(frames: list[_Pixels]) -> np.ndarray:
    """Return log-likelihoods (5, bins) of colours on skin, hair, shoes, upper and lower garment.

    Each is learnt where nothing else is to be expected. What is never seen says nothing: its row is constant.
    """
    counts = np.zeros((5, int(np.prod(_bin_counts()))))
    for pixels in frames:
        for kind, where in enumerate(_sure_places(pixels)):
            counts[kind] += np.bincount(pixels.color[where], minlength=counts.shape[1])
    smooth = np.stack([gaussian_filter(count.reshape(_bin_counts()), _BLUR).ravel() for count in counts])
    total = smooth.sum(axis=1, keepdims=True)
    probability = np.divide(smooth, total, out=np.zeros_like(smooth), where=total > 0)
    return np.log(probability + _UNSEEN)


def _sure_places(pixels: _Pixels) -> list[np.ndarray]:
    """Return pixels that are certainly skin (face and hands), hair, shoes, upper and lower garment, each (N,) bool."""
    head, torso = pixels.part == _HEAD, pixels.part == _TORSO
    arm, leg = pixels.part == _ARM, pixels.part == _LEG
    face = head & (pixels.distance < 0.45) & (pixels.neck > _COLLAR)
    hand = arm & (pixels.arm > 2.1)
    hair = head & (pixels.distance > 0.9) & (pixels.neck > 2 * _COLLAR)
    chest = (
        torso & (pixels.spine > 0.15) & (pixels.spine < 0.65) & (pixels.distance < -0.3) & (pixels.arm_distance > 1.2)
    )
    thigh = leg & (pixels.leg > 0.12) & (pixels.leg < 0.4) & (pixels.distance < 0.8) & (pixels.arm_distance > 1.5)
    return [face | hand, hair, leg & (pixels.leg > 2.15), chest, thigh]


# ---- Where garments end


def _find_ends(frames: list[_Pixels], likelihoods: np.ndarray) -> _Ends:
    """Find where the garments end, by all pixels of the clip."""
    color, part, distance, spine, arm, leg = (
        np.concatenate([getattr(pixels, name) for pixels in frames])
        for name in ("color", "part", "distance", "spine", "arm", "leg")
    )
    skin, _, _, top, bottom = likelihoods[:, color]
    on_arm = (part == _ARM) & (distance < 1) & (arm < 2)
    on_leg = (part == _LEG) & (distance < 1) & (leg < 2.1)
    on_trunk = ((part == _TORSO) | (part == _LEG) & (leg < 0.4)) & (spine > 0.5) & (spine < 1.4)
    return _Ends(
        sleeve=_cut(arm[on_arm], (top - skin)[on_arm], 0.0, 2.0, expected=_LONG),
        waist=_cut(spine[on_trunk], (top - bottom)[on_trunk], 0.5, 1.4, expected=_WAIST),
        leg=_cut(leg[on_leg], (bottom - skin)[on_leg], 0.0, 2.1, expected=_LONG),
    )


def _cut(along: np.ndarray, evidence: np.ndarray, start: float, stop: float, *, expected: tuple[float, float]) -> float:
    """Return where between start and stop a garment most likely ends.

    Args:
        along: (N,) positions of pixels.
        evidence: (N,) log of how much likelier the garment is there than what comes after it.
        start, stop: range of the answer.
        expected: mean and standard deviation of a Gaussian prior.
    """
    edges = np.linspace(start, stop, _CUT_STEPS + 1)
    total, _ = np.histogram(along, edges, weights=np.clip(evidence, -_MAX_EVIDENCE, _MAX_EVIDENCE))
    count, _ = np.histogram(along, edges)
    mean = total / np.maximum(count, 1)
    certain = np.sign(mean) * np.maximum(np.abs(mean) - _DOUBT, 0)
    score = np.concatenate([[0.0], np.cumsum(certain)]) - 0.5 * ((edges - expected[0]) / expected[1]) ** 2
    return float(edges[score.argmax()])


# ---- Labels


def _label(pixels: _Pixels, likelihoods: np.ndarray, ends: _Ends) -> np.ndarray:
    """Return labels (H, W) of one frame: the greatest sum of prior and colour, after smoothing over neighbours."""
    skin, hair, shoes, top, bottom = likelihoods[:, pixels.color]
    prior = _prior(pixels, ends)
    on_shoe = (pixels.part == _LEG) & (pixels.leg > _SHOE_TOP)
    on_limb = (pixels.part == _LEG) | (pixels.part == _ARM)
    bare = np.select([on_shoe, on_limb], [np.maximum(skin, shoes), skin], np.maximum(skin, hair))
    color = np.stack([bare, top, bottom])
    color -= color.max(axis=0)
    score = np.log(prior) + np.maximum(color, -_MAX_EVIDENCE)
    return np.array([NONE, UPPER, LOWER], np.uint8)[_smooth_argmax(score, pixels)]


def _prior(pixels: _Pixels, ends: _Ends) -> np.ndarray:
    """Return (3, N): how likely neither, upper and lower garment are at each place, before its colour is seen."""
    sleeve = _falls(pixels.arm, ends.sleeve)
    legwear = _falls(pixels.leg, ends.leg)
    above = _falls(pixels.spine, ends.waist)
    collar = 0.5 * np.clip(1 - pixels.neck / _COLLAR, 0, 1)
    arm_before = np.where(pixels.arm_distance < 1, 0.9 * (1 - sleeve), 0)
    bare = np.maximum(np.maximum(collar, arm_before), 0.01)
    at_hip = pixels.leg < 0.3
    by_part = {
        _HEAD: (np.where(pixels.neck > _COLLAR, 0.98, 0.7), 1.0, 0.0),
        _TORSO: (bare, above, 1 - above),
        _ARM: (1 - sleeve, 1.0, 0.05),
        _LEG: (1 - legwear, np.where(at_hip, above, 0.02), np.where(at_hip, 1 - above, 1.0)),
    }
    prior = np.zeros((3, len(pixels.part)))
    for part, (none, upper, lower) in by_part.items():
        here = pixels.part == part
        shares = np.stack(np.broadcast_arrays(none, (1 - none) * upper, (1 - none) * lower))
        prior[:, here] = shares[:, here]
    return np.maximum(prior, 0.005)


def _falls(along: np.ndarray, end: float) -> np.ndarray:
    """A soft step from 1 before the end to 0 behind it."""
    return 1 / (1 + np.exp(np.clip((along - end) / (_SOFTNESS / 2), -30, 30)))


def _smooth_argmax(score: np.ndarray, pixels: _Pixels) -> np.ndarray:
    """Return the best of scores (3, N), averaged over a small window inside the person, (H, W); 0 beside it."""
    side = 2 * round(_SMOOTHING * pixels.scale / 2) + 1
    planes = np.zeros((*pixels.inside.shape, 3))
    planes[pixels.inside] = score.T
    blurred = cv2.blur(planes, (side, side), borderType=cv2.BORDER_CONSTANT)  # the sums' weight is common to all
    return np.where(pixels.inside, blurred.argmax(axis=-1), 0)
