"""Layers of a picture that is divided: each with what it shows of its neighbours, and behind those that hide it."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from posegen.features.body_bones import SOFT_BONES, place_at_bone
from posegen.features.body_layers import (
    ARMS,
    CLOTH,
    LAYERS,
    LEGS,
    LIMB_CHAINS,
    OTHER_SIDE,
    USUAL_HALF_WIDTHS,
    BodyLayer,
    Layer,
)
from posegen.features.face_turning import facing_of
from posegen.features.layer_division import LayerDivision
from posegen.features.layer_skinning import LayerSkinning
from posegen.features.matte import nearest_known
from posegen.features.mesh_warp import grid_mesh
from posegen.features.morphology import grow_square
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
_ALONG = 4.0  # times that a colour of another height of the trunk is farther than one beside a hidden place
_ARMPITS = 0.3  # of the way from shoulders to hips
_SLIVER = 0.06  # lengths of the trunk: skin beside an arm that is thinner is the arm's
_RIM = 3  # pixels of clothes beside hands, whose colours mix with theirs
_HIDDEN_WIDTH = 0.75  # half widths of a leg behind others on a side where its outline is nowhere seen
_HIPS = 0.8  # usual half widths of a thigh that hips reach beside its joint at most
_ABOVE_HIP = -0.05  # of a thigh: up to where it goes on behind the trunk
_STEPS = 16  # along a leg's bone, in which its outline is looked for
_BEYOND = 2.5  # pixels beyond it, where nobody is
_FINER: dict[int, int] = {BodyLayer.HEAD: 4, **dict.fromkeys((*ARMS, *LEGS), 2)}  # times that a mesh is finer
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
        sure = _own_colors(division, index, shown)
        if not sure.any():
            continue  # a few pixels at most
        rows, columns = _bounding_box(opacity > 0, margin=3)
        origins = _origins(sure, (rows, columns))
        copied = sure[rows, columns].copy()
        if index in (BodyLayer.TORSO, *LEGS):
            origins, reflected = _reflect(division, sure, origins, region & ~shown, (rows, columns))
            copied |= reflected
        opaque = (opacity * 255).round().astype(np.uint8)
        # Limbs bend, and a chin is seen where the mesh of a head folds.
        finer = max(spacing // _FINER.get(index, 1), 2)
        grid = grid_mesh(opacity > 0, finer, beyond=-(-spacing // finer))
        mesh, weights, pivots = skinning.bind(index, grid)
        layer = Layer(
            name,
            opaque,
            origins,
            division.classes.ravel()[origins],
            (rows, columns),
            sure[rows, columns],
            copied,
            mesh,
            weights,
            pivots,
            facing_of(division.bones, mesh.vertices) * (index == BodyLayer.HEAD),
            skinning.slack(index, mesh.vertices),
            division.bones,
            np.zeros((0, 0, 4), np.uint8),
        )
        found[index] = layer.showing(division.image)
    return found


def _own_colors(division: LayerDivision, index: int, shown: np.ndarray) -> np.ndarray:
    """Return the pixels in which the picture has a layer's colours, (H, W) bool.

    Not at the border to the background or to another class, by so many pixels of a rim to hands, whose colours mix
    with it, but beyond the border to a layer of the same cloth or skin, so that no seam is seen.

    Args:
        division: The picture.
        index: Number of the layer.
        shown: (H, W) bool, what the layer shows.
    """
    rim = 1 if index in (BodyLayer.HEAD, *ARMS) else _RIM
    same = division.classes == division.classes.ravel()[nearest_known(shown)]
    hands = grow_square(division.hands & ~same, rim)
    mixed = hands | ~same
    if index in ARMS:  # a sleeve's or a bag's pixels beside trousers have some of their colour, too
        trousers = division.classes == PersonClass.LOWER
        mixed |= trousers | (grow_square(trousers, _RIM) & (division.classes != PersonClass.SKIN))
    if index == BodyLayer.TORSO:
        mixed |= _slivers_of_arms(division, shown)
    return grow_square(shown, 2) & ~grow_square(~same, 1) & ~mixed & (division.matte > _SURE)


def _slivers_of_arms(division: LayerDivision, shown: np.ndarray) -> np.ndarray:
    """Return thin strips of skin (H, W) bool that the trunk shows beside bare arms: the cloth behind is no skin."""
    skin = division.classes == PersonClass.SKIN
    width = max(round(_SLIVER * division.trunk), 1)
    wide = cv2.morphologyEx((skin & shown).astype(np.uint8), cv2.MORPH_OPEN, np.ones((width, width), np.uint8)) > 0
    beside = grow_square(np.isin(division.parts, ARMS) & skin, _RIM)
    return skin & grow_square(skin & shown & beside & ~grow_square(wide, 1), 2)


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
    """Return the extension of a layer behind others: the trunk behind arms and hair, legs behind legs, arms, a hem and
    a skirt."""
    hidden = np.zeros(division.parts.shape, bool)
    if index == BodyLayer.TORSO:
        trunk = cv2.fillConvexPoly(hidden.astype(np.uint8), _trunk_with_hips(division), 1) > 0
        return trunk & np.isin(division.parts, (BodyLayer.HEAD, *ARMS))
    if index in LEGS:
        for name in LIMB_CHAINS[index][:2]:
            if division.bones.seen[SOFT_BONES.index(name)]:
                hidden |= _whole_bone(division, index, name)
        behind_leg = [] if index == division.front_leg else [OTHER_SIDE[index]]
        others = [BodyLayer.TORSO, *ARMS, *behind_leg, BodyLayer.SKIRT]
        return _connected(hidden & np.isin(division.parts, others), division.parts == index)
    return hidden


def _trunk_with_hips(division: LayerDivision) -> np.ndarray:
    """Return the corners (K, 1, 2) int32 of the trunk, with the outer sides of the thighs: joints lie farther in."""
    corners = [division.hull[:, 0]]
    for leg in LEGS:
        thigh, other = (SOFT_BONES.index(LIMB_CHAINS[one][0]) for one in (leg, OTHER_SIDE[leg]))
        outwards = division.bones.origins[thigh] - division.bones.origins[other]
        outwards = outwards / max(np.hypot(*outwards), 1e-6)
        usual = USUAL_HALF_WIDTHS["thigh"] * division.trunk
        offset, half = division.outlines.measure(thigh)
        beside = min(float(offset @ outwards) + half, _HIPS * usual)
        corners.append((division.bones.origins[thigh] + beside * outwards)[None].round().astype(np.int32))
    return cv2.convexHull(np.concatenate(corners))


def _whole_bone(division: LayerDivision, index: int, name: str) -> np.ndarray:
    """Return the pixels (H, W) bool of a leg around one of its bones, also behind others, between its outlines."""
    bone = SOFT_BONES.index(name)
    origin, vector = division.bones.origins[bone], division.bones.along[bone]
    height, width = division.parts.shape
    along, across, normal = place_at_bone(division.bones, bone, np.mgrid[:height, :width])
    first = 0.0 if name.endswith("calf") else 0.5 if division.has_skirt else _ABOVE_HIP
    inside = (along >= first) & (along <= 1)
    own = inside & (division.parts == index)
    steps = (along[own] * _STEPS).astype(int).clip(0, _STEPS - 1)
    centers = (np.arange(_STEPS) + 0.5) / _STEPS
    usual = USUAL_HALF_WIDTHS[name.split("_", 1)[1]] * division.trunk
    for sign in (1, -1):
        ends = np.full(_STEPS, -np.inf)
        np.maximum.at(ends, steps, sign * across[own])
        seen = np.flatnonzero(ends > 0)
        beyond = origin + centers[seen, None] * vector + sign * (ends[seen, None] + _BEYOND) * normal
        columns, rows = beyond.round().astype(int).T
        seen = seen[division.parts[rows.clip(0, height - 1), columns.clip(0, width - 1)] < 0]
        if len(seen):
            most = np.interp(along, centers[seen], ends[seen])
        else:
            most = np.full(own.shape, _HIDDEN_WIDTH * min(division.outlines.measure(bone)[1], usual))
        inside &= sign * across <= most
    return inside


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


def _reflect(
    division: LayerDivision, sure: np.ndarray, origins: np.ndarray, hidden: np.ndarray, box: tuple[slice, slice]
) -> tuple[np.ndarray, np.ndarray]:
    """Continue a layer behind arms: a hem goes on at its height, and a pattern as its mirror image.

    Args:
        division: The picture.
        sure: (H, W) bool, where the picture has the layer's colours.
        origins: (h, w) int32 within the box, see `Layer`.
        hidden: (H, W) bool, what of the layer is behind others.
        box: Rows and columns.

    Returns:
        The origins of all pixels, and those pixels (h, w) bool that have those of mirror images.
    """
    known = sure[box]
    chest = division.bones.along[SOFT_BONES.index("chest")]
    upright = abs(chest[1]) > abs(chest[0])
    near = distance_transform_edt(
        ~known, sampling=(_ALONG, 1) if upright else (1, _ALONG), return_distances=False, return_indices=True
    )
    place = np.indices(known.shape)
    mirrored = (2 * near - place).clip(0, np.array(known.shape)[:, None, None] - 1)
    numbers = np.arange(sure.size, dtype=np.int32).reshape(sure.shape)[box]
    classes = division.classes[box]
    nearest, reflection = numbers[tuple(near)], numbers[tuple(mirrored)]
    ys, xs = place + np.array([box[0].start, box[1].start])[:, None, None]
    origin = division.bones.origins[SOFT_BONES.index("chest")]
    down = ((xs - origin[0]) * chest[0] + (ys - origin[1]) * chest[1]) / max(float(chest @ chest), 1e-9)
    below = down > _ARMPITS  # at a shoulder a print would be seen twice
    fits = hidden[box] & below & known[tuple(mirrored)] & (classes[tuple(mirrored)] == classes[tuple(near)])
    beside = grow_square(hidden, 3)[box] & below & ~known  # with its soft border
    return np.where(fits, reflection, np.where(beside, nearest, origins)), fits


def _origins(known: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Number, in the whole picture, of the known pixel that is nearest to each pixel of a box: (h, w) int32."""
    numbers = np.arange(known.size, dtype=np.int32).reshape(known.shape)[box]
    return numbers.ravel()[nearest_known(known[box])]
