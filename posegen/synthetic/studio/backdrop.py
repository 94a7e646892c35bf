"""The empty studio: a softly lit wall and floor in five styles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from posegen.synthetic.studio.labels import BACKGROUND, neighbours
from posegen.synthetic.studio.lighting import shadow_coordinates, to_linear
from posegen.synthetic.studio.people import StudioPerson
from posegen.synthetic.studio.room import EYE_LEVEL, Room, supersample

_WALL_COLORS = {
    "plain": (201, 203, 207),
    "skirting": (190, 201, 203),
    "panels": (207, 199, 190),
    "two_tone": (213, 209, 200),
    "cove": (198, 198, 206),
}
_FLOOR_COLORS = {
    "plain": (168, 166, 165),
    "skirting": (164, 140, 114),
    "panels": (150, 148, 150),
    "two_tone": (150, 133, 117),
    "cove": (184, 184, 190),
}
_PANEL, _RAIL, _SKIRTING, _COVE = 0.62, 0.95, 0.11, 1.2  # metres


@dataclass(frozen=True)
class Backdrop:
    """The empty studio as the camera sees it."""

    image: np.ndarray
    """(H, W, 3) float32 linear RGB."""
    edges: np.ndarray
    """(H, W) float32 in [0, 255]: the faint lines that a detector finds in it."""
    floor: np.ndarray
    """(2, h, W) float32: shadow-map coordinates of the lowest h rows, which show the floor."""


def build_backdrop(person: StudioPerson, room: Room, rng: np.random.Generator) -> Backdrop:
    """Paint a person's studio, with a faint unevenness of its own, from 2 × 2 samples per pixel."""
    fine = replace(room, camera=supersample(room.camera, 2))
    x, y, z, on_floor = _world_points(fine)
    wall, zone = _paint_wall(person.backdrop, x, y)
    floor = _paint_floor(person.backdrop, x, z - room.wall, wall)
    colors = np.where(on_floor[..., None], floor, wall) * _grain(rng, fine.camera.canvas)[..., None]
    if person.backdrop != "cove":
        zone[on_floor] = 3
    size = room.camera.canvas[::-1]
    return Backdrop(
        image=cv2.resize(colors.astype(np.float32), size, interpolation=cv2.INTER_AREA),
        edges=cv2.resize(_boundaries(zone), size, interpolation=cv2.INTER_AREA),
        floor=_floor_coordinates(room),
    )


def _world_points(room: Room) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The world point x, y, z that each pixel sees, (H, W) each, and whether it lies on the floor."""
    camera = room.camera
    height, width = camera.canvas
    right, down = np.meshgrid((np.arange(width) - camera.cx) / camera.fx, (np.arange(height) - camera.cy) / camera.fy)
    on_floor = down * (room.distance - room.wall) > EYE_LEVEL
    depth = np.where(on_floor, EYE_LEVEL / np.maximum(down, 1e-6), room.distance - room.wall)
    return right * depth, EYE_LEVEL - down * depth, room.distance - depth, on_floor


def _paint_wall(style: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear RGB (H, W, 3) of the wall, and zones (H, W) uint8 between which edges run."""
    spot = 0.50 + 0.44 * np.exp(-(((x + 0.25) / 1.9) ** 2) - ((y - 1.5) / 1.7) ** 2)
    color, zone = to_linear(_WALL_COLORS[style]) * spot[..., None], np.zeros(x.shape, np.uint8)
    if style == "two_tone":
        zone[y < _RAIL] = 1
        color = color * np.where(y < _RAIL, 0.68, 1.0)[..., None]
    if style == "panels":
        panel, across = np.divmod(x / _PANEL + 0.5, 1)
        zone = (panel % 2).astype(np.uint8)
        color = color * np.where(np.abs(across - 0.5) > 0.484, 0.84, 1.0)[..., None]
    if style in ("skirting", "two_tone"):
        zone[y < _SKIRTING] = 2
        color = np.where((y < _SKIRTING)[..., None], 0.3 * color + 0.33, color)
    return color, zone


def _paint_floor(style: str, x: np.ndarray, z: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Linear RGB (H, W, 3) of the floor, z from the wall: darker towards the corner, or running into a cove's wall."""
    light = 0.62 + 0.36 * np.exp(-((x / 1.6) ** 2) - ((z - 1.7) / 1.6) ** 2)
    corner = 0.82 + 0.18 * np.clip(z / 0.35, 0, 1)
    floor = to_linear(_FLOOR_COLORS[style]) * (light * corner)[..., None]
    if style != "cove":
        return floor
    share = np.clip(z / _COVE, 0, 1)[..., None]
    return share * floor + (1 - share) * wall


def _boundaries(zone: np.ndarray) -> np.ndarray:
    lines = np.zeros(zone.shape, np.float32)
    for axis in (0, 1):
        near, far = neighbours(axis)
        changed = (zone[near] != zone[far]) * np.float32(BACKGROUND)
        for where in (near, far):
            lines[where] = np.maximum(lines[where], changed)
    return lines


def _grain(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A faint fixed unevenness of paint, around 1; coarse, so that it survives video compression."""
    coarse = rng.standard_normal((24, 16)).astype(np.float32)
    return 1 + 0.012 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def _floor_coordinates(room: Room) -> np.ndarray:
    x, _, z, on_floor = _world_points(room)
    rows = on_floor[:, 0]
    return shadow_coordinates(x[rows], z[rows], room)
