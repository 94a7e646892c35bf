"""Colour of visible points: cloth patterns, face, hair and shoes in body coordinates, lit by the studio's lights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.synthetic.studio.body import Body, Material
from posegen.synthetic.studio.lighting import Lights, to_linear
from posegen.synthetic.studio.people import Pattern, Rgb, StudioPerson
from posegen.synthetic.studio.raycast import Surface
from posegen.synthetic.studio.skeleton import BONES

_SPINE = {"abdomen": 0.05, "chest": 0.14}  # how far up the trunk a bone starts, in heights
_GLOSS = {Material.SKIN: 0.05, Material.FACE: 0.05, Material.HAIR: 0.10, Material.SHOE: 0.06}
_LIPS: Rgb = (168, 84, 80)


@dataclass(frozen=True)
class Wardrobe:
    """A person's colours, linear RGB."""

    person: StudioPerson
    palette: np.ndarray
    """(7, 3) float32 by material."""
    accents: np.ndarray
    """(7, 3) float32: the second colour of a garment's pattern."""

    @staticmethod
    def of(person: StudioPerson, upper: Rgb | None, lower: Rgb | None) -> Wardrobe:
        """Return a person's colours, with other garment colours where they are given."""
        colors = {
            Material.SKIN: person.skin, Material.FACE: person.skin, Material.HAIR: person.hair,
            Material.UPPER: upper or person.upper, Material.LOWER: lower or person.lower, Material.SHOE: person.shoes,
        }  # fmt: skip
        palette = np.zeros((len(Material) + 1, 3), np.float32)
        for material, color in colors.items():
            palette[material] = to_linear(color)
        luminance = palette @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        lighter, darker = palette * 0.45 + 0.38, palette * 0.34
        return Wardrobe(person, palette, np.where(luminance[:, None] < 0.22, lighter, darker).astype(np.float32))


def body_coordinates(surface: Surface, body: Body) -> np.ndarray:
    """Return where on its bone every visible point is: (3, S) float32 metres in the bone's axes."""
    part = surface.shapes % len(body.bones)
    frames = body.frames.astype(np.float32).transpose(1, 2, 0)[:, :, part]  # (3, 3, S)
    return (frames * surface.points).sum(axis=1) + body.starts.astype(np.float32).T[:, part]


def paint(surface: Surface, body: Body, wardrobe: Wardrobe) -> tuple[np.ndarray, np.ndarray]:
    """Return the colour (S, 3) float32 linear RGB of visible points, and their tone (S,) uint8.

    The tone numbers what is painted on a surface (stripes, eyes, a sole): edges run where it changes. It does not
    depend on colours.
    """
    part = surface.shapes % len(body.bones)
    material = body.materials[part]
    position = body_coordinates(surface, body)
    color, tone = wardrobe.palette[material], np.zeros(len(part), np.uint8)
    for garment, pattern in (
        (Material.UPPER, wardrobe.person.upper_pattern),
        (Material.LOWER, wardrobe.person.lower_pattern),
    ):
        chosen = np.flatnonzero(material == garment)
        share = _pattern(pattern, body.bones[part[chosen]], position[:, chosen], wardrobe.person.height)
        fold = _folds(position[:, chosen])[:, None]
        color[chosen] = (color[chosen] + share[:, None] * (wardrobe.accents[garment] - color[chosen])) * fold
        tone[chosen] = np.round(2 * share)
    for painted, painter in ((Material.FACE, _paint_face), (Material.HAIR, _paint_hair), (Material.SHOE, _paint_shoe)):
        chosen = np.flatnonzero(material == painted)
        color[chosen], tone[chosen] = painter(color[chosen], position[:, chosen] / wardrobe.person.height, wardrobe)
    return color, tone


def _pattern(pattern: Pattern, bones: np.ndarray, position: np.ndarray, height: float) -> np.ndarray:
    """Return the share of the second colour at each point: 0, 0.5 or 1."""
    if pattern == "plain":
        return np.zeros(len(bones), np.float32)
    x, y, z = position
    offset = np.array([_SPINE.get(bone, 0.0) for bone in BONES], np.float32) * np.float32(height)
    girth = np.array([0.14 if bone in _SPINE else 0.07 for bone in BONES], np.float32)
    along, around = y + offset[bones], np.arctan2(x, z) * girth[bones]
    if pattern == "hoops":
        return (np.mod(along, 0.11) < 0.055).astype(np.float32)
    if pattern == "pinstripes":
        return (np.mod(around + 0.011, 0.055) < 0.022).astype(np.float32)
    if pattern == "checks":
        crossing = (np.mod(along, 0.13) < 0.065).astype(np.float32) + (np.mod(around + 0.0325, 0.13) < 0.065)
        return (crossing / 2).astype(np.float32)
    trunk = girth[bones] > 0.1
    return (trunk & (along > 0.20 * height)).astype(np.float32)


