"""Renders frames: casts the body, shades it, lays it over the backdrop, and reads the labels off the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from posegen.synthetic.studio.backdrop import Backdrop
from posegen.synthetic.studio.body import Body, Material
from posegen.synthetic.studio.labels import SAMPLES, label_edges, limb_of_bone, masks_and_garments, see_joints, soften
from posegen.synthetic.studio.lighting import Lights, floor_shadows, to_srgb
from posegen.synthetic.studio.raycast import Surface, cast, place_shapes
from posegen.synthetic.studio.room import Room, supersample
from posegen.synthetic.studio.shading import Wardrobe, illuminate, paint
from posegen.synthetic.studio.skeleton import Skeleton

_CHUNK = 1 << 18  # samples cast at once: enough to outweigh NumPy's overhead, few enough for the caches
_CREASE = 0.010  # metres over which normals are evened out, so that parts join without a seam
_HOLLOW = 0.07  # metres around a point that may take ambient light from it
_FAR = 100.0  # metres to what is not the person
_LIMB = limb_of_bone()


@dataclass(frozen=True)
class Frame:
    """One rendered frame; the fields are those of a clip, without the time axis."""

    image: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray
    garments: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Everything that stays the same during a clip."""

    room: Room
    backdrop: Backdrop
    lights: Lights
    body: Body
    wardrobe: Wardrobe


@dataclass(frozen=True)
class _Samples:
    """A chunk's visible points as images (F, h, w) of the window that holds the person in all of its frames."""

    window: tuple[slice, slice]
    """Rows and columns in pixels of the output."""
    index: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Frame, row and column in the window's samples, of each visible point."""
    shape: tuple[int, int, int]
    surface: Surface
    material: np.ndarray
    """(S,) uint8."""
    depth: np.ndarray
    """(F, h, w) float32 metres, far away beside the person."""

    def image(self, values: np.ndarray) -> np.ndarray:
        """Spread values (S, ...) of the visible points over images (F, h, w, ...) that are 0 elsewhere."""
        spread = np.zeros(self.shape + values.shape[1:], values.dtype)
        spread[self.index] = values
        return spread


