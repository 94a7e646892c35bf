"""The parts of a person that can lie before or behind each other, and what a picture shows of one of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np

from posegen.features.body_bones import BoneFrame
from posegen.features.mesh_warp import Mesh
from posegen.person_classes import PersonClass


class BodyLayer(IntEnum):
    """Parts of the body that lie before or behind each other."""

    HEAD = 0
    TORSO = 1
    RIGHT_ARM = 2
    LEFT_ARM = 3
    RIGHT_LEG = 4
    LEFT_LEG = 5
    SKIRT = 6


LAYERS: tuple[str, ...] = tuple(layer.name.lower() for layer in BodyLayer)
"""Their names."""
ARMS, LEGS = (BodyLayer.RIGHT_ARM, BodyLayer.LEFT_ARM), (BodyLayer.RIGHT_LEG, BodyLayer.LEFT_LEG)
LIMB_CHAINS: dict[int, tuple[str, str, str]] = {
    BodyLayer.RIGHT_ARM: ("right_upper_arm", "right_forearm", "right_hand"),
    BodyLayer.LEFT_ARM: ("left_upper_arm", "left_forearm", "left_hand"),
    BodyLayer.RIGHT_LEG: ("right_thigh", "right_calf", "right_foot"),
    BodyLayer.LEFT_LEG: ("left_thigh", "left_calf", "left_foot"),
}
"""The bones of limbs, from the trunk on."""
OTHER_SIDE: dict[int, BodyLayer] = {
    BodyLayer.RIGHT_ARM: BodyLayer.LEFT_ARM,
    BodyLayer.LEFT_ARM: BodyLayer.RIGHT_ARM,
    BodyLayer.RIGHT_LEG: BodyLayer.LEFT_LEG,
    BodyLayer.LEFT_LEG: BodyLayer.RIGHT_LEG,
}
USUAL_HALF_WIDTHS = {"upper_arm": 0.12, "forearm": 0.09, "thigh": 0.18, "calf": 0.13, "foot": 0.1}
"""Of limbs, in lengths of the trunk."""
HAND_LENGTH = 0.35
"""Length of an arm beyond the wrist, in lengths of the trunk."""
CLOTH = (PersonClass.UPPER, PersonClass.LOWER, PersonClass.ONE_PIECE)
"""Classes of clothes."""
_SMOOTHING = 2.0  # pixels, of colours that are continued


@dataclass(frozen=True)
class Layer:
    """A part of the person that moves as one soft body."""

    name: str
    opacity: np.ndarray
    """(H, W) uint8, of the whole picture."""
    origins: np.ndarray
    """(h, w) int32 within `box`: the number of the pixel of the picture whose colour each pixel has."""
    classes: np.ndarray
    """(h, w) uint8 within `box`: the `PersonClass` of that pixel."""
    box: tuple[slice, slice]
    """Rows and columns of the picture that hold the layer and its surroundings."""
    sure: np.ndarray
    """(h, w) bool within `box`: where it shows the picture itself."""
    copied: np.ndarray
    """(h, w) bool within `box`: where it shows single pixels, of here or elsewhere; other colours are smoothed."""
    mesh: Mesh
    weights: np.ndarray
    """(V, 15): how much each vertex follows each of `SOFT_BONES`; rows sum to 1."""
    pivots: np.ndarray
    """(V, 2): the joint around which each vertex bends, in pixels; itself where it bends around none."""
    facing: np.ndarray
    """(V,) from 0 to 1: how far each vertex moves along with a face that turns."""
    slack: np.ndarray
    """(V, 2) pixels by which each vertex moves as the arm that it follows is lowered to the trunk."""
    bones: BoneFrame
    """The pose in which it was seen."""
    texture: np.ndarray
    """(H, W, 4) uint8 RGB and opacity; colours go on beyond what is opaque."""

    def showing(self, image: np.ndarray) -> Layer:
        """Return the layer of another picture (H, W, 3) uint8 of the same pose, with other colours."""
        colors = image.reshape(-1, 3)[self.origins]
        smooth = _smooth_each(colors, self.classes)
        texture = np.dstack([image, self.opacity])
        texture[self.box][..., :3] = np.where(self.copied[..., None], colors, smooth)
        return replace(self, texture=texture)


def _smooth_each(colors: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Smooth colours (h, w, 3) uint8 within each class (h, w) uint8: cloth of a new colour must not run into skin."""
    found = np.empty_like(colors)
    for kind in np.unique(classes):
        inside = classes == kind
        weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), _SMOOTHING)
        total = cv2.GaussianBlur((colors * inside[..., None]).astype(np.float32), (0, 0), _SMOOTHING)
        found[inside] = (total[inside] / weight[inside, None]).round()
    return found
