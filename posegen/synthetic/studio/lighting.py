"""Light: colour spaces, the studio's lamps, and the shadow that a person casts on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posegen.synthetic.actions.take import SIDES
from posegen.synthetic.studio.room import Room
from posegen.synthetic.studio.skeleton import Skeleton

_STEPS = np.linspace(0, 1, 4096)
_SRGB = np.where(_STEPS <= 0.0031308, 12.92 * _STEPS, 1.055 * _STEPS ** (1 / 2.4) - 0.055)
_SRGB_TABLE = np.round(255 * _SRGB).astype(np.uint8)

_TEXELS = 40.0  # per metre of the floor
_ARM_BONES = (("upper_arm", "forearm"), ("forearm", "hand"))
_TOUCHING = [(f"{side}_{a}", f"{side}_foot", width) for side in SIDES for a, width in (("foot", 0.12), ("shin", 0.10))]
_ABOVE = [
    *((f"{side}_thigh", f"{side}_shin", 0.16) for side in SIDES),
    *((f"{side}_{a}", f"{side}_{b}", 0.09) for side in SIDES for a, b in _ARM_BONES),
    ("pelvis", "chest", 0.32),
    ("chest", "head", 0.26),
]  # bones by their first and last joint, and the width in metres of their shadow


@dataclass(frozen=True)
class Lights:
    """Two lamps far away and light from all around; linear RGB strengths (3,), unit vectors (3,) in the world."""

    key: np.ndarray
    key_color: np.ndarray
    fill: np.ndarray
    fill_color: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


def studio_lights(rng: np.random.Generator) -> Lights:
    """Return a warm key light from the upper left, a weaker cool fill from the right, and light from above and
    below."""
    key = np.array([-0.55, 0.75, 0.62]) + rng.uniform(-0.08, 0.08, 3)
    fill = np.array([0.85, 0.15, 0.5])
    return Lights(
        key=(key / np.linalg.norm(key)).astype(np.float32),
        key_color=(np.array([0.86, 0.83, 0.78]) * rng.uniform(0.95, 1.05)).astype(np.float32),
        fill=(fill / np.linalg.norm(fill)).astype(np.float32),
        fill_color=np.array([0.17, 0.19, 0.22], np.float32),
        sky=np.array([0.34, 0.35, 0.37], np.float32),
        ground=np.array([0.18, 0.165, 0.15], np.float32),
    )


def to_linear(srgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """Return linear RGB in [0, 1] (float32) of sRGB in [0, 255] (IEC 61966-2-1)."""
    value = np.asarray(srgb, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB uint8 of linear RGB (float32), clipped to [0, 1]: the inverse of `to_linear`, by a table."""
    last = len(_SRGB_TABLE) - 1
    return _SRGB_TABLE[np.clip(linear * last + 0.5, 0, last).astype(np.uint16)]


def shadow_coordinates(x: np.ndarray, z: np.ndarray, room: Room) -> np.ndarray:
    """Return where on a shadow map the floor's points (x, z) are: (2, ...) float32, column and row."""
    return np.stack([(x + room.sides) * _TEXELS, (z - room.wall) * _TEXELS]).astype(np.float32)


def floor_shadows(skeleton: Skeleton, lights: Lights, room: Room) -> list[np.ndarray]:
    """Return, per frame, how much light reaches the floor: (h, w) float32 in [0, 1] on a map of the floor.

    Bones cast soft strokes along the key light; feet and shins add sharper ones, where the body meets the floor.
    """
    drift = lights.key[[0, 2]] / lights.key[1]
    size = int((room.front - room.wall) * _TEXELS), int(2 * room.sides * _TEXELS)
    contact, body = (
        _cast_strokes(
            [(_stroke(skeleton, first, last, drift, room), width) for first, last, width in bones], size, soft
        )
        for bones, soft in ((_TOUCHING, 0.05), (_ABOVE, 0.14))
    )
    return [(1 - 0.42 * near) * (1 - 0.34 * far) for near, far in zip(contact, body, strict=True)]


def _cast_strokes(strokes: list[tuple[np.ndarray, float]], size: tuple[int, int], softness: float) -> list[np.ndarray]:
    """Per frame, the shadows (h, w) in [0, 1] of strokes (T, 2, 2) of some width, with edges so soft (metres)."""
    shadows = []
    for t in range(len(strokes[0][0])):
        shadow = np.zeros(size, np.uint8)
        for stroke, width in strokes:
            start, end = np.round(8 * stroke[t]).astype(int).tolist()  # in eighths of a texel
            cv2.line(shadow, start, end, 255, round(width * _TEXELS), cv2.LINE_AA, 3)
        shadows.append(cv2.GaussianBlur(shadow, (0, 0), softness * _TEXELS).astype(np.float32) / 255)
    return shadows


def _stroke(skeleton: Skeleton, first: str, last: str, drift: np.ndarray, room: Room) -> np.ndarray:
    """Both ends (T, 2, 2) of a bone's shadow on the map; a foot reaches to its toes."""
    toes = (0.0, 0.14 if first == last else 0.0, 0.0)
    ends = np.stack([skeleton.points(first), skeleton.points(last, toes)], axis=1)  # (T, 2, 3)
    # A large soft lamp: high parts drift less than under a point light.
    floor = ends[..., [0, 2]] - 0.45 * drift * ends[..., 1:2]
    return np.moveaxis(shadow_coordinates(floor[..., 0], floor[..., 1], room), 0, -1)
