"""The studio around the person: wall, floor, light and the person's shadow on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posegen.studio.camera import DISTANCE, HEIGHT, Camera
from posegen.studio.kinematics import SIDES, Skeleton
from posegen.studio.people import Person

WALL = -1.5
"""World z of the wall."""
_TEXELS = 40.0  # per metre of floor, for shadows
_FLOOR = (-1.9, -1.5, 1.9, 1.9)  # x and z of the floor's corners that shadows may fall on
_WALLS = {"plain": (201, 203, 207), "skirting": (190, 201, 203), "panels": (207, 199, 190),
          "two_tone": (213, 209, 200), "cove": (198, 198, 206)}  # fmt: skip
_FLOORS = {"plain": (168, 166, 165), "skirting": (164, 140, 114), "panels": (150, 148, 150),
           "two_tone": (150, 133, 117), "cove": (184, 184, 190)}  # fmt: skip

_STEPS = np.linspace(0, 1, 4096)
_SRGB = np.round(255 * np.where(_STEPS <= 0.0031308, 12.92 * _STEPS, 1.055 * _STEPS ** (1 / 2.4) - 0.055)).astype(
    np.uint8
)


@dataclass(frozen=True)
class Lights:
    """Directional lights, from the person's point of view: unit vectors towards them and linear RGB strengths."""

    key: np.ndarray
    key_color: np.ndarray
    fill: np.ndarray
    fill_color: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


@dataclass(frozen=True)
class Backdrop:
    """The empty studio as the camera sees it."""

    image: np.ndarray
    """(H, W, 3) float32 linear RGB."""
    edges: np.ndarray
    """(H, W) float32 in [0, 255]: the faint lines that a detector finds in it."""
    floor: np.ndarray
    """(h, W, 2) float32 shadow-map coordinates of the lowest h rows, which show the floor."""


