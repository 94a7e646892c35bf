"""Assign each pixel of a person to a layer, by bones, outlines and classes."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from posegen.features.body_bones import (
    SOFT_BONES,
    distance_to_bone,
    find_bones,
    foreshortening,
    place_at_bone,
    step_along_bone,
    trunk_length,
)
from posegen.features.body_layers import (
    ARMS,
    CLOTH,
    HAND_LENGTH,
    LAYERS,
    LEGS,
    LIMB_CHAINS,
    OTHER_SIDE,
    USUAL_HALF_WIDTHS,
    BodyLayer,
)
from posegen.features.body_pose import BodyPoses
from posegen.features.limb_outlines import LimbOutlines
from posegen.features.matte import nearest_known
from posegen.features.morphology import grow_square
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices

_TRUNK_JOINTS = joint_indices(["right_shoulder", "left_shoulder", "left_hip", "right_hip"])
_ANKLES = joint_indices(["right_ankle", "left_ankle"])

_IN_PLANE = 0.6  # share of an arm's length that is seen, below which its sides are not straight
_HEAD_RADIUS, _TRUNK_MARGIN, _WITHIN_TRUNK = 0.3, 0.1, 0.8
_BARE, _CLOTH_AT_BARE_ARM = 0.8, 3.0  # share of skin along a bare arm, and half widths that cloth is less likely its
_WHOLE_HAND = 0.5  # lengths of the trunk around a wrist, within which skin before trousers is a hand's
_IN_HAND = 1.5  # half widths by which skin near a wrist is less likely to be something else's
_ACROSS_GAP = 3.0  # half widths that a pixel beyond a gap is farther from an arm
_GAP = 0.3  # of the matte: less is one
_LOOKS = 10  # on the way from a bone to a pixel
_ARMPIT, _NEAR_SHOULDER = 4.0, 0.6  # how much steeper an arm ends below, and up to which share of the upper arm
_OVERLAP = 0.5  # usual half widths: calves whose bones come nearer lie before each other
_LEG_REACH = 0.75  # half widths around a leg before another that are its own
_BEHIND_LEG = 3.0  # half widths that they are farther from the other
_BESIDE_HAND = 0.1  # lengths of the trunk around an arm, within which a leg's outline may be that of a shadow
_STEPS = 16  # along a bone, in which an outline is looked at
_FEWEST_STEPS = 4  # that say where it goes on
_BESIDE_LINE = 0.5  # pixels
_WAIST = (0.55, 0.95)  # of the trunk, where its outline is looked at
_TOP = 0.1  # of the trunk: above is the shoulder
_BEYOND = 2.5  # pixels beyond it, where nobody is
# Lengths of the trunk beyond that outline, from which cloth at the armpit folds away; beside a sleeve, and how far.
_CORNER, _CORNER_AT_SLEEVE, _BESIDE_SLEEVE = 0.03, 0.01, 0.06
_NOBODY = 0.03  # of the matte
_AS_NEAR = 1.5  # half widths by which a pixel may be farther from a layer than from another for a smooth border
_SPECK = 0.03  # of a layer's largest piece: smaller ones are others' pixels

# How much less a class of pixels belongs to a layer than its place says, in half widths.
_NEVER = 50.0
_MISFITS = {
    #                      head   torso  arms   legs   skirt
    PersonClass.HAIR: (0.0, 1.5, 3.0, _NEVER, _NEVER),
    PersonClass.SKIN: (0.0, 0.8, 0.0, 0.0, _NEVER),
    PersonClass.UPPER: (4.0, 0.0, 0.0, 1.0, 0.5),
    PersonClass.LOWER: (_NEVER, 0.3, 5.0, 0.0, 0.0),
    PersonClass.ONE_PIECE: (4.0, 0.0, 0.3, 0.5, 0.0),
    PersonClass.SHOES: (_NEVER, 8.0, 8.0, 0.0, _NEVER),
    PersonClass.CARRIED: (0.0, 0.0, 0.0, 0.5, 0.5),
}


class LayerDivision:
    """A picture of a person, divided into layers."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    labels: np.ndarray
    """(H, W) uint8 of `PersonClass`."""
    matte: np.ndarray
    """(H, W) float32 in [0, 1], opacity of the person."""
    classes: np.ndarray
    """(H, W) uint8 of `PersonClass`: labels that reach as far as the matte."""
    hull: np.ndarray
    """(K, 1, 2) int32 corners of the trunk."""
    hands: np.ndarray
    """(H, W) bool: skin around the wrists."""
    has_skirt: bool
    """True if cloth hangs between the thighs."""
    front_leg: int
    """The leg that hides the lower part of the other one, as with crossed legs; -1 where none does."""
    outlines: LimbOutlines
    parts: np.ndarray
    """(H, W) int8: the number of the layer of each pixel; -1 where there is nobody."""

    def __init__(self, image: np.ndarray, pose: BodyPoses, labels: np.ndarray, matte: np.ndarray):
        """Divide a picture; see `LayeredPerson.take_apart`."""
        self.image, self.pose, self.labels, self.matte = image, pose, labels, matte
        self.bones, self.trunk = find_bones(pose), trunk_length(pose)
        self.hull = cv2.convexHull(pose.keypoints[_TRUNK_JOINTS, :2].round().astype(np.int32))
        inside = matte > _NOBODY
        # The soft border of a person has the class of the person beside it.
        self.classes = np.where(inside, labels.ravel()[nearest_known(labels > 0)], 0) if labels.any() else labels
        self.hands = self._find_hands()
        self.has_skirt = self._finds_skirt()
        self.front_leg = find_front_leg(pose)
        self.outlines = LimbOutlines(image, matte, self.bones, self.trunk, self.front_leg >= 0)
        self.parts = self._divide()

    def _divide(self) -> np.ndarray:
        """Number of the layer of each pixel, (H, W) int8; -1 where there is nobody."""
        parts = np.zeros(self.labels.shape, np.uint8)
        ys, xs = np.nonzero(self.classes)
        distances = self._distances(ys, xs)
        if len(ys):
            parts[ys, xs] = distances.argmin(axis=0) + 1
        smooth = cv2.medianBlur(parts, 5)
        # A pixel of trousers on a hand would colour all of it that is hidden.
        pixels = np.arange(len(ys))
        much_farther = distances[smooth[ys, xs].astype(int) - 1, pixels] > distances.min(axis=0) + _AS_NEAR
        kept = (self.classes == PersonClass.SKIN) & np.isin(parts, [arm + 1 for arm in ARMS])
        kept[ys, xs] |= much_farther & (smooth[ys, xs] > 0)
        smooth = np.where(kept, parts, smooth)
        found = _without_specks(np.where(self.classes > 0, smooth.astype(np.int8) - 1, -1))
        for leg in LEGS:
            found[self._beside_hand(found, leg)] = -1
        for side in (1, -1):
            found[self._under_arm(found, side)] = -1
        return _without_specks(found)  # of what was cut off

    def _beside_hand(self, parts: np.ndarray, leg: int) -> np.ndarray:
        """Return pixels (H, W) bool of a leg that are none: shadow, wall or fingers where a hand hangs beside it.

        Above the end of the hand the leg's outline goes on straight, not around them.
        """
        own, beside = parts == leg, np.zeros(parts.shape, bool)
        bone, other = (SOFT_BONES.index(LIMB_CHAINS[one][0]) for one in (leg, OTHER_SIDE[leg]))
        near = own & grow_square(np.isin(parts, ARMS), max(round(_BESIDE_HAND * self.trunk), 1))
        if not near.any() or not self.bones.seen[bone]:
            return beside
        pixels = np.nonzero(own)
        along, across, normal = place_at_bone(self.bones, bone, np.array(pixels))
        outer = across * np.sign(normal @ (self.bones.origins[bone] - self.bones.origins[other]))
        start, end = along[near[pixels]].min(), along[near[pixels]].max()
        first = np.floor(end * _STEPS + 1) / _STEPS  # of the step before a part may be behind the hand
        line = _continue_outline(along, outer, (first, 1.0), steepest=0.0)  # no leg is narrower further up
        beside[pixels] = (along >= start) & (along <= end) & (outer > line + _BESIDE_LINE)
        return beside

    def _under_arm(self, parts: np.ndarray, side: int) -> np.ndarray:
        """Return pixels (H, W) bool of the trunk that fold away as an arm is raised, on the side 1 or -1 of the chest.

        The corner of cloth between trunk and sleeve belongs to neither: it would hang from the one as a flap, and swing
        out with the other as a wing. Up to it the trunk's outline goes on straight, as far as it is seen.
        """
        corner = np.zeros(parts.shape, bool)
        pixels = np.nonzero(parts == BodyLayer.TORSO)
        chest = SOFT_BONES.index("chest")
        along, across, normal = place_at_bone(self.bones, chest, np.array(pixels))
        rows, columns = (np.array(pixels) + np.round(_BEYOND * side * normal[::-1]).astype(int)[:, None]).clip(
            0, np.array(parts.shape)[:, None] - 1
        )
        line = _continue_outline(along, side * across, _WAIST, parts[rows, columns] < 0)
        inside = cv2.fillConvexPoly(np.zeros(parts.shape, np.uint8), self.hull, 1)[pixels] > 0
        above = (along > _TOP) & (along < _WAIST[0]) & ~inside
        sleeve = grow_square(np.isin(parts, ARMS), max(round(_BESIDE_SLEEVE * self.trunk), 1))[pixels]
        beyond = np.where(sleeve, _CORNER_AT_SLEEVE, _CORNER) * self.trunk
        corner[pixels] = above & (side * across > line + beyond)
        return corner

    def _distances(self, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """Measure the distance of pixels (N,) from each layer, in half widths: (7, N)."""
        points = np.stack([xs, ys], axis=1).astype(np.float64)
        classes = self.classes[ys, xs]
        distances = np.full((len(LAYERS), len(points)), 2 * _NEVER)
        outside = cv2.fillConvexPoly(np.ones(self.labels.shape, np.uint8), self.hull, 0)
        from_hull = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[ys, xs]
        distances[BodyLayer.TORSO] = _WITHIN_TRUNK + from_hull / (_TRUNK_MARGIN * self.trunk)
        distances[BodyLayer.HEAD] = np.linalg.norm(points - self.bones.face, axis=1) / (_HEAD_RADIUS * self.trunk)
        for layer, chain in LIMB_CHAINS.items():
            for name in chain:
                bone = SOFT_BONES.index(name)
                if self.bones.seen[bone] and not name.endswith("hand"):
                    beyond = HAND_LENGTH * self.trunk if name.endswith("forearm") else 0.0
                    offset, width = self.outlines.measure(bone)
                    distance = distance_to_bone(self.bones, bone, points - offset, beyond) / width
                    if layer in ARMS:
                        beside = distance < _ACROSS_GAP
                        distance[beside] += _ACROSS_GAP * self._is_across_gap(points[beside], bone)
                    if layer in ARMS and foreshortening(self.pose, name) > _IN_PLANE:
                        distance = distance + self.outlines.past_edge(points, bone)
                    if layer in ARMS and self._is_bare(name):
                        distance = distance + _CLOTH_AT_BARE_ARM * np.isin(classes, CLOTH)
                    if name.endswith("upper_arm"):
                        distance = distance + self._in_armpit(points, bone, distance)
                    distances[layer] = np.minimum(distances[layer], distance)
        is_clothed = bool(np.isin(self._classes_along(("right_thigh", "left_thigh")), CLOTH).mean() > 0.5)
        for name in ("right_forearm", "left_forearm"):
            bone = SOFT_BONES.index(name)
            if self.bones.seen[bone]:
                wrist = self.bones.origins[bone] + self.bones.along[bone]
                near = np.linalg.norm(points - wrist, axis=1) < HAND_LENGTH * self.trunk
                skin = classes == PersonClass.SKIN
                distances[[BodyLayer.TORSO, *LEGS]] += _IN_HAND * (near & skin)
                if is_clothed:
                    wide = np.linalg.norm(points - wrist, axis=1) < _WHOLE_HAND * self.trunk
                    distances[list(LEGS)] += _MISFITS[PersonClass.LOWER][2] * (wide & skin)
        if self.front_leg >= 0:
            distances[OTHER_SIDE[self.front_leg]] += _BEHIND_LEG * (distances[self.front_leg] < _LEG_REACH)
        if self.has_skirt:
            below = step_along_bone(self.bones, "chest", points, 0.85, 1.0) > 0.5
            cloth = np.isin(classes, CLOTH)
            distances[BodyLayer.SKIRT] = np.where(
                below, np.minimum(distances[BodyLayer.RIGHT_LEG], distances[BodyLayer.LEFT_LEG]), 2 * _NEVER
            )
            bare = [arm for arm in ARMS if self._is_bare(LIMB_CHAINS[arm][1])]
            distances[[BodyLayer.TORSO, *LEGS, *bare]] += 4.0 * (below & cloth)
        misfits = np.zeros((len(PersonClass), len(LAYERS)))
        for kind, (head, torso, arms, legs, skirt) in _MISFITS.items():
            misfits[kind] = (head, torso, arms, arms, legs, legs, skirt)
        return distances + misfits[classes].T

    def _is_across_gap(self, points: np.ndarray, bone: int) -> np.ndarray:
        """Return which points (N, 2) lie, towards the trunk, beyond a gap through which the background is seen."""
        origin, vector = self.bones.origins[bone], self.bones.along[bone]
        share = np.clip((points - origin) @ vector / max(float(vector @ vector), 1e-9), 0, 1)
        foot = origin + share[:, None] * vector
        places = foot + np.linspace(0, 1, _LOOKS)[:, None, None] * (points - foot)
        limit = np.array(self.matte.shape[::-1]) - 1
        columns, rows = np.moveaxis(places.round().astype(int).clip(0, limit), -1, 0)
        person = self.matte[rows, columns] > _GAP
        beyond = (~person & np.logical_or.accumulate(person, axis=0)).any(axis=0)
        chest = SOFT_BONES.index("chest")
        towards = self.bones.origins[chest] + self.bones.along[chest] / 2 - foot
        return np.asarray(beyond & (((points - foot) * towards).sum(axis=1) > 0))

    def _in_armpit(self, points: np.ndarray, arm: int, distance: np.ndarray) -> np.ndarray:
        """Return the half widths by which points (N, 2) below an upper arm are farther from it, by their distance (N,).

        An arm is round at the shoulder, around which it turns: a corner of cloth there would swing out as a wing, and a
        collar would follow it.
        """
        along, down = self.bones.along[arm], self.bones.along[SOFT_BONES.index("chest")]
        share = (points - self.bones.origins[arm]) @ along / max(float(along @ along), 1e-9)
        below = (points - self.bones.origins[arm]) @ down > share * float(along @ down)
        middle = self.bones.origins[SOFT_BONES.index("chest")]
        at_neck = (share < 0) & ((points - self.bones.origins[arm]) @ (middle - self.bones.origins[arm]) > 0)
        return _ARMPIT * np.maximum(distance - 1, 0) * ((below & (share < _NEAR_SHOULDER)) | at_neck)

    def _finds_skirt(self) -> bool:
        """Return True if cloth hangs between the thighs: a skirt, a dress or a long coat."""
        seen = [self.bones.seen[SOFT_BONES.index(name)] for name in ("right_thigh", "left_thigh")]
        if not all(seen):
            return bool((self.labels == PersonClass.ONE_PIECE).any())
        right, left = (SOFT_BONES.index(name) for name in ("right_thigh", "left_thigh"))
        shares = np.linspace(0.35, 0.7, 12)[:, None]
        sides = [self.bones.origins[one] + shares * self.bones.along[one] for one in (right, left)]
        height, width = self.labels.shape
        cloth = np.isin(self.labels, CLOTH)
        x, y = np.stack([*sides, (sides[0] + sides[1]) / 2]).round().astype(int).transpose(2, 0, 1)  # (3, 12)
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        on_right, on_left, middle = cloth[y.clip(0, height - 1), x.clip(0, width - 1)] & inside
        looked_at = inside[2]
        if self._wears_one_piece():  # whose hem may be high; of shorts, short skirts cannot be told
            looked_at = looked_at & on_right & on_left
        between = middle[looked_at].mean() if looked_at.sum() > 2 else 0.0
        knees = self._classes_along(("right_calf", "left_calf"))
        is_bare = bool(np.isin(knees, (PersonClass.SKIN, PersonClass.SHOES)).mean() > 0.5)
        return bool(between > 0.8 and is_bare)

    def _is_bare(self, name: str) -> bool:
        """Return True if skin is seen along a bone."""
        return bool((self._classes_along((name,)) == PersonClass.SKIN).mean() > _BARE)

    def _wears_one_piece(self) -> bool:
        """Return True if a one-piece has more pixels than a lower garment."""
        return bool((self.labels == PersonClass.ONE_PIECE).sum() > (self.labels == PersonClass.LOWER).sum())

    def _find_hands(self) -> np.ndarray:
        """Skin (H, W) bool around the wrists."""
        near = np.zeros(self.labels.shape, np.uint8)
        for bone in (SOFT_BONES.index("right_forearm"), SOFT_BONES.index("left_forearm")):
            if self.bones.seen[bone]:
                wrist = self.bones.origins[bone] + self.bones.along[bone]
                cv2.circle(near, wrist.round().astype(int).tolist(), round(_WHOLE_HAND * self.trunk), 1, -1)
        return (near > 0) & (self.classes == PersonClass.SKIN)

    def _classes_along(self, names: Iterable[str]) -> np.ndarray:
        """The classes of pixels along bones, between their ends; that of nobody where none is seen."""
        found = [np.zeros(1, np.uint8)]
        for name in names:
            bone = SOFT_BONES.index(name)
            if self.bones.seen[bone]:
                points = self.bones.origins[bone] + np.linspace(0.3, 0.8, 10)[:, None] * self.bones.along[bone]
                xs, ys = points.round().astype(int).T
                ok = (xs >= 0) & (ys >= 0) & (xs < self.labels.shape[1]) & (ys < self.labels.shape[0])
                found.append(self.classes[ys[ok], xs[ok]])
        return np.concatenate(found)


def find_front_leg(pose: BodyPoses) -> int:
    """Return the leg's layer that hides the lower part of the other one in one pose, as with crossed legs; -1 where
    none does."""
    bones, trunk = find_bones(pose), trunk_length(pose)
    depths = pose.depths[_ANKLES]
    calves = [SOFT_BONES.index(LIMB_CHAINS[leg][1]) for leg in LEGS]
    if not np.isfinite(depths).all() or not all(bones.seen[calf] for calf in calves):
        return -1
    front = int(depths.argmax())
    back = calves[1 - front]
    points = bones.origins[back] + np.linspace(0.4, 1, 7)[:, None] * bones.along[back]
    nearest = float(distance_to_bone(bones, calves[front], points, trunk).min())
    return LEGS[front] if nearest < _OVERLAP * USUAL_HALF_WIDTHS["calf"] * trunk else -1


def _continue_outline(
    along: np.ndarray,
    outer: np.ndarray,
    between: tuple[float, float],
    free: np.ndarray | None = None,
    steepest: float = np.inf,
) -> np.ndarray:
    """Continue a straight outline beyond where it is seen.

    Args:
        along: (N,) places of pixels along a bone, 0 to 1.
        outer: (N,) pixels that they are beside it.
        between: From where to where the outline is seen.
        free: (N,) whether nobody is beyond a pixel; where the outermost one is not free no outline is seen.
        steepest: Pixels by which it moves outwards along the whole bone, at most.

    Returns:
        (N,) how far beside the bone the outline is at each place; infinite where too little of it is seen.
    """
    steps = (along * _STEPS).astype(int)
    places, ends = [], []
    for step in np.unique(steps[(along >= between[0]) & (along < between[1])]):
        at = np.flatnonzero(steps == step)
        last = at[outer[at].argmax()]
        if free is None or free[last]:
            places.append((step + 0.5) / _STEPS)
            ends.append(outer[last])
    if len(places) < _FEWEST_STEPS:
        return np.full(len(along), np.inf)
    x, y = np.array(places), np.array(ends)
    first, second = np.triu_indices(len(x), 1)
    # The median of the slopes between any two (Theil and Sen).
    slope = min(float(np.median((y[second] - y[first]) / (x[second] - x[first]))), steepest)
    return np.asarray(np.median(y - slope * x) + slope * along)


def _without_specks(parts: np.ndarray) -> np.ndarray:
    """Return parts (H, W) int8 whose small pieces, away from the rest of their layer, belong to what is beside them."""
    specks = np.zeros(parts.shape, bool)
    for index in np.unique(parts[parts >= 0]):
        _, numbers, stats, _ = cv2.connectedComponentsWithStats((parts == index).astype(np.uint8))
        areas = stats[:, cv2.CC_STAT_AREA]
        small = np.flatnonzero(areas < _SPECK * areas[1:].max())
        specks |= (parts == index) & np.isin(numbers, small[small > 0])
    kept = (parts >= 0) & ~specks
    return np.where(specks, parts.ravel()[nearest_known(kept)], parts) if kept.any() else parts
