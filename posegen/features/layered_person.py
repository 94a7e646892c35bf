"""A picture of a person, taken apart into layers that move with the bones, and put together again in other poses.

A layer is a soft body: a mesh over its part of the picture, whose vertices follow one or several bones. Layers overlap
where they meet and go on behind those that hide them, so that a pose that opens a gap shows cloth or skin there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.body_bones import (
    SOFT_BONES,
    BoneFrame,
    bone_maps,
    find_bones,
    foreshortening,
    has_trunk,
    mirror_pose,
    shows_front,
    swap_sides,
    trunk_length,
)
from posegen.features.body_pose import BodyPoses
from posegen.features.matte import nearest_known
from posegen.features.mesh_warp import Mesh, grid_mesh, is_covered, sample_texture, target_positions, warp_texture
from posegen.features.skinning import bone_turns, move_vertices
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices, swap_left_right

LAYERS: tuple[str, ...] = ("head", "torso", "right_arm", "left_arm", "right_leg", "left_leg", "skirt")
"""What can lie before or behind something else."""

_HEAD, _TORSO, _RIGHT_ARM, _LEFT_ARM, _RIGHT_LEG, _LEFT_LEG, _SKIRT = range(len(LAYERS))
_ARMS, _LEGS = (_RIGHT_ARM, _LEFT_ARM), (_RIGHT_LEG, _LEFT_LEG)
_CHAINS: dict[int, tuple[str, ...]] = {
    _RIGHT_ARM: ("right_upper_arm", "right_forearm", "right_hand"),
    _LEFT_ARM: ("left_upper_arm", "left_forearm", "left_hand"),
    _RIGHT_LEG: ("right_thigh", "right_calf", "right_foot"),
    _LEFT_LEG: ("left_thigh", "left_calf", "left_foot"),
}
_OTHER_SIDE = {_RIGHT_ARM: _LEFT_ARM, _LEFT_ARM: _RIGHT_ARM, _RIGHT_LEG: _LEFT_LEG, _LEFT_LEG: _RIGHT_LEG}
_TRUNK_JOINTS = joint_indices(["right_shoulder", "left_shoulder", "left_hip", "right_hip"])
_WRISTS = joint_indices(["right_wrist", "left_wrist"])
_ELBOWS = joint_indices(["right_elbow", "left_elbow"])
_KNEES = joint_indices(["right_knee", "left_knee"])
_ANKLES = joint_indices(["right_ankle", "left_ankle"])

# Usual half widths, in lengths of the trunk.
_HALF_WIDTHS = {"upper_arm": 0.12, "forearm": 0.09, "thigh": 0.18, "calf": 0.13, "foot": 0.1}
_WIDEST_EDGE = 1.5  # of the width on the other side: up to where the edge of an arm before the body is searched
_ALONG_EDGE = ((0.0, np.inf), (-np.inf, 0.95))  # of an upper arm, and of a forearm: not of a hand, which is wider
_PAST = 2.5  # half widths that pixels past such an edge are farther away
_CONTRAST = 30.0  # levels by which what lies before it differs from what lies beyond, if there is one
_IN_PLANE = 0.6  # share of an arm's length that is seen, below which its sides are not straight
_SLIMMEST = 0.6  # of the usual half widths
_HEAD_RADIUS, _TRUNK_MARGIN, _WITHIN_TRUNK = 0.3, 0.1, 0.8
_HAND = 0.35  # how far beyond the wrist an arm reaches
_LEAST_HAND = 0.005  # squared lengths of the trunk: of skin, if a hand is seen
_OVER_HAND = 0.3  # share of cloth where a hand should be, from which the hand is in it or behind it
_SEAMS = {_HEAD: 0.12, _RIGHT_ARM: 0.16, _LEFT_ARM: 0.16, _RIGHT_LEG: 0.2, _LEFT_LEG: 0.2, _SKIRT: 0.0}
_SEAM_OF_SKIRT = 0.2

_CLOTH = (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE)
# How much less a class of pixels belongs to a layer than its place says, in half widths.
_NEVER = 50.0
_MISFITS = {
    #                      head   torso  arms   legs   skirt
    PersonClass.HAIR: (0.0, 1.5, 3.0, _NEVER, _NEVER),
    PersonClass.SKIN: (0.0, 0.8, 0.0, 0.0, _NEVER),
    PersonClass.UPPER: (1.5, 0.0, 0.0, 1.0, 0.5),
    PersonClass.LOWER: (_NEVER, 0.3, 5.0, 0.0, 0.0),
    PersonClass.ONE_PIECE: (1.5, 0.0, 0.3, 0.5, 0.0),
    PersonClass.SHOES: (_NEVER, 8.0, 8.0, 0.0, _NEVER),
    PersonClass.CARRIED: (0.0, 0.0, 0.0, 0.5, 0.5),
}
_BARE, _CLOTH_AT_BARE_ARM = 0.8, 3.0  # share of skin along a bare arm, and half widths that cloth is less likely its
_WHOLE_HAND = 0.5  # lengths of the trunk around a wrist, within which skin before trousers is a hand's
_IN_HAND = 1.5  # half widths by which skin near a wrist is less likely to be something else's
_FORESHORTENED = 0.45  # share of a bone's length that is seen, below which the other side's limb shows more
_OVERLAP = 0.5  # usual half widths: calves whose bones come nearer lie before each other
_LEG_REACH, _BEHIND_LEG = (
    1.1,
    3.0,
)  # half widths that a leg before another takes, and how much less these are the other's
_NOBODY, _SURE = 0.03, 0.9  # of the matte
_HALF = 127  # of an opacity
_RIM = 3  # pixels of clothes beside hands, whose colours mix with theirs
_SPECK = 0.03  # of a layer's largest piece: smaller ones are others' pixels
_FEWEST = 12  # pixels of a layer that is worth showing
_CROTCH = 0.3  # of a thigh by which the inner side follows it later than the outer side
_ARMPIT = 0.35  # of an upper arm by which the side of the armpit follows it later than the outer side
_HIDDEN_WIDTH = 1.5  # half widths across what a leg is behind others
_WIDEST_LIMB = 2.5  # half widths: a limb whose outline is farther away lies before the body
_SQUARES = 48  # of the mesh along the height of the picture
_SAMPLES = 96  # of the coarse map along the height of the target

# Depths in lengths of the trunk at which an arm is behind it, and a thigh before it.
_BEHIND, _LIFTED = -0.3, 0.45


@dataclass(frozen=True)
class Layer:
    """A part of the person that moves as one soft body."""

    name: str
    opacity: np.ndarray
    """(H, W) uint8, of the whole picture."""
    origins: np.ndarray
    """(h, w) int32 within `box`: the number of the pixel of the picture whose colour each pixel has."""
    box: tuple[slice, slice]
    """Rows and columns of the picture that hold the layer and its surroundings."""
    sure: np.ndarray
    """(h, w) bool within `box`: where it shows the picture itself."""
    mesh: Mesh
    weights: np.ndarray
    """(V, 15): how much each vertex follows each of `SOFT_BONES`; rows sum to 1."""
    pivots: np.ndarray
    """(V, 2): the joint around which each vertex bends, in pixels; itself where it bends around none."""
    bones: BoneFrame
    """The pose in which it was seen."""
    texture: np.ndarray
    """(H, W, 4) uint8 RGB and opacity; colours go on beyond what is opaque."""

    def showing(self, image: np.ndarray) -> Layer:
        """Return the layer of another picture (H, W, 3) uint8 of the same pose, with other colours."""
        colors = image.reshape(-1, 3)[self.origins]
        smooth = cv2.GaussianBlur(colors, (0, 0), 2)
        texture = np.dstack([image, self.opacity])
        texture[self.box][..., :3] = np.where(self.sure[..., None], colors, smooth)
        return replace(self, texture=texture)


@dataclass(frozen=True)
class LayeredFrame:
    """A person in one pose, with where each pixel comes from."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    opacity: np.ndarray
    """(H, W) uint8: how much of each pixel is the person."""
    layers: np.ndarray
    """(H, W) int8: the front layer's number in `LAYERS`, also a few pixels beyond its border; -1 where none is near."""
    positions: np.ndarray
    """(H, W, 2) float32: x and y in the picture where that layer has the pixel from; its own place where none is."""
    sure: np.ndarray
    """(H, W) bool: the pixel shows, or beyond the border would show, the picture itself at that position; not what was
    filled in, borrowed hair or nobody."""