def to_linear(srgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """Return linear RGB in [0, 1] (float32) of sRGB in [0, 255] (IEC 61966-2-1)."""
    value = np.asarray(srgb, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Return sRGB uint8 of linear RGB (float32), clipped to [0, 1]: the inverse of `to_linear`, by a table."""
    return _SRGB[np.clip(linear * (len(_SRGB) - 1) + 0.5, 0, len(_SRGB) - 1).astype(np.uint16)]


def studio_lights(rng: np.random.Generator) -> Lights:
    """A key light from the upper left, a weaker cooler fill from the right, and light from above and below."""
    key = np.array([-0.55, 0.75, 0.62]) + rng.uniform(-0.08, 0.08, 3)
    fill = np.array([0.85, 0.15, 0.5])
    return Lights(
        key=(key / np.linalg.norm(key)).astype(np.float32),
        key_color=np.float32([0.86, 0.83, 0.78]) * np.float32(rng.uniform(0.95, 1.05)),
        fill=(fill / np.linalg.norm(fill)).astype(np.float32),
        fill_color=np.float32([0.17, 0.19, 0.22]),
        sky=np.float32([0.34, 0.35, 0.37]),
        ground=np.float32([0.18, 0.165, 0.15]),
    )


def build_backdrop(person: Person, camera: Camera, rng: np.random.Generator) -> Backdrop:
    """Paint a person's studio; rendered 2 × 2 per pixel, once per clip."""
    fine = camera.enlarge(2)
    height, width = fine.size
    x = (np.arange(width, dtype=np.float32) - fine.center[0]) / fine.focal
    y = (np.arange(height, dtype=np.float32) - fine.center[1]) / fine.focal
    x, y = np.meshgrid(x, y)
    wall_depth = DISTANCE - WALL
    on_floor = y * wall_depth > HEIGHT
    depth = np.where(on_floor, HEIGHT / np.maximum(y, 1e-6), wall_depth)
    colors, lines = _paint(person, x * depth, HEIGHT - y * depth, DISTANCE - depth, on_floor)
    colors = colors * _grain(rng, fine.size)[..., None]
    size = camera.size[::-1]
    return Backdrop(
        image=cv2.resize(colors, size, interpolation=cv2.INTER_AREA),
        edges=cv2.resize(lines, size, interpolation=cv2.INTER_AREA),
        floor=_floor_map(camera),
    )


def _paint(
    person: Person, x: np.ndarray, y: np.ndarray, z: np.ndarray, on_floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) and edge lines (H, W) of the world points seen by every pixel."""
    style = person.backdrop
    wall, floor = to_linear(_WALLS[style]), to_linear(_FLOORS[style])
    spot = np.exp(-(((x + 0.25) / 1.9) ** 2) - ((y - 1.5) / 1.7) ** 2)
    wall_color = wall * (0.50 + 0.44 * spot)[..., None]
    zone = np.zeros(x.shape, np.uint8)  # an edge runs where the zone changes
    if style == "two_tone":
        zone[y < 0.95] = 1
        wall_color = wall_color * np.where(zone == 1, 0.68, 1.0)[..., None]
    if style == "panels":
        zone = (np.floor(x / 0.62 + 0.5).astype(np.int64) % 2).astype(np.uint8)
        groove = np.abs((x / 0.62 + 0.5) % 1 - 0.5) > 0.484
        wall_color = wall_color * np.where(groove, 0.84, 1.0)[..., None]
    if style in ("skirting", "two_tone"):
        skirting = y < 0.11
        wall_color = np.where(skirting[..., None], wall_color * 0.3 + 0.55 * 0.6, wall_color)
        zone[skirting] = 2
    light = 0.62 + 0.36 * np.exp(-((x / 1.6) ** 2) - ((z - 0.2) / 1.6) ** 2)
    corner = np.clip((z - WALL) / 0.35, 0, 1) * 0.18 + 0.82
    floor_color = floor * (light * corner)[..., None]
    zone[on_floor] = 3
    if style == "cove":  # wall and floor run into each other
        blend = np.clip((z - WALL) / 1.2, 0, 1)[..., None]
        floor_color = blend * floor_color + (1 - blend) * wall * (0.50 + 0.44 * spot)[..., None]
        zone[:] = 0
    return np.where(on_floor[..., None], floor_color, wall_color).astype(np.float32), 80 * _boundaries(zone)


def _boundaries(zone: np.ndarray) -> np.ndarray:
    lines = np.zeros(zone.shape, np.float32)
    for axis in (0, 1):
        near, far = (np.take(zone, range(a, zone.shape[axis] - 1 + a), axis) for a in (0, 1))
        changed = (near != far).astype(np.float32)
        before = [(0, 0), (0, 0)]
        before[axis] = (0, 1)
        lines = np.maximum(lines, np.pad(changed, before))
        before[axis] = (1, 0)
        lines = np.maximum(lines, np.pad(changed, before))
    return lines


def _grain(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A faint fixed unevenness of paint, around 1: coarse noise, so that it survives video compression."""
    coarse = rng.standard_normal((24, 16)).astype(np.float32)
    return 1 + 0.012 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def _floor_map(camera: Camera) -> np.ndarray:
    height, width = camera.size
    y = (np.arange(height) - camera.center[1]) / camera.focal
    first = int(np.argmax(y * (DISTANCE - WALL) > HEIGHT)) if (y[-1] * (DISTANCE - WALL) > HEIGHT) else height
    depth = (HEIGHT / y[first:])[:, None]
    x = (np.arange(width) - camera.center[0])[None] / camera.focal * depth
    z = np.broadcast_to(DISTANCE - depth, x.shape)
    return (np.stack([x - _FLOOR[0], z - _FLOOR[1]], axis=-1) * _TEXELS).astype(np.float32)


def floor_shadows(skeleton: Skeleton, lights: Lights) -> list[np.ndarray]:
    """Return, per frame, how much light reaches the floor: (h, w) float32 in [0, 1] on a map of the floor.

    Bones cast soft strokes along the key light; feet and shins add a darker one, where the body meets the floor.
    """
    drift = lights.key[[0, 2]] / lights.key[1]
    strokes = [_stroke(skeleton, *ends, drift) for ends in _shadow_bones()]
    widths = [width for *_, width in _shadow_bones()]
    size = (int((_FLOOR[3] - _FLOOR[1]) * _TEXELS), int((_FLOOR[2] - _FLOOR[0]) * _TEXELS))
    return [_shadow(size, [stroke[t] for stroke in strokes], widths) for t in range(len(skeleton.origins))]


def _shadow_bones() -> list[tuple[str, str, float]]:
    """Bones that cast a shadow: from, to, width in metres; the first four touch the floor."""
    near = [(f"{side}_foot", f"{side}_foot", 0.12) for side in SIDES]
    near += [(f"{side}_shin", f"{side}_foot", 0.10) for side in SIDES]
    far = [(f"{side}_thigh", f"{side}_shin", 0.16) for side in SIDES]
    far += [
        (f"{side}_{a}", f"{side}_{b}", 0.09)
        for side in SIDES
        for a, b in (("upper_arm", "forearm"), ("forearm", "hand"))
    ]
    return [*near, *far, ("pelvis", "chest", 0.32), ("chest", "head", 0.26)]


def _stroke(skeleton: Skeleton, first: str, last: str, _: float, drift: np.ndarray) -> np.ndarray:
    """Map coordinates (T, 2, 2) of a bone's shadow."""
    toes = (0.0, 0.14 if first == last else 0.0, 0.0)
    ends = np.stack([skeleton.points(first), skeleton.points(last, toes)], axis=1)  # (T, 2, 3)
    # A big soft light: far parts drift less than a point light would make them.
    floor = ends[..., [0, 2]] - 0.45 * drift * ends[..., 1:2]
    return (floor - np.array([_FLOOR[0], _FLOOR[1]])) * _TEXELS


def _shadow(size: tuple[int, int], strokes: list[np.ndarray], widths: list[float]) -> np.ndarray:
    near, far = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for index, (stroke, width) in enumerate(zip(strokes, widths, strict=True)):
        ends = np.round(stroke * 8).astype(int)
        layer = near if index < 4 else far
        cv2.line(layer, ends[0].tolist(), ends[1].tolist(), 255, max(1, round(width * _TEXELS)), cv2.LINE_AA, 3)
    near = cv2.GaussianBlur(near, (0, 0), 0.05 * _TEXELS)
    far = cv2.GaussianBlur(far, (0, 0), 0.14 * _TEXELS)
    return (1 - near.astype(np.float32) * (0.42 / 255)) * (1 - far.astype(np.float32) * (0.34 / 255))
