"""Inputs of the refiner: the composed picture, the source positions of its pixels, and both poses."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from posegen.features.body_bones import trunk_length
from posegen.features.body_layers import LAYERS
from posegen.features.body_pose import BodyPoses
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.person_classes import PersonClass
from posegen.skeletons import OPENPOSE_18, joint_indices

GARMENTS = (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE)
"""Classes of which the refiner changes the light alone."""
_SHOWN = (
    (PersonClass.HAIR,),
    (PersonClass.SKIN,),
    (PersonClass.UPPER, PersonClass.ONE_PIECE),
    (PersonClass.LOWER, PersonClass.ONE_PIECE),
    (PersonClass.SHOES, PersonClass.CARRIED),
)
REFINER_CHANNELS = 3 + 1 + 1 + len(LAYERS) + len(_SHOWN) + 2 + 2 + 3
"""Colours, opacity, sureness, layers, classes, places on the body of the picture and of the pose, stick figure."""
POSE_NUMBERS = 2 * len(OPENPOSE_18) * 4
"""Of both poses: x, y and depth of each joint from mid-hips in lengths of the trunk, and whether it is known."""
_HIPS = joint_indices(["right_hip", "left_hip"])
_HALF = 127
_LIMIT = 4.0  # lengths of the trunk


class ComposedView(NamedTuple):
    """Picture composed of layers in another pose, see `posegen.features.layer_drawing.LayeredFrame`."""

    composed: np.ndarray
    """(H, W, 3) uint8 RGB."""
    opacity: np.ndarray
    """(H, W) uint8."""
    layers: np.ndarray
    """(H, W) uint8: 1 + the number of the layer, 0 where there is none."""
    sure: np.ndarray
    """(H, W) uint8, 0 or 1."""
    positions: np.ndarray
    """(H, W, 2) float32."""
    classes: np.ndarray
    """(h, w) uint8 of `PersonClass`: of the picture."""


class RefinerMaps(NamedTuple):
    """Input maps of the refiner, and the mask of pixels that it may change."""

    inputs: np.ndarray
    """(24, H, W) float32."""
    garment: np.ndarray
    """(H, W) bool: cloth whose chroma stays."""
    repairable: np.ndarray
    """(H, W) bool: filled in or at an edge, so that colours may be repaired."""


def refiner_maps(view: ComposedView, poses: BodyPoses) -> RefinerMaps:
    """Return what the refiner sees of a view.

    Args:
        view: The composed picture.
        poses: (2,) of the picture and of the pose that is shown, both with a trunk.
    """
    size = view.opacity.shape
    nearest = cv2.INTER_NEAREST
    shown = cv2.remap(view.classes, view.positions, None, nearest, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    shown = np.where(view.layers > 0, shown, 0)
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(np.float32)
    places = [
        np.clip((points - _middle(poses[index])) / trunk_length(poses[index]), -_LIMIT, _LIMIT).transpose(2, 0, 1)
        for index, points in enumerate((view.positions, grid))
    ]
    figure = rasterize_stick_figure(poses[1].keypoints, (size[0], size[1]))
    inputs = np.concatenate(
        [
            view.composed.transpose(2, 0, 1) / np.float32(127.5) - 1,
            view.opacity[None] / np.float32(255),
            view.sure[None].astype(np.float32),
            view.layers[None] == np.arange(1, len(LAYERS) + 1)[:, None, None],
            np.stack([np.isin(shown, kinds) for kinds in _SHOWN]),
            *places,
            figure.transpose(2, 0, 1) / np.float32(255),
        ],
        dtype=np.float32,
    )
    parts = np.where(view.opacity > _HALF, view.layers, 0)
    edges = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    garment = np.isin(shown, GARMENTS)
    repairable = (view.layers > 0) & ((view.sure == 0) | edges)
    return RefinerMaps(inputs, garment, repairable)


def pose_numbers(poses: BodyPoses) -> np.ndarray:
    """Return both poses (2,) relative to the hips, in lengths of the trunk: (144,) float32."""
    rows = []
    for index in range(2):
        pose, trunk = poses[index], trunk_length(poses[index])
        known = pose.keypoints[:, 2:] > 0
        points = np.where(known, (pose.keypoints[:, :2] - _middle(pose)) / trunk, 0)
        depths = np.nan_to_num(pose.depths)[:, None] / trunk
        rows.append(np.clip(np.concatenate([points, depths, known], axis=1), -_LIMIT, _LIMIT))
    return np.concatenate(rows).astype(np.float32).ravel()


def _middle(pose: BodyPoses) -> np.ndarray:
    return pose.keypoints[_HIPS, :2].mean(axis=0)
