"""Gives clothes other colours, so that the colour encoders see the whole colour space (Yang et al., 2020, §3.1).

The texture of cloth is in its lightness and in how a and b vary about their mean. Both are kept: recolouring
shifts a and b inside the garment, and touches no pixel outside it. That needs no weights and, unlike a colouring
network, reaches the colour that was asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import cv2
import numpy as np

from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.lab import into_gamut, lab_to_rgb, rgb_to_lab
from posegen.color.palette import sample_ab
from posegen.errors import ConfigError

GarmentRegion = Literal["upper", "lower", "both"]
Scope = Literal["frame", "clip"]
Ab = tuple[float, float]

_FEATHER = 2.0  # pixels
_MEAN_ERROR = 0.5  # of a and b: well below what people see
_MEAN_STEPS = 4  # of the fixed point: how often the shift is corrected for what the gamut took


@dataclass(frozen=True)
class ColorPlan:
    """Colours of one recolouring of one frame."""

    frame: int
    recoloring: int
    upper_ab: Ab | None
    """Designated mean a, b of the upper garment; None where it keeps its own."""
    lower_ab: Ab | None
    seed: int
    """Decides what else is random in the recoloring."""


@dataclass(frozen=True)
class RecoloredFrame(ColorPlan):
    """One recoloured frame."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""


ClipColorPlan = Iterator[tuple[int, list[ColorPlan]]]
"""Frame by frame, all recolorings of each."""


def recolor(image: np.ndarray, region: np.ndarray, target_ab: Ab) -> np.ndarray:
    """Shift a and b inside a region so that its mean becomes `target_ab`; lightness and texture stay.

    Pixels that would leave the sRGB gamut lose chroma, not lightness or hue, and the others make up for it where
    they can: the mean misses its target only when the gamut at the region's lightness ends before it.

    Args:
        image: (H, W, 3) uint8 RGB.
        region: (H, W) floats in [0, 1], how much of the shift each pixel takes; see `feather`.
        target_ab: designated mean of a and b over all pixels where `region` is positive.

    Returns:
        (H, W, 3) uint8; byte-identical to `image` where `region` is 0.
    """
    if image.dtype != np.uint8 or region.shape != image.shape[:2]:
        raise ConfigError(
            f"recolor got a {image.dtype} image of shape {image.shape} and a region of shape {region.shape}, "
            "expected uint8 (H, W, 3) and (H, W)"
        )
    inside = region > 0
    painted = image.copy()
    if inside.any():
        lab = _shift(rgb_to_lab(image[inside]), region[inside].astype(np.float64), np.array(target_ab))
        painted[inside] = np.rint(lab_to_rgb(lab) * 255).astype(np.uint8)
    return painted


def feather(region: np.ndarray) -> np.ndarray:
    """Soften a boolean region (H, W) to float32 weights: a ramp of two pixels about its outline, 0 outside.

    The ramp is cut off at the outline, so its outermost pixels, which show part of what is behind, have 0.75.
    """
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(region, np.clip((distance - 0.5) / _FEATHER + 0.5, 0, 1), 0).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class RecoloringSettings:
    """Settings of recolouring. Raises ConfigError for an unknown scope or region."""

    scope: Scope
    """"frame" gives each frame colours of its own; "clip" gives all frames of a recoloring the same, and keeps the
    clothes of recoloring 0 as they are, so that the true clip is among the training data."""
    region: GarmentRegion
    """Garments to recolour."""
    num_recolorings: int
    """Number of recolourings of each frame."""
    seed: int
    """Of the whole data set."""

    def __post_init__(self) -> None:
        _check_choice("scope", self.scope, ("frame", "clip"))
        _check_choice("region", self.region, ("upper", "lower", "both"))


def plan_recolorings(
    settings: RecoloringSettings, clip_id: str, *, num_frames: int, mean_l: tuple[float, float]
) -> list[ColorPlan]:
    """Decide all colours of a clip, frame by frame and in each frame recoloring by recoloring.

    Each colour is a function of the seed, the clip, the recoloring, the lightness and, with scope "frame", the frame:
    neither other clips nor the order of processing matter.

    Args:
        settings: how.
        clip_id: the clip.
        num_frames: T.
        mean_l: mean lightness of the upper and the lower garment over the clip.
    """
    return [
        _plan(settings, clip_id, frame, recoloring, mean_l)
        for frame in range(num_frames)
        for recoloring in range(settings.num_recolorings)
    ]


