"""Two pictures of one person in other postures and views, and where each visible point of one lies in the other.

The ray caster knows which part of the body each pixel sees, and where on it. That point, carried along with the bone
of its part to the other posture and projected, is an exact dense correspondence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

import numpy as np
import torch

from posegen.errors import ConfigError
from posegen.features.body_pose import BodyPoses
from posegen.motion import rotations
from posegen.motion.editing import Placement, place
from posegen.motion.motion import Motion
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices
from posegen.synthetic.studio.backdrop import build_backdrop
from posegen.synthetic.studio.body import Body, Material, build_body
from posegen.synthetic.studio.frames import Scene, render_frames
from posegen.synthetic.studio.labels import UPPER
from posegen.synthetic.studio.lighting import studio_lights, to_srgb
from posegen.synthetic.studio.people import CAST, Hair, Pattern, StudioPerson
from posegen.synthetic.studio.raycast import Shapes, Surface, cast, place_shapes
from posegen.synthetic.studio.render import RenderSettings, set_up_room
from posegen.synthetic.studio.room import Room
from posegen.synthetic.studio.shading import Wardrobe, paint
from posegen.synthetic.studio.skeleton import ANKLE, Skeleton, skeleton_of

_FACE = joint_indices(["nose", "right_eye", "left_eye", "right_ear", "left_ear"])
_HIPS = joint_indices(["right_hip", "left_hip"])
_SEEN = 0.75  # confidence above which a joint is not hidden
_TOES = 0.1  # where the big toe begins before the ankle, of a body of height 1
_BEHIND = 0.015  # metres by which a point may be behind what the other picture shows there
_CLASSES = np.zeros(len(Material) + 1, np.uint8)
for _material, _kind in (
    (Material.SKIN, PersonClass.SKIN),
    (Material.FACE, PersonClass.SKIN),
    (Material.HAIR, PersonClass.HAIR),
    (Material.UPPER, PersonClass.UPPER),
    (Material.LOWER, PersonClass.LOWER),
    (Material.SHOE, PersonClass.SHOES),
):
    _CLASSES[_material] = _kind


@dataclass(frozen=True)
class StudioPair:
    """Two pictures, A and B, of one person before one background, and what is true of them."""

    images: np.ndarray
    """(2, H, W, 3) uint8 RGB: A, B."""
    albedo: np.ndarray
    """(2, H, W, 3) uint8 RGB: colours of the person without light, black elsewhere; not anti-aliased."""
    masks: np.ndarray
    """(2, H, W) uint8: 255 on the person, 0 elsewhere."""
    classes: np.ndarray
    """(2, H, W) uint8 of `PersonClass`."""
    depths: np.ndarray
    """(2, H, W) float32 metres from the camera's plane, infinite beside the person."""
    poses: BodyPoses
    """Of both, with depths and feet."""
    source: np.ndarray
    """(H, W, 2) float32: x and y in A, in pixels, of the point that each pixel of B shows; NaN beside the person."""
    visible: np.ndarray
    """(H, W) bool: whether A shows that point."""


class _Cast(NamedTuple):
    """Surface points seen at the centres of the pixels of one picture, as images."""

    shape: np.ndarray
    """(H, W) int: number of the part, -1 beside the person."""
    depth: np.ndarray
    """(H, W) float32 metres, infinite beside the person."""
    material: np.ndarray
    """(H, W) uint8."""


def render_pair(person: StudioPerson, motion: Motion, settings: RenderSettings) -> StudioPair:
    """Render both frames of a motion of two frames, see `pair_motion`.

    Equal arguments give equal bytes.

    Args:
        person: Anybody, of the cast or made by `vary_person`.
        motion: Two frames on the person's own body, see `posegen.synthetic.studio.retarget.retarget`.
        settings: Size, seed, colours and hands; the view is the motion's.

    Raises:
        ConfigError: There are not two frames.
    """
    if len(motion) != 2:
        raise ConfigError(f"a pair has 2 frames, got {len(motion)}")
    motion, room = set_up_room(motion, settings.size)
    skeleton = skeleton_of(motion, person.height)
    rng = np.random.default_rng([settings.seed, UPPER])
    scene = Scene(
        room=room,
        lights=studio_lights(rng),
        backdrop=build_backdrop(person, room, rng),
        body=build_body(person, fists=settings.fists),
        wardrobe=Wardrobe.of(person, settings.upper_color, settings.lower_color),
    )
    frames = list(render_frames(scene, skeleton))
    num_parts = len(scene.body.bones)
    shapes = place_shapes(scene.body, skeleton, room.camera)
    surface = cast(shapes, num_parts, room.camera)
    casts = [_spread(surface, scene.body, room, index) for index in range(2)]
    source, visible = _correspondence(surface, shapes, casts, room)
    return StudioPair(
        images=np.stack([frame.image for frame in frames]),
        albedo=_albedo(surface, scene),
        masks=np.stack([frame.mask for frame in frames]),
        classes=np.stack([_CLASSES[one.material] for one in casts]),
        depths=np.stack([one.depth for one in casts]),
        poses=_body_poses(np.stack([frame.keypoints for frame in frames]), skeleton, room, person.height),
        source=source,
        visible=visible,
    )


