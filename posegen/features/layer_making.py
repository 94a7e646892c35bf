"""Layers of a picture that is divided: each with what it shows of its neighbours, and behind those that hide it."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.body_bones import SOFT_BONES
from posegen.features.body_layers import ARMS, CLOTH, LAYERS, LEGS, LIMB_CHAINS, USUAL_HALF_WIDTHS, BodyLayer, Layer
from posegen.features.layer_division import LayerDivision
from posegen.features.layer_skinning import LayerSkinning
from posegen.features.matte import nearest_known
from posegen.features.mesh_warp import grid_mesh
from posegen.person_classes import PersonClass

FEWEST_PIXELS = 12
"""Of a layer that is worth showing."""
_SEAMS: dict[int, float] = {
    BodyLayer.HEAD: 0.12,
    BodyLayer.RIGHT_ARM: 0.16,
    BodyLayer.LEFT_ARM: 0.16,
    BodyLayer.RIGHT_LEG: 0.2,
    BodyLayer.LEFT_LEG: 0.2,
    BodyLayer.SKIRT: 0.0,
}
_SEAM_OF_SKIRT = 0.2
_SURE = 0.9  # of the matte
_RIM = 3  # pixels of clothes beside hands, whose colours mix with theirs
_HIDDEN_WIDTH = 1.5  # half widths across what a leg is behind others
_SQUARES = 48  # of the mesh along the height of the picture


def make_layers(division: LayerDivision) -> dict[int, Layer]:
    """Return all layers that a picture shows, by their number in `LAYERS`."""
    skinning = LayerSkinning(division.bones, division.trunk)
    spacing = max(round(division.image.shape[0] / _SQUARES), 2)
    found = {}
    for index, name in enumerate(LAYERS):
        own = division.parts == index
        if own.sum() < FEWEST_PIXELS:
            continue
        shown = own | _overlap(division, index)
        region = shown | _hidden(division, index)
        opacity = _soften(region) * np.where(region & ~shown, 1, division.matte)
        sure = _own_colors(division, shown, _RIM if index in (BodyLayer.TORSO, *LEGS, BodyLayer.SKIRT) else 1)
        if not sure.any():
            continue  # a few pixels at most
        rows, columns = _bounding_box(opacity > 0, margin=3)
        origins = _origins(sure, (rows, columns))
        opaque = (opacity * 255).round().astype(np.uint8)
        mesh, weights, pivots = skinning.bind(index, grid_mesh(opacity > 0, spacing))
        layer = Layer(
            name,
            opaque,
            origins,
            (rows, columns),
            sure[rows, columns],
            mesh,
            weights,
            pivots,
            division.bones,
            np.zeros((0, 0, 4), np.uint8),
        )
        found[index] = layer.showing(division.image)
    return found


def _own_colors(division: LayerDivision, shown: np.ndarray, rim: int) -> np.ndarray:
    """Return the pixels in which the picture has a layer's colours, (H, W) bool.

    Not at the border to the background or to another class, by so many pixels of a rim to hands, whose colours mix
    with it, but beyond the border to a layer of the same cloth or skin, so that no seam is seen.
    """
    near = cv2.dilate(shown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    same = division.classes == division.classes.ravel()[nearest_known(shown)]
    foreign = cv2.dilate((~same).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    hands = cv2.dilate((division.hands & ~same).astype(np.uint8), np.ones((2 * rim + 1,) * 2, np.uint8)) > 0
    return near & ~foreign & ~hands & (division.matte > _SURE)


def _overlap(division: LayerDivision, index: int) -> np.ndarray:
    """Pixels of the neighbouring layer that a layer shows as well, so that no gap opens where they meet."""
    if index == BodyLayer.TORSO:
        return np.zeros(division.parts.shape, bool)
    if index == BodyLayer.SKIRT:
        cloth = np.isin(division.classes, CLOTH)
        return (division.parts == BodyLayer.TORSO) & cloth & _beyond_hips(division, -_SEAM_OF_SKIRT)
    first = "head" if index == BodyLayer.HEAD else LIMB_CHAINS[index][0]
    center = division.bones.origins[SOFT_BONES.index(first)].round().astype(int).tolist()
    disk = cv2.circle(np.zeros(division.parts.shape, np.uint8), center, round(_SEAMS[index] * division.trunk), 1, -1)
    near = (disk > 0) & (division.parts == BodyLayer.TORSO)
    if index == BodyLayer.HEAD:
        return near & (division.classes == PersonClass.SKIN)
    return near & np.isin(division.classes, (PersonClass.LOWER, PersonClass.SKIN)) if index in LEGS else near


def _beyond_hips(division: LayerDivision, margin: float) -> np.ndarray:
    """Pixels (H, W) bool below the hips, or up to a margin in lengths of the trunk above them."""
    pelvis = SOFT_BONES.index("pelvis")
    down = -division.bones.along[pelvis] / max(np.hypot(*division.bones.along[pelvis]), 1e-9)
    ys, xs = np.mgrid[: division.parts.shape[0], : division.parts.shape[1]]
    hips = division.bones.origins[pelvis]
    return (xs - hips[0]) * down[0] + (ys - hips[1]) * down[1] > margin * division.trunk


def _hidden(division: LayerDivision, index: int) -> np.ndarray:
    """Return the extension of a layer behind others: the trunk behind arms and hair, legs behind legs, arms and a
    skirt."""
    hidden = np.zeros(division.parts.shape, np.uint8)
    if index == BodyLayer.TORSO:
        cv2.fillConvexPoly(hidden, division.hull, 1)
        return (hidden > 0) & np.isin(division.parts, (BodyLayer.HEAD, *ARMS))
    if index in LEGS:
        for name in LIMB_CHAINS[index][:2]:
            bone = SOFT_BONES.index(name)
            if division.bones.seen[bone]:
                first = 0.5 if division.has_skirt and name.endswith("thigh") else -0.05
                ends = division.bones.origins[bone] + np.array([[first], [1.0]]) * division.bones.along[bone]
                usual = USUAL_HALF_WIDTHS[name.split("_", 1)[1]] * division.trunk
                width = max(round(_HIDDEN_WIDTH * min(division.outlines.measure(bone)[1], usual)), 1)
                start, stop = ends.round().astype(int).tolist()
                cv2.line(hidden, start, stop, 1, width)
        others = [*ARMS, *(leg for leg in LEGS if leg != index), BodyLayer.SKIRT]
        return _connected((hidden > 0) & np.isin(division.parts, others), division.parts == index)
    return hidden > 0


def _soften(region: np.ndarray) -> np.ndarray:
    """Opacity (H, W) float32 in [0, 1] of a region: a pixel wider, with a soft border."""
    wider = cv2.dilate(region.astype(np.float32), np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(wider, (0, 0), 0.8)


def _connected(region: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The parts of a region (H, W) bool that touch a seed."""
    _, numbers = cv2.connectedComponents((region | seed).astype(np.uint8))
    return region & np.isin(numbers, np.unique(numbers[seed]))


def _bounding_box(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return slice(max(top - margin, 0), top + height + margin), slice(max(left - margin, 0), left + width + margin)


def _origins(known: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Number, in the whole picture, of the known pixel that is nearest to each pixel of a box: (h, w) int32."""
    numbers = np.arange(known.size, dtype=np.int32).reshape(known.shape)[box]
    return numbers.ravel()[nearest_known(known[box])]