def _folds(position: np.ndarray) -> np.ndarray:
    """A gentle unevenness of cloth, around 1, in body coordinates."""
    x, y, z = position
    return 1 + 0.045 * np.sin(61 * y + 5 * np.sin(23 * x + 17 * z)) * np.sin(37 * x - 29 * z + 9 * y)


def _paint_face(color: np.ndarray, position: np.ndarray, wardrobe: Wardrobe) -> tuple[np.ndarray, np.ndarray]:
    """Eyes, brows, lips, warm cheeks, and a beard if there is one; positions in heights from the head joint."""
    x, y, z = position
    side, front = np.abs(x), z > 0
    hair = wardrobe.palette[Material.HAIR]
    tone = np.zeros(len(x), np.uint8)

    def spot(center_x: float, center_y: float, radius_x: float, radius_y: float) -> np.ndarray:
        return front & (((side - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2 < 1)

    cheek = np.exp(-(((side - 0.022) / 0.013) ** 2) - ((y - 0.034) / 0.012) ** 2)[:, None] * front[:, None]
    color = color * (1 + cheek * np.array([0.06, -0.10, -0.10], np.float32))
    if wardrobe.person.beard:
        jaw = (y < 0.030 - 0.006 * (side < 0.012) + 0.35 * np.maximum(side - 0.024, 0)) & ~spot(
            0, 0.0180, 0.013, 0.0045
        )
        color = np.where(jaw[:, None], 0.3 * color + 0.7 * hair, color)
        tone[jaw] = 1
    features = (
        (
            front & ((side / 0.0145) ** 2 + ((y - 0.0172 - 9 * side * side) / 0.0048) ** 2 < 1),
            to_linear(_LIPS) * 0.45 + 0.5 * color,
        ),
        (front & (side < 0.0125) & (np.abs(y - 0.0176 - 10 * side * side) < 0.0010), to_linear((110, 50, 50))),
        (spot(0.0185, 0.0545, 0.0092, 0.0050), to_linear((236, 232, 228))),
        (spot(0.0185, 0.0545, 0.0048, 0.0050), to_linear((52, 36, 28))),
        (front & (np.abs(side - 0.0185) < 0.0098) & (np.abs(y - 0.0600) < 0.0011), to_linear((40, 30, 28))),
        (
            front
            & (np.abs(side - 0.019) < 0.0115)
            & (np.abs(y - 0.0715 + 0.16 * np.maximum(side - 0.015, 0)) < 0.0016),
            0.8 * hair + 0.12 * color,
        ),
    )
    for level, (where, paint_color) in enumerate(features, start=2):
        color = np.where(where[:, None], paint_color, color)
        tone[where] = 2 if level < 4 else 3
    return color, tone


def _paint_hair(color: np.ndarray, position: np.ndarray, wardrobe: Wardrobe) -> tuple[np.ndarray, np.ndarray]:
    """Strands."""
    x, y, z = position
    strands = 1 + 0.16 * np.sin(900 * x + 30 * np.sin(60 * y)) * np.sin(500 * z + 300 * x)
    return color * strands[:, None], np.zeros(len(x), np.uint8)


def _paint_shoe(color: np.ndarray, position: np.ndarray, wardrobe: Wardrobe) -> tuple[np.ndarray, np.ndarray]:
    """A sole, dark under light shoes and light under dark ones."""
    sole = position[2] < -0.0325
    dark = wardrobe.palette[Material.SHOE].mean() > 0.3
    shade = to_linear((70, 68, 70) if dark else (205, 202, 196))
    return np.where(sole[:, None], shade, color), sole.astype(np.uint8)


def illuminate(
    color: np.ndarray, normals: np.ndarray, material: np.ndarray, openness: np.ndarray, lights: Lights
) -> np.ndarray:
    """Return linear RGB (S, 3) of points with these colours (S, 3), normals (3, S) and openness (S,) to ambient light.

    Wrapped diffuse key and fill lights, light from sky and ground by the normal's height, and a broad highlight.
    """
    key = np.clip((lights.key @ normals + 0.30) / 1.30, 0, 1)
    fill = np.clip((lights.fill @ normals + 0.25) / 1.25, 0, 1)
    up = (0.5 + 0.5 * normals[1]) * openness
    light = (key * (0.35 + 0.65 * openness))[:, None] * lights.key_color + fill[:, None] * lights.fill_color
    light += up[:, None] * lights.sky + (openness - up)[:, None] * lights.ground
    halfway = lights.key + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    gloss = np.zeros(len(Material) + 1, np.float32)
    for kind, strength in _GLOSS.items():
        gloss[kind] = strength
    highlight = gloss[material] * np.clip(halfway @ normals, 0, 1) ** 16 * openness
    return color * light + highlight[:, None] * lights.key_color
