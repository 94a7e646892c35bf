"""Draws layers onto a canvas, from back to front, and writes down where each pixel comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.body_bones import JOINTS_OF_FACE, trunk_length
from posegen.features.body_layers import ARMS, HAND_LENGTH, LAYERS, LEGS, BodyLayer, Layer
from posegen.features.body_pose import BodyPoses
from posegen.features.mesh_warp import is_covered, sample_texture, target_positions, warp_texture
from posegen.features.shoulder_filling import DrawnPart, ShoulderFill
from posegen.features.skinning import move_vertices
from posegen.skeletons import joint_indices

_WRISTS = joint_indices(["right_wrist", "left_wrist"])
_ELBOWS = joint_indices(["right_elbow", "left_elbow"])
_KNEES = joint_indices(["right_knee", "left_knee"])
_ANKLES = joint_indices(["right_ankle", "left_ankle"])

# Depths in lengths of the trunk at which an arm is behind it, and a thigh before it.
_BEHIND, _LIFTED = -0.3, 0.45
_BEHIND_LEGS = -1.5  # place in the order of an arm that is behind the trunk: a hand behind the back is behind legs
_BEFORE_TRUNK = 0.08  # place in the order of an arm that is before the trunk and lifted legs, and behind the head
# Lengths of the trunk: around the middle of the face, within which a forearm is looked for, and by which it may be
# behind the ears where it is beside the head.
_HEAD_RADIUS, _BESIDE_HEAD = 0.4, 0.1
_LOOKS = 9  # along a forearm with its hand
_HALF = 127  # of an opacity
_SAMPLES = 96  # of the coarse map along the height of the target


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


class LayerMotion(NamedTuple):
    """Motion of the layers of one pose to another pose."""

    maps: np.ndarray
    """(15, 2, 3) of `bone_maps`."""
    turns: np.ndarray
    """(15,) of `bone_turns`."""
    face: np.ndarray
    """(2,) of `face_turn`."""
    raised: np.ndarray
    lowered: np.ndarray
    """(15,) each, of `raised_arms`."""

    def move(self, layer: Layer) -> np.ndarray:
        """Return where the vertices of a layer are, (V, 2)."""
        vertices = layer.mesh.vertices + layer.facing[:, None] * self.face
        vertices += (layer.weights @ self.lowered)[:, None] * layer.slack
        return move_vertices(vertices, layer.weights, layer.pivots, self.maps, self.turns)


def order_by_depth(pose: BodyPoses) -> list[int]:
    """Return the numbers of `LAYERS` from back to front, by the pose's depths; unknown, arms are in front.

    An arm is before the head if its forearm or hand is: a shoulder that comes before the face, in a bow or below a
    raised arm, would hide it.
    """
    trunk = max(trunk_length(pose), 1e-9)
    depths = np.nan_to_num(pose.depths) / trunk
    known = bool(np.isfinite(pose.depths).any())
    keys = np.zeros(len(LAYERS))
    keys[[BodyLayer.TORSO, BodyLayer.SKIRT, BodyLayer.HEAD]] = 0.0, -0.1, 0.1
    for side in range(2):
        arm = (depths[_ELBOWS[side]] + 2 * depths[_WRISTS[side]]) / 3
        hidden = known and arm < _BEHIND
        before_head = 0.4 if not known or _is_before_head(pose, side, trunk) else _BEFORE_TRUNK
        keys[ARMS[side]] = _BEHIND_LEGS if hidden else before_head
        keys[ARMS[side]] += 0.01 * np.tanh(arm)
        leg = (depths[_KNEES[side]] + depths[_ANKLES[side]]) / 2
        lifted = known and depths[_KNEES[side]] > _LIFTED
        keys[LEGS[side]] = (0.05 if lifted else -1.0) + 0.02 * np.tanh(leg) - 0.001 * side
    return np.argsort(keys, kind="stable").tolist()


def _is_before_head(pose: BodyPoses, side: int, trunk: float) -> bool:
    """Return whether a pose, whose depths are known, holds the forearm or hand of a side before the head."""
    elbow, wrist = (
        np.array([*pose.keypoints[joint, :2], pose.depths[joint]]) for joint in (_ELBOWS[side], _WRISTS[side])
    )
    seen = pose.keypoints[JOINTS_OF_FACE, 2] > 0
    if not (np.isfinite(wrist).all() and np.isfinite(elbow).all() and seen.any()):
        return True
    head = pose.keypoints[JOINTS_OF_FACE, :2][seen].mean(axis=0)
    depth = np.nan_to_num(pose.depths[JOINTS_OF_FACE][seen]).min()  # of the ears, or what is behind the rest
    length = max(float(np.linalg.norm(wrist - elbow)), 1e-9)
    places = elbow + np.linspace(0, 1 + HAND_LENGTH * trunk / length, _LOOKS)[:, None] * (wrist - elbow)
    near = np.hypot(*(places[:, :2] - head).T) < _HEAD_RADIUS * trunk
    return bool((near & (places[:, 2] > depth - _BESIDE_HEAD * trunk)).any())


def lay_over(canvas: np.ndarray, layer: Layer, motion: LayerMotion) -> DrawnPart | None:
    """Draw a layer onto a canvas (H, W, 3) uint8. Returns what was drawn; None where nothing of it is in view."""
    moved = motion.move(layer)
    step = max(round(canvas.shape[0] / _SAMPLES), 2)
    warped = warp_texture(layer.texture, layer.mesh, moved, canvas.shape[:2], step)
    if warped is None:
        return None
    _blend(canvas, *warped)
    return DrawnPart(*warped)


def record_layer(
    record: LayeredFrame,
    layer: Layer,
    motion: LayerMotion,
    index: int,
    is_own: bool,
    is_borrowed: bool,
) -> DrawnPart | None:
    """Draw a layer as `lay_over` does onto the picture of a record, and write down where its pixels come from."""
    height, width = record.opacity.shape
    step = max(round(height / _SAMPLES), 2)
    moved = motion.move(layer)
    found = target_positions(layer.mesh, moved, (height, width), step, layer.texture[..., 3])
    if found is None:
        return None
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
    return DrawnPart(part, (left, top))


def lay_fill(canvas: np.ndarray, fill: ShoulderFill, record: LayeredFrame | None) -> None:
    """Draw what fills the notches around a shoulder onto a canvas (H, W, 3) uint8, and write it down."""
    _blend(canvas, fill.part, (fill.columns.start, fill.rows.start))
    if record is not None:
        window, opacity = (fill.rows, fill.columns), fill.part[..., 3]
        takes = opacity > _HALF
        record.opacity[window] = np.maximum(record.opacity[window], opacity)
        record.layers[window][takes] = fill.arm
        record.sure[window][takes] = False


def _blend(canvas: np.ndarray, part: np.ndarray, corner: tuple[int, int]) -> None:
    """Lay a part (h, w, 4) uint8 RGB and opacity over a canvas, from a left and top on."""
    left, top = corner
    region = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    opacity = cv2.merge([part[..., 3]] * 3)
    shown = cv2.multiply(part[..., :3], opacity, scale=1 / 255)
    cv2.add(shown, cv2.multiply(region, 255 - opacity, scale=1 / 255), dst=region)