def pair_motion(motion: Motion, frames: tuple[int, int], yaws: tuple[float, float]) -> Motion:
    """Return two frames of a motion with rotations, in the middle of the studio, each in a view of its own.

    Args:
        motion: Faces +z in its first frame.
        frames: Numbers of both.
        yaws: Degrees by which the person is turned in each, to their left where it is positive.
    """
    assert motion.rot6d is not None
    joints, rows = [], []
    for frame, yaw in zip(frames, yaws, strict=True):
        one = replace(
            motion,
            joints=motion.joints[frame : frame + 1] - motion.joints[frame : frame + 1, :1] * np.array([1, 0, 1]),
            valid=motion.valid[frame : frame + 1],
            rot6d=motion.rot6d[frame : frame + 1],
        )
        placed = place(one, Placement(0.0, 0.0, np.radians(yaw)))
        joints.append(placed.joints)
        rows.append(placed.rot6d)
    return replace(
        motion,
        joints=np.concatenate(joints).astype(np.float32),
        rot6d=np.concatenate([row for row in rows if row is not None]),
        valid=np.ones(2, bool),
        camera=None,
    )


def facing(motion: Motion) -> np.ndarray:
    """Return by how many degrees (T,) the pelvis of a motion with rotations is turned from +z towards +x."""
    root = rotations.rot6d_rows_to_matrix(torch.as_tensor(motion.rot6d)[:, 0]).numpy()
    return np.degrees(np.arctan2(root[:, 0, 2], root[:, 2, 2]))


def vary_person(rng: np.random.Generator) -> StudioPerson:
    """Return a person like one of the cast, with another body, other hair, clothes, colours and room."""
    base = CAST[str(rng.choice(list(CAST)))]

    def jitter(value: float, share: float = 0.05) -> float:
        return value * float(np.exp(share * rng.standard_normal()))

    def color() -> tuple[int, int, int]:
        r, g, b = rng.integers(15, 240, 3).tolist()
        return r, g, b

    def one_of(values: tuple[Any, ...]) -> Any:
        return values[int(rng.integers(len(values)))]

    return replace(
        base,
        height=float(np.clip(jitter(base.height, 0.03), 1.5, 1.95)),
        build=jitter(base.build, 0.08),
        shoulders=jitter(base.shoulders),
        hips=jitter(base.hips),
        waist=jitter(base.waist),
        legs=jitter(base.legs, 0.02),
        hair_style=one_of(get_args(Hair)),
        upper=color(),
        upper_pattern=one_of(get_args(Pattern)),
        sleeves=one_of(("long", "short")),
        lower=color(),
        lower_pattern=one_of(("plain", "plain", "checks", "pinstripes")),
        legwear=one_of(("trousers", "trousers", "shorts")),
        shoes=color(),
        backdrop=one_of(("plain", "skirting", "panels", "two_tone", "cove")),
    )


def _spread(surface: Surface, body: Body, room: Room, frame: int) -> _Cast:
    """The surface of one of both frames as images."""
    size = room.camera.canvas
    first = frame * size[0] * size[1]
    own = (surface.pixels >= first) & (surface.pixels < first + size[0] * size[1])
    pixels, part = surface.pixels[own] - first, surface.shapes[own] % len(body.bones)
    shape, depth = np.full(size, -1), np.full(size, np.inf, np.float32)
    material = np.zeros(size, np.uint8)
    shape.ravel()[pixels], depth.ravel()[pixels], material.ravel()[pixels] = (
        part,
        surface.depths[own],
        body.materials[part],
    )
    return _Cast(shape, depth, material)


def _correspondence(surface: Surface, shapes: Shapes, casts: list[_Cast], room: Room) -> tuple[np.ndarray, np.ndarray]:
    """Find each point of B in A: positions (H, W, 2), and True where A shows it, (H, W)."""
    height, width = room.camera.canvas
    num_parts = len(shapes.lengths) // 2
    later = surface.pixels >= height * width
    pixels = surface.pixels[later] - height * width
    part = surface.shapes[later] - num_parts  # the same part in A
    points = surface.points[:, later].T.astype(np.float64)  # (S, 3) in the part's axes
    there = shapes.starts[part] + np.einsum("sij,sj->si", shapes.to_camera[part], points)
    x = there[:, 0] / there[:, 2] * room.camera.fx + room.camera.cx
    y = there[:, 1] / there[:, 2] * room.camera.fy + room.camera.cy
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    first, second = casts
    same = first.material[row, column] == second.material.ravel()[pixels]
    near = there[:, 2] < first.depth[row, column] + _BEHIND
    source, visible = np.full((height, width, 2), np.nan, np.float32), np.zeros((height, width), bool)
    source.reshape(-1, 2)[pixels] = np.stack([x, y], axis=1)
    visible.ravel()[pixels] = inside & same & near & (first.shape[row, column] >= 0)
    return source, visible


def _albedo(surface: Surface, scene: Scene) -> np.ndarray:
    """Colours without light of both frames, (2, H, W, 3) uint8."""
    colors = np.zeros((2, *scene.room.camera.canvas, 3), np.uint8)
    colors.reshape(-1, 3)[surface.pixels] = to_srgb(paint(surface, scene.body, scene.wardrobe)[0])
    return colors


def _body_poses(keypoints: np.ndarray, skeleton: Skeleton, room: Room, height: float) -> BodyPoses:
    """Poses (2,) as an estimator would see them: faces that are hidden are missing."""
    keypoints = keypoints.copy()
    face = keypoints[:, _FACE]
    face[face[..., 2] < _SEEN] = 0
    keypoints[:, _FACE] = face
    joints = room.camera.project(skeleton.joints(height))  # (2, 18, 3)
    hips = joints[:, _HIPS, 2].mean(axis=1)
    scale = room.camera.fx / hips
    depths = (hips[:, None] - joints[..., 2]) * scale[:, None]
    toes = [skeleton.points(f"{side}_foot", (0.0, _TOES * height, -0.7 * ANKLE * height)) for side in ("right", "left")]
    feet = room.camera.project(np.stack(toes, axis=1))  # (2, 2, 3)
    feet[..., 2] = 1
    return BodyPoses(keypoints, depths.astype(np.float32), feet.astype(np.float32))