def render_frames(scene: Scene, skeleton: Skeleton) -> Iterator[Frame]:
    """Yield the frames of a person who moves as the skeleton does."""
    fine = supersample(scene.room.camera, SAMPLES)
    shapes = place_shapes(scene.body, skeleton, fine)
    joints = skeleton.joints(scene.wardrobe.person.height)
    shadows = floor_shadows(skeleton, scene.lights, scene.room)
    num_parts, num_frames = len(scene.body.bones), len(joints)
    step = max(1, _CHUNK // (fine.canvas[0] * fine.canvas[1]))
    for start in range(0, num_frames, step):
        stop = min(start + step, num_frames)
        surface = cast(shapes[start * num_parts : stop * num_parts], num_parts, fine)
        samples = _collect(scene, surface, stop - start)
        yield from _finish(scene, samples, joints[start:stop], shadows[start:stop])


def _collect(scene: Scene, surface: Surface, num_frames: int) -> _Samples:
    height, width = (side * SAMPLES for side in scene.room.camera.canvas)
    row, column = np.divmod(surface.pixels, width)
    frame, row = np.divmod(row, height)
    window = (_window(row, scene.room.camera.canvas[0]), _window(column, scene.room.camera.canvas[1]))
    index = (frame, row - window[0].start * SAMPLES, column - window[1].start * SAMPLES)
    shape = (num_frames, *((part.stop - part.start) * SAMPLES for part in window))
    depth = np.full(shape, _FAR, np.float32)
    depth[index] = surface.depths
    material = scene.body.materials[surface.shapes % len(scene.body.bones)]
    return _Samples(window, index, shape, surface, material, depth)


def _window(samples: np.ndarray, side: int) -> slice:
    """The pixels that hold these samples along one axis, and a few more for what is blurred over them."""
    return slice(max(0, samples.min() // SAMPLES - 4), min(side, samples.max() // SAMPLES + 5))


def _finish(scene: Scene, samples: _Samples, joints: np.ndarray, shadows: list[np.ndarray]) -> Iterator[Frame]:
    color, tone = paint(samples.surface, scene.body, scene.wardrobe)
    lit = illuminate(color, _even_normals(scene, samples), samples.material, _openness(scene, samples), scene.lights)
    layers = samples.image(np.concatenate([lit, np.ones_like(lit[:, :1])], axis=1))  # (F, h, w, 4)
    garments = [samples.material == kind for kind in (Material.UPPER, Material.LOWER)]
    cloth = samples.image(np.stack([np.ones_like(garments[0]), *garments], axis=1).astype(np.float32))
    material, tone = samples.image(samples.material), samples.image(tone)
    limb = samples.image(_LIMB[scene.body.bones[samples.surface.shapes % len(scene.body.bones)]])
    corner = (samples.window[0].start, samples.window[1].start)
    keypoints = see_joints(joints, samples.depth, scene.room.camera, corner, scene.wardrobe.person.height)
    for t in range(len(joints)):
        edges = label_edges(material[t], limb[t], tone[t], samples.depth[t], _sample_size(scene.room))
        image, lines, mask, worn = _compose(scene, samples.window, shadows[t], _Layers(layers[t], cloth[t], edges))
        yield Frame(to_srgb(image), keypoints[t], mask, worn, soften(lines))


def _sample_size(room: Room) -> float:
    """Metres between samples at the person."""
    return room.distance / room.camera.fx / SAMPLES


def _even_normals(scene: Scene, samples: _Samples) -> np.ndarray:
    """Return the normals (3, S) averaged over a small neighbourhood on the person."""
    normals = samples.image(np.ascontiguousarray(samples.surface.normals.T))
    sigma = _CREASE / _sample_size(scene.room)
    for image in normals:
        cv2.GaussianBlur(image, (0, 0), sigma, dst=image)
    even = normals[samples.index].T
    return even / np.sqrt((even * even).sum(axis=0) + 1e-12)


def _openness(scene: Scene, samples: _Samples) -> np.ndarray:
    """Return how much ambient light (S,) reaches each point: less where it lies behind its neighbourhood.

    The unsharp-masked depth of Luft et al. (2006), with the background put at the person's farthest depth.
    """
    radius = _HOLLOW / _sample_size(scene.room)
    openness = np.empty(samples.shape, np.float32)
    for t, depth in enumerate(samples.depth):
        filled = np.minimum(depth, depth[depth < _FAR].max())
        openness[t] = filled - _wide_blur(filled, radius)
    return 1 - np.clip(openness[samples.index] * 3.2, 0, 0.55)


def _wide_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur, at a coarser resolution where that does not show."""
    factor = max(1, int(sigma / 2))
    height, width = image.shape
    small = cv2.resize(image, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


class _Layers(NamedTuple):
    """Layers over the backdrop, as images (h, w, ...) of samples of the window."""

    color: np.ndarray
    """(h, w, 4) linear RGB and how much of it there is."""
    cloth: np.ndarray
    """(h, w, 3) how much there is of the person, and of both garments."""
    edges: np.ndarray
    """(h, w) uint8."""


def _compose(
    scene: Scene, window: tuple[slice, slice], shadow: np.ndarray, layers: _Layers
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Average the samples of each pixel and lay them over the backdrop: linear RGB, edges, mask and garments."""
    size = (layers.color.shape[1] // SAMPLES, layers.color.shape[0] // SAMPLES)
    color, cloth, drawn = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in layers)
    empty = 1 - color[..., 3:]
    image = _shadowed(scene.backdrop, shadow)
    image[window] = image[window] * empty + color[..., :3]
    lines = scene.backdrop.edges.copy()
    lines[window] = np.maximum(lines[window] * empty[..., 0], drawn)
    mask, garments = (np.zeros(scene.room.camera.canvas, np.uint8) for _ in range(2))
    mask[window], garments[window] = masks_and_garments(cloth)
    return image, lines, mask, garments


def _shadowed(backdrop: Backdrop, shadow: np.ndarray) -> np.ndarray:
    """The backdrop (H, W, 3) with the person's shadow on the floor."""
    image = backdrop.image.copy()
    x, z = backdrop.floor
    if len(x):
        light = cv2.remap(shadow, x, z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1)
        image[-len(light) :] *= light[..., None]
    return image
