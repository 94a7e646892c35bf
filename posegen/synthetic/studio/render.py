"""A clip of the studio: a person of the cast, any motion, and everything that is true of each frame."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.motion.editing import Placement, place
from posegen.motion.motion import Motion
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import perform_in_step
from posegen.synthetic.studio.backdrop import build_backdrop
from posegen.synthetic.studio.body import build_body
from posegen.synthetic.studio.frames import Scene, render_frames
from posegen.synthetic.studio.labels import LOWER, UPPER
from posegen.synthetic.studio.lighting import studio_lights
from posegen.synthetic.studio.people import Rgb, find_person
from posegen.synthetic.studio.retarget import retarget
from posegen.synthetic.studio.room import DISTANCE, Room, build_room
from posegen.synthetic.studio.shading import Wardrobe
from posegen.synthetic.studio.skeleton import skeleton_of

MIN_SIDE = 32
"""Pixels: in smaller images a person is no longer one."""


def require_size(size: tuple[int, int]) -> None:
    """Raise ConfigError where an image of this height and width is too small for a person."""
    if min(size) < MIN_SIDE:
        raise ConfigError(f"size is {size[0]}×{size[1]} (height × width), expected sides of at least {MIN_SIDE} pixels")


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Settings of a rendered clip."""

    size: tuple[int, int] = (384, 256)
    """Height and width in pixels."""
    seed: int = 0
    """Varies light and wall a little."""
    yaw: float = 0.0
    """Degrees by which the person is turned from the camera, to their left where it is positive."""
    fists: bool = False
    """True if the hands are closed."""
    upper_color: Rgb | None = None
    """sRGB, 0 to 255, of the upper garment; the person's own by default."""
    lower_color: Rgb | None = None
    """sRGB, 0 to 255, of the lower garment; the person's own by default."""

    def __post_init__(self) -> None:
        require_size(self.size)
        for color in (self.upper_color, self.lower_color):
            if color is not None and (len(color) != 3 or not all(0 <= value <= 255 for value in color)):
                raise ConfigError(f"garment colour is {color}, expected (red, green, blue) from 0 to 255")


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
    person: str, motion: Motion, settings: RenderSettings = RenderSettings(), *, name: str | None = None
) -> StudioClip:
    """Render a person of `PEOPLE` who does what a motion does, on the person's own body.

    The motion starts in the middle of the studio and faces the camera, which steps back from one that goes far.
    Equal arguments give equal bytes.

    Args:
        person: Name of one of `PEOPLE`.
        motion: Of any body: made up, read from a file or generated.
        settings: Size, seed, view and colours.
        name: What the clip shows; the motion's action by default.

    Raises:
        ConfigError: The person is unknown, or so small that a garment is nowhere to be seen.
    """
    profile = find_person(person)
    action = name or motion.label_name or "motion"
    fitted = place(retarget(motion, profile), Placement(0.0, 0.0, np.radians(settings.yaw)))
    fitted, room = set_up_room(fitted, settings.size)
    skeleton = skeleton_of(fitted, profile.height)
    rng = np.random.default_rng([settings.seed, zlib.crc32(person.encode()), zlib.crc32(action.encode())])
    scene = Scene(
        room=room,
        lights=studio_lights(rng),
        backdrop=build_backdrop(profile, room, rng),
        body=build_body(profile, fists=settings.fists),
        wardrobe=Wardrobe.of(profile, settings.upper_color, settings.lower_color),
    )
    frames = list(render_frames(scene, skeleton))
    images, garments = np.stack([frame.image for frame in frames]), np.stack([frame.garments for frame in frames])
    return StudioClip(
        person=person,
        action=action,
        fps=motion.fps,
        images=images,
        keypoints=np.stack([frame.keypoints for frame in frames]),
        masks=np.stack([frame.mask for frame in frames]),
        garments=garments,
        edges=np.stack([frame.edges for frame in frames]),
        upper_lab=_mean_lab(images, garments == UPPER),
        lower_lab=_mean_lab(images, garments == LOWER),
        seed=settings.seed,
    )


def render_action(
    person: str, action: str, num_frames: int = 100, settings: RenderSettings = RenderSettings()
) -> StudioClip:
    """Render a person of `PEOPLE` who does an action of `posegen.synthetic.actions.ACTIONS` in so many frames.

    Frame t of an action shows the same joint angles for every person, size and seed.

    Raises:
        ConfigError: Person or action is unknown, or there are no frames.
    """
    motion = perform_in_step(action, find_person(person).rest, num_frames)
    view = replace(settings, yaw=settings.yaw + ACTIONS[action].yaw, fists=settings.fists or ACTIONS[action].fists)
    return render_clip(person, motion, view)


def set_up_room(motion: Motion, size: tuple[int, int]) -> tuple[Motion, Room]:
    """Return a motion and the room for it at a size (H, W); one that needs a larger room is moved to its middle."""
    room = build_room(motion.joints, size)
    if room.distance == DISTANCE:
        return motion, room
    low, high = motion.joints.min(axis=(0, 1)), motion.joints.max(axis=(0, 1))
    centred = replace(motion, joints=motion.joints - (low + high) / 2 * np.array([1, 0, 1], np.float32))
    return centred, build_room(centred.joints, size)


def _mean_lab(images: np.ndarray, where: np.ndarray) -> tuple[float, float, float]:
    pixels = images[where][:, None].astype(np.float32) / 255
    if not len(pixels):
        raise ConfigError("a garment is not visible, expected larger images")
    lightness, a, b = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).mean(axis=(0, 1), dtype=np.float64)
    return float(lightness), float(a), float(b)
