"""A picture of a person, taken apart into layers that move with the bones, and put together again in other poses.

A layer is a soft body: a mesh over its part of the picture, whose vertices follow one or several bones. Layers overlap
where they meet and go on behind those that hide them, so that a pose that opens a gap shows cloth or skin there.
`layer_division` says whose each pixel is, `layer_making` what a layer shows besides, `layer_skinning` how it follows
the bones, `layer_drawing` puts it onto a frame, and `shoulder_filling` rounds the shoulders of raised arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

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
    shows_face,
    shows_front,
    swap_sides,
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
    BodyLayer,
    Layer,
)
from posegen.features.body_pose import BodyPoses
from posegen.features.face_turning import face_turn
from posegen.features.floor_shadow import FloorShadow
from posegen.features.layer_division import LayerDivision
from posegen.features.layer_drawing import LayeredFrame, LayerMotion, lay_fill, lay_over, order_by_depth, record_layer
from posegen.features.layer_making import FEWEST_PIXELS, make_layers
from posegen.features.matte import nearest_known
from posegen.features.shoulder_filling import Shoulders
from posegen.features.skinning import bone_turns, raised_arms
from posegen.person_classes import PersonClass

_LEAST_HAND = 0.005  # squared lengths of the trunk: of skin, if a hand is seen
_OVER_HAND = 0.3  # share of cloth where a hand should be, from which the hand is in it or behind it
FORESHORTENED = 0.45
"""Share of a bone's length that is seen, below which the other side's limb shows more."""


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
    """Layers by their number in `LAYERS`."""
    borrowed: frozenset[int]
    """Limbs that are those of the other side, mirrored."""
    shadow: FloorShadow
    """The shadow around the feet."""

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
        division = LayerDivision(image, pose, labels, matte)
        layers = make_layers(division)
        handless = {arm for arm, side in zip(ARMS, ("right", "left"), strict=True) if hides_hand(pose, labels, side)}
        whole = {index for index in (*ARMS, *LEGS) if _shows_limb(layers, index, pose)} - handless
        if division.front_leg in whole:
            whole -= {OTHER_SIDE[division.front_leg]}
        missing = [index for index in (*ARMS, *LEGS) if index not in whole]
        flipped = [np.ascontiguousarray(one[:, ::-1]) for one in (image, labels, matte)]
        mirrored = mirror_pose(pose, image.shape[1])
        others = make_layers(LayerDivision(flipped[0], mirrored, *flipped[1:])) if missing else {}
        borrowed = {index: others[index] for index in missing if index in others and OTHER_SIDE[index] in whole}
        shadow = FloorShadow.find(image, background, matte, pose)
        return cls(image, pose, labels, background, layers | borrowed, frozenset(borrowed), shadow)

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
            self.shadow.cast(canvas, pose)
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
            self.shadow.cast(canvas, pose)
            draw_layers(canvas, dict.fromkeys(range(len(LAYERS)), self), pose, scale, found)
        return found

    def shows_other_side(self, pose: BodyPoses) -> bool:
        """Return whether one pose shows the back of a person whose front the picture shows, or the front for the back.

        Then the sides exchange their roles: what is on the right of the picture stays there, only that it is the other
        arm. Nothing is mirrored or torn.
        """
        return shows_front(pose) != shows_front(self.pose)

    def layer(self, index: int, face_is_seen: bool) -> Layer | None:
        """Return a layer by its number in `LAYERS`: the head's is without a face where that is not to be seen."""
        layer = self.layers.get(index)
        if index == BodyLayer.HEAD and layer is not None and shows_face(self.pose) and not face_is_seen:
            return self.back_of_head
        return layer

    @cached_property
    def back_of_head(self) -> Layer | None:
        """The head from behind: hair where there is a face."""
        head = self.layers.get(BodyLayer.HEAD)
        if head is None:
            return None
        hair = self.labels == PersonClass.HAIR
        hair = cv2.erode(hair.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        face = (self.labels == PersonClass.SKIN) & (head.opacity > 0)
        ys, _ = np.nonzero(face)
        if hair.sum() < FEWEST_PIXELS or not len(ys):
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
    """Return True if a picture shows a limb down to its last joint, and not from its end."""
    layer = layers.get(index)
    if layer is None or not all(layer.bones.seen[SOFT_BONES.index(name)] for name in LIMB_CHAINS[index][:2]):
        return False
    return min(foreshortening(pose, name) for name in LIMB_CHAINS[index][:2]) > FORESHORTENED


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
    middle = bones.origins[forearm] + bones.along[forearm] + 0.5 * HAND_LENGTH * trunk * direction
    disk = cv2.circle(
        np.zeros(labels.shape, np.uint8), middle.round().astype(int).tolist(), round(0.6 * HAND_LENGTH * trunk), 1, -1
    )
    found = labels[disk > 0]
    skin, cloth = (found == PersonClass.SKIN).sum(), np.isin(found, CLOTH).sum()
    return bool(skin < _LEAST_HAND * trunk**2 and cloth > _OVER_HAND * len(found))


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
    motions: dict[int, LayerMotion] = {}  # layers that were seen in one pose share them
    shoulders = Shoulders(trunk_length(pose))
    face_is_seen = shows_face(pose)
    for index in order_by_depth(pose):
        if index not in views:
            continue
        view = views[index]
        other_side = view.shows_other_side(pose)
        if id(view) not in targets:
            targets[id(view)] = find_bones(swap_sides(pose) if other_side else pose)
        target = targets[id(view)]
        shown = OTHER_SIDE.get(index, index) if other_side else index
        layer = view.layer(shown, face_is_seen)
        if layer is not None:
            if id(layer.bones) not in motions:
                moved = bone_maps(layer.bones, target, scale)
                face = face_turn(layer.bones, target, moved) if face_is_seen and not other_side else np.zeros(2)
                motions[id(layer.bones)] = LayerMotion(
                    moved, bone_turns(moved, layer.bones, target), face, *raised_arms(layer.bones, target)
                )
            motion = motions[id(layer.bones)]
            if record is None:
                part = lay_over(canvas, layer, motion)
            else:
                is_own = layer is view.layers.get(shown)  # the back of a head shows hair of elsewhere
                part = record_layer(record, layer, motion, shown, is_own, shown in view.borrowed)
            if part is not None:
                shoulders.add(shown, part, target, motion.raised)
                for fill in shoulders.fill_beside(shown, canvas.shape[:2]):
                    lay_fill(canvas, fill, record)