@dataclass(frozen=True)
class LayeredPerson:
    """A person of whom a picture is taken apart once, and shown in any number of poses; see `take_apart`."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB, in which the colours are seen."""
    pose: BodyPoses
    """The person's pose in it."""
    labels: np.ndarray
    """(H, W) uint8 of `PersonClass`."""
    background: np.ndarray
    """(H, W, 3) uint8 without the person."""
    layers: dict[int, Layer]
    """By their number in `LAYERS`."""
    borrowed: frozenset[int]
    """Limbs that are those of the other side, mirrored."""

    @classmethod
    def take_apart(
        cls, image: np.ndarray, pose: BodyPoses, labels: np.ndarray, matte: np.ndarray, background: np.ndarray
    ) -> LayeredPerson:
        """Take a picture apart.

        Args:
            image: (H, W, 3) uint8 RGB.
            pose: The person's pose in it.
            labels: (H, W) uint8 of `PersonClass`.
            matte: (H, W) float32 in [0, 1], opacity of the person.
            background: (H, W, 3) uint8 without the person.

        Raises:
            ConfigError: The pose lacks a shoulder or a hip.
        """
        if not has_trunk(pose):
            raise ConfigError("the person's shoulders and hips are not all seen, expected both of both")
        division = _Division(image, pose, labels, matte)
        layers = division.layers()
        handless = {arm for arm, side in zip(_ARMS, ("right", "left"), strict=True) if hides_hand(pose, labels, side)}
        whole = {index for index in (*_ARMS, *_LEGS) if _shows_limb(layers, index, pose)} - handless
        if division.front_leg in whole:
            whole -= {_OTHER_SIDE[division.front_leg]}
        missing = [index for index in (*_ARMS, *_LEGS) if index not in whole]
        flipped = [np.ascontiguousarray(one[:, ::-1]) for one in (image, labels, matte)]
        mirrored = mirror_pose(pose, image.shape[1])
        others = _Division(flipped[0], mirrored, *flipped[1:]).layers() if missing else {}
        borrowed = {index: others[index] for index in missing if index in others and _OTHER_SIDE[index] in whole}
        return cls(image, pose, labels, background, layers | borrowed, frozenset(borrowed))

    def recolored(self, image: np.ndarray) -> LayeredPerson:
        """Return the person with other colours: the same layers of another picture (H, W, 3) uint8 of the same pose."""
        mirrored = np.ascontiguousarray(image[:, ::-1])
        layers = {
            index: layer.showing(mirrored if index in self.borrowed else image) for index, layer in self.layers.items()
        }
        return replace(self, image=image, layers=layers)

    def frame(self, pose: BodyPoses, scale: float = 1.0) -> np.ndarray:
        """Show the person in one pose: (H, W, 3) uint8.

        Args:
            pose: In pixels of the picture. One without a trunk shows the background alone.
            scale: How much larger the person is than in the picture.
        """
        canvas = self.background.copy()
        if has_trunk(pose):
            draw_layers(canvas, dict.fromkeys(range(len(LAYERS)), self), pose, scale)
        return canvas

    def frame_with_map(self, pose: BodyPoses, scale: float = 1.0) -> LayeredFrame:
        """Show the person in one pose as `frame` does, with where each pixel comes from."""
        canvas = self.background.copy()
        height, width = canvas.shape[:2]
        place = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
        found = LayeredFrame(
            canvas,
            np.zeros((height, width), np.uint8),
            np.full((height, width), -1, np.int8),
            place,
            np.zeros((height, width), bool),
        )
        if has_trunk(pose):
            draw_layers(canvas, dict.fromkeys(range(len(LAYERS)), self), pose, scale, found)
        return found

    def shows_other_side(self, pose: BodyPoses) -> bool:
        """Return whether one pose shows the back of a person whose front the picture shows, or the front for the back.

        Then the sides exchange their roles: what is on the right of the picture stays there, only that it is the other
        arm. Nothing is mirrored or torn.
        """
        return shows_front(pose) != shows_front(self.pose)

    def layer(self, index: int, faces_viewer: bool) -> Layer | None:
        """Return a layer by its number in `LAYERS`: the head's is without a face where that is not to be seen."""
        layer = self.layers.get(index)
        if index == _HEAD and layer is not None and layer.bones.faces_viewer and not faces_viewer:
            return self.back_of_head
        return layer

    @cached_property
    def back_of_head(self) -> Layer | None:
        """The head from behind: hair where there is a face."""
        head = self.layers.get(_HEAD)
        if head is None:
            return None
        hair = self.labels == PersonClass.HAIR
        hair = cv2.erode(hair.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        face = (self.labels == PersonClass.SKIN) & (head.opacity > 0)
        ys, _ = np.nonzero(face)
        if hair.sum() < _FEWEST or not len(ys):
            return head
        neck = head.bones.origins[SOFT_BONES.index("head")]
        chin = 0.4 * head.bones.face[1] + 0.6 * neck[1]
        face[max(round(float(chin)), 0) :] = False
        behind = cv2.GaussianBlur(self.image.reshape(-1, 3)[nearest_known(hair)], (0, 0), 1.0)
        soft = cv2.GaussianBlur(cv2.dilate(face.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 1.0)[..., None]
        texture = head.texture.copy()
        texture[..., :3] = (texture[..., :3] * (1 - soft) + behind * soft).round().astype(np.uint8)
        return replace(head, texture=texture)


def _shows_limb(layers: Mapping[int, Layer], index: int, pose: BodyPoses) -> bool:
    """Whether a picture shows a limb down to its last joint, and not from its end."""
    layer = layers.get(index)
    if layer is None or not all(layer.bones.seen[SOFT_BONES.index(name)] for name in _CHAINS[index][:2]):
        return False
    return min(foreshortening(pose, name) for name in _CHAINS[index][:2]) > _FORESHORTENED


def hides_hand(pose: BodyPoses, labels: np.ndarray, side: str) -> bool:
    """Return whether an arm is shown down to its wrist, and cloth instead of skin where its hand should be.

    Args:
        pose: One pose.
        labels: (H, W) uint8 of `PersonClass`.
        side: ``right`` or ``left``.
    """
    bones, trunk = find_bones(pose), trunk_length(pose)
    forearm = SOFT_BONES.index(f"{side}_forearm")
    if not bones.seen[forearm]:
        return False
    direction = bones.along[forearm] / max(np.hypot(*bones.along[forearm]), 1e-6)
    middle = bones.origins[forearm] + bones.along[forearm] + 0.5 * _HAND * trunk * direction
    disk = cv2.circle(
        np.zeros(labels.shape, np.uint8), middle.round().astype(int).tolist(), round(0.6 * _HAND * trunk), 1, -1
    )
    found = labels[disk > 0]
    skin, cloth = (found == PersonClass.SKIN).sum(), np.isin(found, _CLOTH).sum()
    return bool(skin < _LEAST_HAND * trunk**2 and cloth > _OVER_HAND * len(found))


def order_by_depth(pose: BodyPoses) -> list[int]:
    """Return the numbers of `LAYERS` from back to front, by the pose's depths; unknown, arms are in front."""
    trunk = max(trunk_length(pose), 1e-9)
    depths = np.nan_to_num(pose.depths) / trunk
    known = bool(np.isfinite(pose.depths).any())
    keys = np.zeros(len(LAYERS))
    keys[[_TORSO, _SKIRT, _HEAD]] = 0.0, -0.1, 0.1
    for side in range(2):
        arm = (depths[_ELBOWS[side]] + 2 * depths[_WRISTS[side]]) / 3
        hidden = known and arm < _BEHIND
        keys[_ARMS[side]] = (-0.5 if hidden else 0.4) + 0.05 * np.tanh(arm)
        leg = (depths[_KNEES[side]] + depths[_ANKLES[side]]) / 2
        lifted = known and depths[_KNEES[side]] > _LIFTED
        keys[_LEGS[side]] = (0.05 if lifted else -1.0) + 0.02 * np.tanh(leg) - 0.001 * side
    return np.argsort(keys, kind="stable").tolist()


def draw_layers(
    canvas: np.ndarray,
    views: Mapping[int, LayeredPerson],
    pose: BodyPoses,
    scale: float = 1.0,
    record: LayeredFrame | None = None,
) -> None:
    """Draw layers, each as one of several pictures of the person shows it, onto a canvas (H, W, 3) uint8.

    Args:
        canvas: Of the size of the pictures.
        views: For each number of `LAYERS` that is drawn, where it comes from.
        pose: What to show, in pixels of the canvas.
        scale: How much larger the person is than in the pictures.
        record: Where it is written down what each pixel shows; its picture is the canvas.
    """
    targets: dict[int, BoneFrame] = {}
    maps: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # layers that were seen in one pose share them
    for index in order_by_depth(pose):
        if index not in views:
            continue
        view = views[index]
        other_side = view.shows_other_side(pose)
        if id(view) not in targets:
            targets[id(view)] = find_bones(swap_sides(pose) if other_side else pose)
        target = targets[id(view)]
        shown = _OTHER_SIDE.get(index, index) if other_side else index
        layer = view.layer(shown, target.faces_viewer)
        if layer is not None:
            if id(layer.bones) not in maps:
                moved = bone_maps(layer.bones, target, scale)
                maps[id(layer.bones)] = moved, bone_turns(moved, layer.bones, target)
            if record is None:
                _lay_over(canvas, layer, maps[id(layer.bones)])
            else:
                is_own = layer is view.layers.get(shown)  # the back of a head shows hair of elsewhere
                _record(record, layer, maps[id(layer.bones)], shown, is_own, shown in view.borrowed)


def _lay_over(canvas: np.ndarray, layer: Layer, maps: tuple[np.ndarray, np.ndarray]) -> None:
    """Draw a layer onto a canvas (H, W, 3) uint8."""
    moved = move_vertices(layer.mesh.vertices, layer.weights, layer.pivots, *maps)
    step = max(round(canvas.shape[0] / _SAMPLES), 2)
    warped = warp_texture(layer.texture, layer.mesh, moved, canvas.shape[:2], step)
    if warped is not None:
        _blend(canvas, *warped)


def _record(
    record: LayeredFrame,
    layer: Layer,
    maps: tuple[np.ndarray, np.ndarray],
    index: int,
    is_own: bool,
    is_borrowed: bool,
) -> None:
    """Draw a layer onto the picture of a record, and write down where its pixels come from."""
    height, width = record.opacity.shape
    step = max(round(height / _SAMPLES), 2)
    moved = move_vertices(layer.mesh.vertices, layer.weights, layer.pivots, *maps)
    found = target_positions(layer.mesh, moved, (height, width), step)
    if found is None:
        return
    positions, (left, top) = found
    part = sample_texture(layer.texture, positions)
    _blend(record.image, part, (left, top))
    window = (slice(top, top + part.shape[0]), slice(left, left + part.shape[1]))
    opacity = part[..., 3]
    behind = record.opacity[window]
    takes = (opacity > _HALF) | ((behind <= _HALF) & (opacity >= behind) & is_covered(positions))
    record.opacity[window] = 255 - ((255 - behind.astype(int)) * (255 - opacity) / 255).round().astype(np.uint8)
    record.layers[window][takes] = index
    places = positions.copy()
    if is_borrowed:
        places[..., 0] = width - 1 - places[..., 0]
    record.positions[window][takes] = places[takes]
    sure = np.full((height, width), 255, np.uint8)
    sure[layer.box] = np.where(layer.sure | (layer.opacity[layer.box] == 0), 255, 0)
    record.sure[window][takes] = (sample_texture(sure, positions) > _HALF)[takes] & is_own


def _blend(canvas: np.ndarray, part: np.ndarray, corner: tuple[int, int]) -> None:
    """Lay a part (h, w, 4) uint8 RGB and opacity over a canvas, from a left and top on."""
    left, top = corner
    region = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    opacity = cv2.merge([part[..., 3]] * 3)
    shown = cv2.multiply(part[..., :3], opacity, scale=1 / 255)
    cv2.add(shown, cv2.multiply(region, 255 - opacity, scale=1 / 255), dst=region)


class _Division:
    """Takes one picture apart."""

    def __init__(self, image: np.ndarray, pose: BodyPoses, labels: np.ndarray, matte: np.ndarray):
        self.image, self.pose, self.labels, self.matte = image, pose, labels, matte
        self.bones, self.trunk = find_bones(pose), trunk_length(pose)
        self.smooth = cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float32)
        self.hull = cv2.convexHull(pose.keypoints[_TRUNK_JOINTS, :2].round().astype(np.int32))
        inside = matte > _NOBODY
        # The soft border of a person has the class of the person beside it.
        self.classes = np.where(inside, labels.ravel()[nearest_known(labels > 0)], 0) if labels.any() else labels
        self.hands = self._find_hands()
        self.has_skirt = self._finds_skirt()
        self.front_leg = self._find_front_leg()
        self.parts = self._divide()

    def layers(self) -> dict[int, Layer]:
        """All layers that the picture shows, by their number."""
        spacing = max(round(self.image.shape[0] / _SQUARES), 2)
        found = {}
        for index, name in enumerate(LAYERS):
            own = self.parts == index
            if own.sum() < _FEWEST:
                continue
            shown = own | self._overlap(index)
            region = shown | self._hidden(index)
            opacity = _soften(region) * np.where(region & ~shown, 1, self.matte)
            sure = self._own_colors(shown, _RIM if index in (_TORSO, *_LEGS, _SKIRT) else 1)
            if not sure.any():
                continue  # a few pixels at most
            rows, columns = _bounding_box(opacity > 0, margin=3)
            origins = _origins(sure, (rows, columns))
            opaque = (opacity * 255).round().astype(np.uint8)
            mesh, weights = self._soft_body(index, grid_mesh(opacity > 0, spacing))
            layer = Layer(
                name,
                opaque,
                origins,
                (rows, columns),
                sure[rows, columns],
                mesh,
                weights,
                self._pivots(index, mesh.vertices, weights),
                self.bones,
                np.zeros((0, 0, 4), np.uint8),
            )
            found[index] = layer.showing(self.image)
        return found

    def _own_colors(self, shown: np.ndarray, rim: int) -> np.ndarray:
        """Where the picture's colours are those of a layer, (H, W) bool.

        Not at the border to the background or to another class, by so many pixels of a rim to hands, whose colours mix
        with it, but beyond the border to a layer of the same cloth or skin, so that no seam is seen.
        """
        near = cv2.dilate(shown.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        same = self.classes == self.classes.ravel()[nearest_known(shown)]
        foreign = cv2.dilate((~same).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        hands = cv2.dilate((self.hands & ~same).astype(np.uint8), np.ones((2 * rim + 1,) * 2, np.uint8)) > 0
        return near & ~foreign & ~hands & (self.matte > _SURE)

    # ---- Which layer each pixel belongs to

    def _divide(self) -> np.ndarray:
        """Number of the layer of each pixel, (H, W) int8; -1 where there is nobody."""
        parts = np.zeros(self.labels.shape, np.uint8)
        ys, xs = np.nonzero(self.classes)
        if len(ys):
            parts[ys, xs] = self._distances(ys, xs).argmin(axis=0) + 1
        smooth = cv2.medianBlur(parts, 5)
        fingers = (self.classes == PersonClass.SKIN) & np.isin(parts, [arm + 1 for arm in _ARMS])
        smooth = np.where(fingers, parts, smooth)
        return _without_specks(np.where(self.classes > 0, smooth.astype(np.int8) - 1, -1))

    def _distances(self, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """How far pixels (N,) are from each layer, in half widths: (7, N)."""
        points = np.stack([xs, ys], axis=1).astype(np.float64)
        classes = self.classes[ys, xs]
        distances = np.full((len(LAYERS), len(points)), 2 * _NEVER)
        outside = cv2.fillConvexPoly(np.ones(self.labels.shape, np.uint8), self.hull, 0)
        from_hull = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[ys, xs]
        distances[_TORSO] = _WITHIN_TRUNK + from_hull / (_TRUNK_MARGIN * self.trunk)
        distances[_HEAD] = np.linalg.norm(points - self.bones.face, axis=1) / (_HEAD_RADIUS * self.trunk)
        for layer, chain in _CHAINS.items():
            for name in chain:
                bone = SOFT_BONES.index(name)
                if self.bones.seen[bone] and not name.endswith("hand"):
                    beyond = _HAND * self.trunk if name.endswith("forearm") else 0.0
                    offset, width = self._measure_limb(bone)
                    distance = self._bone_distance(points - offset, bone, beyond) / width
                    if layer in _ARMS and foreshortening(self.pose, name) > _IN_PLANE:
                        distance = distance + self._past_edge(points, bone)
                    if layer in _ARMS and (self._classes_along((name,)) == PersonClass.SKIN).mean() > _BARE:
                        distance = distance + _CLOTH_AT_BARE_ARM * np.isin(classes, _CLOTH)
                    distances[layer] = np.minimum(distances[layer], distance)
        is_clothed = bool(np.isin(self._classes_along(("right_thigh", "left_thigh")), _CLOTH).mean() > 0.5)
        for name in ("right_forearm", "left_forearm"):
            bone = SOFT_BONES.index(name)
            if self.bones.seen[bone]:
                wrist = self.bones.origins[bone] + self.bones.along[bone]
                near = np.linalg.norm(points - wrist, axis=1) < _HAND * self.trunk
                skin = classes == PersonClass.SKIN
                distances[[_TORSO, *_LEGS]] += _IN_HAND * (near & skin)
                if is_clothed:
                    wide = np.linalg.norm(points - wrist, axis=1) < _WHOLE_HAND * self.trunk
                    distances[list(_LEGS)] += _MISFITS[PersonClass.LOWER][2] * (wide & skin)
        if self.front_leg >= 0:
            distances[_OTHER_SIDE[self.front_leg]] += _BEHIND_LEG * (distances[self.front_leg] < _LEG_REACH)
        if self.has_skirt:
            below = self._share_along(points, "chest", 0.85, 1.0) > 0.5
            cloth = np.isin(classes, _CLOTH)
            distances[_SKIRT] = np.where(below, np.minimum(distances[_RIGHT_LEG], distances[_LEFT_LEG]), 2 * _NEVER)
            distances[[_TORSO, *_LEGS]] += 4.0 * (below & cloth)
        misfits = np.zeros((len(PersonClass), len(LAYERS)))
        for kind, (head, torso, arms, legs, skirt) in _MISFITS.items():
            misfits[kind] = (head, torso, arms, arms, legs, legs, skirt)
        return distances + misfits[classes].T

    def _measure_limb(self, bone: int) -> tuple[np.ndarray, float]:
        """How far the middle of a limb lies beside its bone, (2,) pixels, and half its width, as the outline shows.

        Joints are found inside the clothes, not in their middle. A side on which the limb lies before the body has no
        outline: there it is as wide as on the other, within what people measure.
        """
        usual = _HALF_WIDTHS[SOFT_BONES[bone].split("_", 1)[1]] * self.trunk
        middles, normal, (first, second) = self._find_outline(bone, usual)
        name = SOFT_BONES[bone]
        if name.endswith(("calf", "foot")) and self.front_leg >= 0:  # the outline is that of both legs
            first, second = min(first, usual), min(second, usual)
        elif name.endswith(("calf", "foot")):  # up to the middle between both legs
            other = SOFT_BONES.index(swap_left_right(name))
            if self.bones.seen[other]:
                apart = float(np.median((self._points_on(other) - middles) @ normal)) / 2
                if abs(apart) > _SLIMMEST * usual / 2:
                    first, second = (min(first, apart), second) if apart > 0 else (first, min(second, -apart))
        if np.isfinite(first) and np.isfinite(second):
            half, offset = (first + second) / 2, (first - second) / 2
        elif np.isfinite(first) or np.isfinite(second):
            outer, sign = (first, 1) if np.isfinite(first) else (second, -1)
            half = float(np.clip(outer, _SLIMMEST * usual, 1.3 * usual))
            offset = sign * max(outer - half, 0.0)
        else:
            half, offset = usual, 0.0
        return offset * normal, float(np.clip(half, _SLIMMEST * usual, 1.6 * usual))

    def _find_outline(self, bone: int, usual: float) -> tuple[np.ndarray, np.ndarray, list[float]]:
        """Find how far the outline is from a limb's bone.

        Args:
            bone: Its number.
            usual: Half the width in pixels that such limbs usually have.

        Returns:
            (9, 2) points on the bone; (2,) the unit vector to its first side; and the distance in pixels on the first
            and the second side, infinite where there is no outline near.
        """
        vector, middles = self.bones.along[bone], self._points_on(bone)
        normal = np.array([vector[1], -vector[0]]) / max(np.hypot(*vector), 1e-6)
        reach = np.arange(0, _WIDEST_LIMB * usual, 0.5)
        sides = []
        for sign in (1, -1):
            points = middles[:, None] + sign * reach[:, None] * normal  # (9, R, 2)
            xs, ys = np.moveaxis(points.round().astype(int), -1, 0)
            height, width = self.matte.shape
            inside = (xs >= 0) & (ys >= 0) & (xs < width) & (ys < height)
            person = inside & (self.matte[ys.clip(0, height - 1), xs.clip(0, width - 1)] > 0.5)
            ends = np.where(person.all(axis=1), np.inf, reach[(~person).argmax(axis=1)])
            sides.append(float(np.median(ends)))
        return middles, normal, sides

    def _points_on(self, bone: int) -> np.ndarray:
        """Points (9, 2) in the middle of a bone."""
        return self.bones.origins[bone] + np.linspace(0.25, 0.75, 9)[:, None] * self.bones.along[bone]

    def _past_edge(self, points: np.ndarray, bone: int) -> np.ndarray:
        """How many pixels points (N, 2) lie past an edge that ends an arm before the body, at most `_PAST`.

        The edge runs along the bone where the picture's colours differ most, on a side that has no outline.
        """
        past = np.zeros(len(points))
        usual = _HALF_WIDTHS[SOFT_BONES[bone].split("_", 1)[1]] * self.trunk
        middles, normal, sides = self._find_outline(bone, usual)
        expected = min(*sides, 1.3 * usual)
        window = max(round(2 * expected), 2)  # half pixels
        reach = np.arange(0, round(2 * _WIDEST_EDGE * expected) + 1) / 2
        for side, towards in zip(sides, (normal, -normal), strict=True):
            if np.isfinite(side):
                continue
            steps = np.arange(-2, len(reach) + window + 2) / 2
            places = (middles[:, None] + steps[:, None] * towards).astype(np.float32)  # (M, R, 2)
            # Medians along the bone and across it: a pattern or a strap differs nowhere for long.
            colors = np.median(cv2.remap(self.smooth, places, None, cv2.INTER_LINEAR), axis=0)  # type: ignore[call-overload]
            contrast = np.linalg.norm(colors[4 : len(reach) + 4] - colors[: len(reach)], axis=-1)
            for number in range(len(reach)):
                before = np.median(colors[max(number + 2 - window, 0) : number + 2], axis=0)
                beyond = np.median(colors[number + 3 : number + 3 + window], axis=0)
                contrast[number] *= np.linalg.norm(beyond - before) > _CONTRAST
            contrast *= np.exp(-((reach / expected - 1) ** 2) / 2)
            best = int(contrast.argmax())
            if contrast[best] > 0:
                past = np.maximum(past, (points - middles[0]) @ towards - reach[best])
        vector = self.bones.along[bone]
        along = (points - self.bones.origins[bone]) @ vector / max(float(vector @ vector), 1e-9)
        first, last = _ALONG_EDGE[SOFT_BONES[bone].endswith("forearm")]
        return np.where((along > first) & (along < last), np.minimum(past, _PAST), 0.0)

    def _finds_skirt(self) -> bool:
        """Whether cloth hangs between the thighs: a skirt, a dress or a long coat."""
        seen = [self.bones.seen[SOFT_BONES.index(name)] for name in ("right_thigh", "left_thigh")]
        if not all(seen):
            return bool((self.labels == PersonClass.ONE_PIECE).any())
        right, left = (SOFT_BONES.index(name) for name in ("right_thigh", "left_thigh"))
        shares = np.linspace(0.35, 0.7, 12)[:, None]
        points = [self.bones.origins[one] + shares * self.bones.along[one] for one in (right, left)]
        middle = ((points[0] + points[1]) / 2).round().astype(int)
        height, width = self.labels.shape
        middle = middle[(middle >= 0).all(axis=1) & (middle[:, 0] < width) & (middle[:, 1] < height)]
        cloth = np.isin(self.labels, _CLOTH)
        between = cloth[middle[:, 1], middle[:, 0]].mean() if len(middle) else 0.0
        knees = self._classes_along(("right_calf", "left_calf"))
        is_bare = bool(np.isin(knees, (PersonClass.SKIN, PersonClass.SHOES)).mean() > 0.5)
        return bool(between > 0.8 and is_bare)

    def _find_hands(self) -> np.ndarray:
        """Skin (H, W) bool around the wrists."""
        near = np.zeros(self.labels.shape, np.uint8)
        for bone in (SOFT_BONES.index("right_forearm"), SOFT_BONES.index("left_forearm")):
            if self.bones.seen[bone]:
                wrist = self.bones.origins[bone] + self.bones.along[bone]
                cv2.circle(near, wrist.round().astype(int).tolist(), round(_WHOLE_HAND * self.trunk), 1, -1)
        return (near > 0) & (self.classes == PersonClass.SKIN)

    def _find_front_leg(self) -> int:
        """The leg that hides the lower part of the other one, as with crossed legs; -1 where none does."""
        depths = self.pose.depths[_ANKLES]
        calves = [SOFT_BONES.index(_CHAINS[leg][1]) for leg in _LEGS]
        if not np.isfinite(depths).all() or not all(self.bones.seen[calf] for calf in calves):
            return -1
        front = int(depths.argmax())
        back = calves[1 - front]
        points = self.bones.origins[back] + np.linspace(0.4, 1, 7)[:, None] * self.bones.along[back]
        nearest = float(self._bone_distance(points, calves[front], self.trunk).min())
        return _LEGS[front] if nearest < _OVERLAP * _HALF_WIDTHS["calf"] * self.trunk else -1

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

    # ---- What a layer shows of others, and behind others

    def _overlap(self, index: int) -> np.ndarray:
        """Pixels of the neighbouring layer that a layer shows as well, so that no gap opens where they meet."""
        if index == _TORSO:
            return np.zeros(self.parts.shape, bool)
        if index == _SKIRT:
            cloth = np.isin(self.classes, _CLOTH)
            return (self.parts == _TORSO) & cloth & self._beyond_hips(-_SEAM_OF_SKIRT)
        first = "head" if index == _HEAD else _CHAINS[index][0]
        center = self.bones.origins[SOFT_BONES.index(first)].round().astype(int).tolist()
        disk = cv2.circle(np.zeros(self.parts.shape, np.uint8), center, round(_SEAMS[index] * self.trunk), 1, -1)
        near = (disk > 0) & (self.parts == _TORSO)
        if index == _HEAD:
            return near & (self.classes == PersonClass.SKIN)
        return near & np.isin(self.classes, (PersonClass.LOWER, PersonClass.SKIN)) if index in _LEGS else near

    def _beyond_hips(self, margin: float) -> np.ndarray:
        """Pixels (H, W) bool below the hips, or up to a margin in lengths of the trunk above them."""
        pelvis = SOFT_BONES.index("pelvis")
        down = -self.bones.along[pelvis] / max(np.hypot(*self.bones.along[pelvis]), 1e-9)
        ys, xs = np.mgrid[: self.parts.shape[0], : self.parts.shape[1]]
        hips = self.bones.origins[pelvis]
        return (xs - hips[0]) * down[0] + (ys - hips[1]) * down[1] > margin * self.trunk

    def _hidden(self, index: int) -> np.ndarray:
        """Where a layer goes on behind others: the trunk behind arms and hair, legs behind legs, arms and a skirt."""
        hidden = np.zeros(self.parts.shape, np.uint8)
        if index == _TORSO:
            cv2.fillConvexPoly(hidden, self.hull, 1)
            return (hidden > 0) & np.isin(self.parts, (_HEAD, *_ARMS))
        if index in _LEGS:
            for name in _CHAINS[index][:2]:
                bone = SOFT_BONES.index(name)
                if self.bones.seen[bone]:
                    first = 0.5 if self.has_skirt and name.endswith("thigh") else -0.05
                    ends = self.bones.origins[bone] + np.array([[first], [1.0]]) * self.bones.along[bone]
                    usual = _HALF_WIDTHS[name.split("_", 1)[1]] * self.trunk
                    width = max(round(_HIDDEN_WIDTH * min(self._measure_limb(bone)[1], usual)), 1)
                    start, stop = ends.round().astype(int).tolist()
                    cv2.line(hidden, start, stop, 1, width)
            others = [*_ARMS, *(leg for leg in _LEGS if leg != index), _SKIRT]
            return _connected((hidden > 0) & np.isin(self.parts, others), self.parts == index)
        return hidden > 0

    # ---- How the vertices of a layer follow the bones

    def _soft_body(self, index: int, mesh: Mesh) -> tuple[Mesh, np.ndarray]:
        """The mesh with what lies in front where it folds last (a face before the neck), and its weights."""
        weights = self._weights(index, mesh.vertices)
        distance = (weights @ np.arange(len(SOFT_BONES)))[mesh.triangles].mean(
            axis=1
        )  # bones are in order along a chain
        order = np.argsort(-distance if index in (_TORSO, *_LEGS) else distance, kind="stable")
        return mesh._replace(triangles=mesh.triangles[order]), weights

    def _weights(self, index: int, points: np.ndarray) -> np.ndarray:
        """How much vertices (V, 2) of a layer follow each bone, (V, 15)."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        if index == _HEAD:
            up = self._share_along(points, "head", 0.15, 0.6)
            weights[:, SOFT_BONES.index("head")], weights[:, SOFT_BONES.index("chest")] = up, 1 - up
            return weights
        if index == _TORSO:
            return self._torso_weights(points)
        if index == _SKIRT:
            return self._skirt_weights(points)
        chain = [SOFT_BONES.index(name) for name in _CHAINS[index] if self.bones.seen[SOFT_BONES.index(name)]]
        base = SOFT_BONES.index("chest" if index in _ARMS else "pelvis")
        if not chain:
            weights[:, base] = 1
            return weights
        later = (
            _CROTCH * self._between_legs(points, index) if index in _LEGS else _ARMPIT * self._at_armpit(points, index)
        )
        rest = self._share_along(points, SOFT_BONES[chain[0]], -0.1 + later, 0.3 + later)
        weights[:, base] = 1 - rest
        for near, far in pairwise(chain):
            if SOFT_BONES[far].endswith(("foot", "hand")):
                share = self._share_along(points, SOFT_BONES[near], 0.9, 1.05)
            else:
                closer = self._bone_distance(points, near) - self._bone_distance(points, far, self.trunk)
                share = _smoothstep(closer / (0.12 * self.trunk))
            weights[:, near] = rest * (1 - share)
            rest = rest * share
        weights[:, chain[-1]] = rest
        return weights

    def _pivots(self, index: int, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Joints (V, 2) around which vertices bend: those of a limb's bones between which they lie."""
        if index not in _CHAINS:
            return points
        joints = np.zeros((len(points), 2))
        shares = np.zeros((len(points), 1))
        near = SOFT_BONES.index("chest" if index in _ARMS else "pelvis")
        for far in (SOFT_BONES.index(name) for name in _CHAINS[index]):
            if self.bones.seen[far]:
                share = (weights[:, near] * weights[:, far])[:, None]
                joints, shares, near = joints + share * self.bones.origins[far], shares + share, far
        joints = np.where(shares > 1e-6, joints / np.maximum(shares, 1e-6), points)
        if index in _ARMS:  # cloth at the armpit is pulled together where that at the shoulder is stretched
            inner = self._at_armpit(points, index)[:, None]
            joints = inner * points + (1 - inner) * joints
        return joints

    def _torso_weights(self, points: np.ndarray) -> np.ndarray:
        """Chest above, pelvis below; near shoulders and hips the limbs pull."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        for name in ("right_upper_arm", "left_upper_arm", "right_thigh", "left_thigh"):
            bone = SOFT_BONES.index(name)
            if self.bones.seen[bone]:
                width = _HALF_WIDTHS[name.split("_", 1)[1]] * self.trunk
                pull = self._share_along(points, name, -0.1, 0.3)
                pull *= np.clip(1.5 - self._bone_distance(points, bone) / width, 0, 1)
                if name.endswith("arm"):
                    from_joint = np.linalg.norm(points - self.bones.origins[bone], axis=1)
                    # Below an arm that is spread, a corner of the trunk reaches far along the sleeve.
                    pull *= np.clip(2 + 2 * self._spread(bone) - from_joint / (0.15 * self.trunk), 0, 1)
                weights[:, bone] = pull
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        rest = 1 - weights.sum(axis=1)
        down = self._share_along(points, "chest", 0.25, 0.95)
        weights[:, SOFT_BONES.index("chest")] += rest * (1 - down)
        weights[:, SOFT_BONES.index("pelvis")] += rest * down
        return weights

    def _spread(self, arm: int) -> float:
        """How far an upper arm is spread from the trunk, 0 hanging to 1 at a right angle and beyond."""
        along, down = self.bones.along[arm], self.bones.along[SOFT_BONES.index("chest")]
        cosine = float(along @ down) / max(float(np.hypot(*along) * np.hypot(*down)), 1e-9)
        return float(np.sqrt(1 - np.clip(cosine, 0, 1) ** 2))

    def _skirt_weights(self, points: np.ndarray) -> np.ndarray:
        """The pelvis at the hips, and further down both thighs, the nearer one more."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        right, left = SOFT_BONES.index("right_thigh"), SOFT_BONES.index("left_thigh")
        from_right, from_left = (self._bone_distance(points, one, self.trunk) for one in (right, left))
        side = (from_right - from_left) / np.maximum(from_right + from_left, 1e-6)  # -1 at the right thigh
        on_left = _smoothstep(1.2 * side)
        down = 0.85 * np.maximum(
            *(self._share_along(points, SOFT_BONES[one], -0.1, 0.7) * self.bones.seen[one] for one in (right, left))
        )
        weights[:, right], weights[:, left] = down * (1 - on_left), down * on_left
        weights[:, SOFT_BONES.index("pelvis")] = 1 - down
        return weights

    def _bone_distance(self, points: np.ndarray, bone: int, beyond: float = 0.0) -> np.ndarray:
        """Distance of points (N, 2) from a bone that is prolonged at its end, in pixels."""
        start, vector = self.bones.origins[bone], self.bones.along[bone]
        length = max(float(np.hypot(*vector)), 1e-6)
        t = np.clip((points - start) @ vector / length**2, 0, 1 + beyond / length)
        return np.linalg.norm(points - start - t[:, None] * vector, axis=1)

    def _between_legs(self, points: np.ndarray, leg: int) -> np.ndarray:
        """How far points (N, 2) are from a leg's bone towards the other leg, 0 to 1 where the two meet."""
        own, other = (self.bones.origins[SOFT_BONES.index(_CHAINS[one][0])] for one in (leg, _OTHER_SIDE[leg]))
        inwards = (other - own) / 2
        return np.clip((points - own) @ inwards / max(float(inwards @ inwards), 1e-9), 0, 1)

    def _at_armpit(self, points: np.ndarray, arm: int) -> np.ndarray:
        """How far points (N, 2) are from an arm's bone towards the armpit, 0 to 1 at the arm's edge."""
        bone, chest = SOFT_BONES.index(_CHAINS[arm][0]), SOFT_BONES.index("chest")
        along, down = self.bones.along[bone], self.bones.along[chest]
        along, down = (vector / max(np.hypot(*vector), 1e-9) for vector in (along, down))
        inwards = self.bones.origins[chest] - self.bones.origins[bone]
        side = down + 0.5 * inwards / max(np.hypot(*inwards), 1e-9)
        side -= (side @ along) * along
        side *= np.clip(2 * (1 + along @ down), 0, 1) / max(np.hypot(*side), 1e-9)  # a raised arm has it elsewhere
        half = _HALF_WIDTHS["upper_arm"] * self.trunk
        return np.clip((points - self.bones.origins[bone]) @ side / half, 0, 1)

    def _share_along(
        self, points: np.ndarray, name: str, start: float | np.ndarray, stop: float | np.ndarray
    ) -> np.ndarray:
        """A soft step from 0 to 1 between two places along a bone, in its lengths."""
        index = SOFT_BONES.index(name)
        vector = self.bones.along[index]
        t = (points - self.bones.origins[index]) @ vector / max(float(vector @ vector), 1e-9)
        return _smoothstep(2 * (t - start) / (stop - start) - 1)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip((x + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)


def _soften(region: np.ndarray) -> np.ndarray:
    """Opacity (H, W) float32 in [0, 1] of a region: a pixel wider, with a soft border."""
    wider = cv2.dilate(region.astype(np.float32), np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(wider, (0, 0), 0.8)


def _connected(region: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The parts of a region (H, W) bool that touch a seed."""
    _, numbers = cv2.connectedComponents((region | seed).astype(np.uint8))
    return region & np.isin(numbers, np.unique(numbers[seed]))


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


def _bounding_box(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return slice(max(top - margin, 0), top + height + margin), slice(max(left - margin, 0), left + width + margin)


def _origins(known: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Number, in the whole picture, of the known pixel that is nearest to each pixel of a box: (h, w) int32."""
    numbers = np.arange(known.size, dtype=np.int32).reshape(known.shape)[box]
    return numbers.ravel()[nearest_known(known[box])]
