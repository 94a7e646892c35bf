"""A clip of the studio: a person of the cast, an action, and everything that is true of each frame."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.synthetic.studio.actions import FISTS, joint_angles
from posegen.synthetic.studio.backdrop import build_backdrop
from posegen.synthetic.studio.body import build_body
from posegen.synthetic.studio.camera import Camera
from posegen.synthetic.studio.frames import Scene, render_frames
from posegen.synthetic.studio.kinematics import Proportions, Skeleton, forward_kinematics
from posegen.synthetic.studio.labels import LOWER, UPPER
from posegen.synthetic.studio.lighting import studio_lights
from posegen.synthetic.studio.people import Person, Rgb, find_person
from posegen.synthetic.studio.shading import Wardrobe

MIN_SIDE = 32
"""Pixels: in smaller images a person is no longer one."""


@dataclass(frozen=True)
class StudioClip:
    """A rendered clip and its true labels."""

    person: str
    action: str
    fps: float
    images: np.ndarray
    """(T, H, W, 3) uint8 RGB."""
    keypoints: np.ndarray
    """(T, 18, 3) float32 OpenPose-18: x, y in pixels; confidence 1 visible, 0.5 behind the body, 0 out of the image."""
    masks: np.ndarray
    """(T, H, W) uint8: 255 on the person, 0 elsewhere."""
    garments: np.ndarray
    """(T, H, W) uint8: 1 upper garment, 2 lower garment, 0 elsewhere."""
    edges: np.ndarray
    """(T, H, W) uint8: white is an edge."""
    upper_lab: tuple[float, float, float]
    """Mean CIELAB (D65) colour of the upper garment's pixels over the clip."""
    lower_lab: tuple[float, float, float]
    """Mean CIELAB (D65) colour of the lower garment's pixels over the clip."""
    seed: int


def render_clip(
    person: str,
    action: str,
    *,
    num_frames: int = 100,
    size: tuple[int, int] = (384, 256),
    fps: float = 25.0,
    seed: int = 0,
    upper_color: Rgb | None = None,
    lower_color: Rgb | None = None,
) -> StudioClip:
    """Render a person of `PEOPLE` who does an action of `ACTIONS` from rest to rest in `num_frames` frames.

    Frame t of an action shows the same joint angles for every person, size and seed. `size` is (height, width);
    `seed` varies light and wall a little; colours are sRGB, 0 to 255, and default to the person's own.
    Equal arguments give equal bytes.

    Raises PosegenError for an unknown person or action, a side under 32 pixels, no frames, or a colour out of range.
    """
    profile = find_person(person)
    _check(num_frames, size, upper_color, lower_color)
    skeleton = pose_person(profile, action, num_frames)
    camera = Camera.of(size)
    rng = np.random.default_rng([seed, zlib.crc32(person.encode()), zlib.crc32(action.encode())])
    scene = Scene(
        camera=camera,
        lights=studio_lights(rng),
        backdrop=build_backdrop(profile, camera, rng),
        body=build_body(profile, fists=action in FISTS),
        wardrobe=Wardrobe.of(profile, upper_color, lower_color),
    )
    frames = list(render_frames(scene, skeleton))
    images, garments = np.stack([frame.image for frame in frames]), np.stack([frame.garments for frame in frames])
    return StudioClip(
        person=person,
        action=action,
        fps=fps,
        images=images,
        keypoints=np.stack([frame.keypoints for frame in frames]),
        masks=np.stack([frame.mask for frame in frames]),
        garments=garments,
        edges=np.stack([frame.edges for frame in frames]),
        upper_lab=_mean_lab(images, garments == UPPER),
        lower_lab=_mean_lab(images, garments == LOWER),
        seed=seed,
    )


def pose_person(person: Person, action: str, num_frames: int) -> Skeleton:
    """Return the bones of a person who does an action; PosegenError for an unknown action."""
    proportions = Proportions.of(person.height, legs=person.legs, shoulders=person.shoulders, hips=person.hips)
    return forward_kinematics(joint_angles(action, num_frames), proportions)


def _check(num_frames: int, size: tuple[int, int], *colors: Rgb | None) -> None:
    if num_frames < 1:
        raise ConfigError(f"num_frames is {num_frames}, expected at least 1")
    if min(size) < MIN_SIDE:
        raise ConfigError(f"size is {size[0]}×{size[1]} (height × width), expected sides of at least {MIN_SIDE} pixels")
    for color in colors:
        if color is not None and (len(color) != 3 or not all(0 <= value <= 255 for value in color)):
            raise ConfigError(f"garment colour is {color}, expected (red, green, blue) from 0 to 255")


def _mean_lab(images: np.ndarray, where: np.ndarray) -> tuple[float, float, float]:
    pixels = images[where][:, None].astype(np.float32) / 255
    if not len(pixels):
        raise ConfigError("a garment is nowhere to be seen, expected larger images")
    lightness, a, b = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).mean(axis=(0, 1), dtype=np.float64)
    return float(lightness), float(a), float(b)