def plan_clip(images: np.ndarray, garments: np.ndarray, settings: RecoloringSettings, clip_id: str) -> ClipColorPlan:
    """`plan_recolorings` for the lightness of a clip's garments: frame by frame, all recolorings of each.

    Args:
        images: (T, H, W, 3) uint8 RGB.
        garments: (T, H, W) uint8 labels, as from `garment_labels`.
        settings, clip_id: as for `plan_recolorings`.

    Raises:
        ConfigError: labels and images are not of one shape.
    """
    if garments.shape != images.shape[:3]:
        raise ConfigError(f"got garments of shape {garments.shape}, expected {images.shape[:3]} like the images")
    plan = plan_recolorings(
        settings,
        clip_id,
        num_frames=len(images),
        mean_l=(mean_lightness(images, garments == UPPER), mean_lightness(images, garments == LOWER)),
    )
    return ((frame, list(paints)) for frame, paints in groupby(plan, key=lambda paint: paint.frame))


def recolor_clip(images: np.ndarray, garments: np.ndarray, plan: ClipColorPlan) -> Iterator[RecoloredFrame]:
    """Recolour a clip, one recoloring of a frame at a time.

    A garment that a frame does not show has no designated colour there.

    Args:
        images: (T, H, W, 3) uint8 RGB.
        garments: (T, H, W) uint8 labels, as from `garment_labels`.
        plan: from `plan_clip`.
    """
    for frame, paints in plan:
        regions = {label: feather(garments[frame] == label) for label in (UPPER, LOWER)}
        for paint in paints:
            yield _recolor(images[frame], regions, paint)


def mean_lightness(images: np.ndarray, region: np.ndarray) -> float:
    """Mean L of the pixels (..., 3) uint8 where the boolean region (...) is true; 50 if it is empty."""
    pixels = images[region]
    return float(rgb_to_lab(pixels)[:, 0].mean()) if len(pixels) else 50.0


# ---- Painting


def _shift(lab: np.ndarray, weight: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return lab (N, 3) with a and b moved so that their mean is `target`, as far as the gamut lets it.

    Blending in LAB rather than in RGB keeps the lightness of half-covered pixels, too.
    """
    residual = target - lab[:, 1:].mean(axis=0)
    shift = np.zeros(2)
    for _ in range(_MEAN_STEPS):
        shift += residual / weight.mean()
        shifted = lab.copy()
        shifted[:, 1:] += weight[:, None] * shift
        shifted = into_gamut(shifted)
        residual = target - shifted[:, 1:].mean(axis=0)
        if np.abs(residual).max() < _MEAN_ERROR:
            break
    return shifted


def _recolor(image: np.ndarray, regions: dict[int, np.ndarray], paint: ColorPlan) -> RecoloredFrame:
    """Apply a plan to its frame; `regions` are the feathered garments by label."""
    colors = {UPPER: paint.upper_ab, LOWER: paint.lower_ab}
    for label, region in regions.items():
        ab = colors[label] if region.any() else None
        colors[label] = ab
        if ab is not None:
            image = recolor(image, region, ab)
    return RecoloredFrame(paint.frame, paint.recoloring, colors[UPPER], colors[LOWER], paint.seed, image)


# ---- Planning


def _plan(
    settings: RecoloringSettings, clip_id: str, frame: int, recoloring: int, mean_l: tuple[float, float]
) -> ColorPlan:
    """Decide the colours of one recoloring."""
    place = f"{settings.seed}/{clip_id}/{recoloring}"
    if settings.scope == "frame":
        place += f"/{frame}"
    own_seed = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") >> 1  # fits a signed int64
    generator = np.random.default_rng(own_seed)
    # The upper colour is drawn first, whether or not it is used.
    upper, lower = (sample_ab(generator, lightness) for lightness in mean_l)
    original = settings.scope == "clip" and recoloring == 0
    return ColorPlan(
        frame=frame,
        recoloring=recoloring,
        upper_ab=None if original or settings.region == "lower" else upper,
        lower_ab=None if original or settings.region == "upper" else lower,
        seed=own_seed,
    )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"unknown {name} {value!r}, expected one of {choices}")
