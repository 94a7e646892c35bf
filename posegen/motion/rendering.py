"""Rendering of motions as stick figures on a floor: frames, videos and strips.

The camera stands still and frames the whole motion. Left limbs are blue, right ones red; what is farther away is paler
and thinner, and a shadow shows the height above the floor. Frames that are not valid are pale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from posegen.errors import MotionError
from posegen.io.lettering import draw_text, text_width
from posegen.io.video_writer import VideoWriter
from posegen.motion.anatomy import HEIGHT, body_height, face_points
from posegen.motion.cameras import PinholeCamera
from posegen.motion.editing import resample
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import smpl_head_axes
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

ViewAngle = Literal["angled", "front"]
Color = tuple[int, int, int]

LEFT_ARM, LEFT_LEG, RIGHT_ARM, RIGHT_LEG, MIDDLE = (
    (66, 146, 198), (8, 81, 156), (239, 101, 72), (179, 18, 24), (90, 90, 90),
)  # fmt: skip
"""RGB of the limbs."""

_ANGLES: dict[ViewAngle, tuple[float, float]] = {
    "angled": (35.0, 18.0),
    "front": (0.0, 0.0),
}  # azimuth, elevation: degrees
_FIELD_OF_VIEW = np.radians(28.0)  # of the longer side
_BORDER = 0.06  # of the frame, on each side
_OVERSAMPLING = 2
_FRACTION_BITS = 4
_NEAREST = 0.2  # metres before the camera, for a body of `HEIGHT`: nothing nearer is rendered
_FARTHEST = 2.0**24  # pixels, for fixed point
_WHITE, _FLOOR, _GRID, _SHADOW = (255, 255, 255), (246, 246, 246), (224, 224, 224), (208, 208, 208)
_TILE, _MOST_TILES = 0.5, 100  # metres between the lines of the floor, for a body of `HEIGHT`; tiles in a row
_LIMB_RADIUS, _HEAD_RADIUS, _NOSE_RADIUS = 0.028, 0.10, 0.025  # metres, of a body of `HEIGHT`
_HEAD_CENTER = (0.0, 0.07, 0.02)  # metres from the head joint, in the head's axes
_PALE, _FARTHEST_PALE, _DEPTH_OF_BODY = 0.72, 0.4, 1.2
_CAPTION, _GAP, _LETTERS = 22, 6, 14  # pixels: height of a caption, margin about it, height of its letters


@dataclass(frozen=True, kw_only=True)
class GridLayout:
    """Layout of several motions beside each other. Raises MotionError if `columns` is not positive."""

    size: tuple[int, int] = (256, 256)
    """Height and width of each motion's cell, without its caption."""
    view: ViewAngle = "angled"
    """See `MotionRenderer`."""
    columns: int = 4
    """Cells in a row at most."""
    loop: bool = False
    """Start motions again that have ended; otherwise they keep their last frame."""
    one_scale: bool = False
    """Show a metre equally large in all cells; otherwise each motion fills its own."""

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise MotionError(f"got columns {self.columns}, expected 1 or more")


_DEFAULT_LAYOUT = GridLayout()


class _Strokes(NamedTuple):
    """Projected lines, or balls where both ends are one point."""

    ends: np.ndarray
    """(S, 2, 2) pixels."""
    shadows: np.ndarray
    """(S, 2, 2) pixels of the ends' shadows."""
    depths: np.ndarray
    """(S,) metres from the camera."""
    widths: np.ndarray
    """(S,) pixels."""
    ahead: np.ndarray
    """(S,) bool: whether they are in front of the camera. In frames that are not valid they may be anywhere."""


class MotionRenderer:
    """Renders the frames of a motion in any order, all by one camera.

    Args:
        motion: The motion. Rotations are found where it has none, see `posegen.motion.editing.with_rotations`.
        size: Height and width of the frames.
        view: From the front and, ``angled``, a little from the side and above.
        follow: Keep the person in the middle of the frame, with the floor moving below: for motions that go far.

    Raises:
        PosegenError: The body has no size.
    """

    def __init__(
        self, motion: Motion, size: tuple[int, int] = (256, 256), *, view: ViewAngle = "angled", follow: bool = False
    ):
        self.motion, self.size = motion, size
        self._way = motion.trans * (1.0, 0.0, 1.0) if follow else np.zeros((len(motion), 3))
        self._joints = motion.joints - self._way[:, None]
        rows = np.flatnonzero(motion.valid) if motion.valid.any() else np.arange(len(motion))
        framed = self._joints[rows]
        self._scale = body_height(framed) / HEIGHT
        self._axes = smpl_head_axes(motion).astype(float)
        self._floor = floor_height(framed)
        self._head_centers = self._joints[:, SMPL_24.index("head")] + self._scale * (self._axes @ _HEAD_CENTER)
        space = self._space(rows)
        self._tile = max(self._scale * _TILE, np.ptp(space, axis=0).max() / _MOST_TILES)
        self._low, self._high = space.min(axis=0) - self._tile, space.max(axis=0) + self._tile
        self._camera = fit_camera(space, (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), view)
        self._still = None if follow else self._rasterize_floor(np.zeros(3))

    def __len__(self) -> int:
        return len(self.motion)

    @property
    def distance(self) -> float:
        """Metres from the camera to the middle of what it frames."""
        return float(self._camera.project((self._low + self._high) / 2)[2])

    def move_back(self, distance: float) -> None:
        """Move the camera away, to this distance in metres: all of a size show a metre equally large at the same."""
        x, y, z = self._camera.translation
        self._camera = replace(self._camera, translation=(x, y, z + distance - self.distance))
        self._still = None if self._still is None else self._rasterize_floor(np.zeros(3))

    def frame(self, number: int) -> np.ndarray:
        """Render a frame: (H, W, 3) uint8 RGB."""
        canvas = self._rasterize_floor(self._way[number]) if self._still is None else self._still.copy()
        strokes = self._strokes(number)
        for index in np.flatnonzero(strokes.ahead):
            near, far = strokes.shadows[index]
            _rasterize_line(canvas, near, far, _SHADOW, max(round(strokes.widths[index]), 1))
        middle = float(self._camera.project(self._joints[number].mean(axis=0))[2])
        valid = bool(self.motion.valid[number])
        for index in np.argsort(-strokes.depths, kind="stable").tolist():
            if not strokes.ahead[index]:
                continue
            behind = (strokes.depths[index] - middle) / (_DEPTH_OF_BODY * self._scale) + 0.5
            pale = max(_FARTHEST_PALE * min(max(behind, 0.0), 1.0), 0.0 if valid else _PALE)
            red, green, blue = (round(value + pale * (255 - value)) for value in _COLORS[index])
            width = max(round(strokes.widths[index]), _OVERSAMPLING)
            near, far = strokes.ends[index]
            _rasterize_stroke(canvas, near, far, (red, green, blue), width)
        return cv2.resize(canvas, self.size[::-1], interpolation=cv2.INTER_AREA)

    def _strokes(self, number: int) -> _Strokes:
        """Project the body of a frame: the limbs, the head and the nose, in the order of `_COLORS`."""
        joints, axes, scale = self._joints[number], self._axes[number], self._scale
        nose = face_points(joints[SMPL_24.index("head")], axes, scale)["nose"]
        balls = np.stack([self._head_centers[number], nose])
        near, far = joints[list(SMPL_24_PARENTS[1:])], joints[1:]
        points = np.stack([np.concatenate([near, balls]), np.concatenate([far, balls])], axis=1)  # (S, 2, 3)
        projected = self._camera.project(points)
        depths, nearest = projected[..., 2].mean(axis=1), _NEAREST * scale
        widths = 2 * scale * _RADII * self._camera.fx / np.maximum(depths, nearest)
        ahead = projected[..., 2].min(axis=1) > nearest
        return _Strokes(projected[..., :2], self._on_floor(points[..., (0, 2)]), depths, widths, ahead)

    def _space(self, rows: np.ndarray) -> np.ndarray:
        """Points (N, 3) that bound what these frames show: bodies with their heads, and their shadows."""
        reach = self._scale * _HEAD_RADIUS * np.concatenate([np.eye(3), -np.eye(3)])  # (6, 3)
        heads = self._head_centers[rows, None] + reach
        bodies = np.concatenate([self._joints[rows].reshape(-1, 3), heads.reshape(-1, 3)])
        return np.concatenate([bodies, bodies * (1, 0, 1) + (0, self._floor, 0)])

    def _rasterize_floor(self, offset: np.ndarray) -> np.ndarray:
        """Rasterize the floor as far as the person goes and a tile beyond, its lines moved by an offset (3,)."""
        canvas = np.full((*self._camera.canvas, 3), _WHITE, np.uint8)
        (left, back), (right, front) = self._low[[0, 2]], self._high[[0, 2]]
        corners = np.array([(left, back), (right, back), (right, front), (left, front)])
        cv2.fillConvexPoly(canvas, _fixed_point(self._on_floor(corners)), _FLOOR, cv2.LINE_AA, _FRACTION_BITS)
        lines = [((x, back), (x, front)) for x in _lines(left, right, self._tile, offset[0])]
        lines += [((left, z), (right, z)) for z in _lines(back, front, self._tile, offset[2])]
        for start, end in self._on_floor(np.array(lines)):
            _rasterize_line(canvas, start, end, _GRID, _OVERSAMPLING)
        return canvas

    def _on_floor(self, points: np.ndarray) -> np.ndarray:
        """Project x and z (..., 2) on the floor to pixels (..., 2)."""
        height = np.full(points.shape[:-1], self._floor)
        return self._camera.project(np.stack([points[..., 0], height, points[..., 1]], axis=-1))[..., :2]


def render_together(
    motions: Sequence[Motion], captions: Sequence[str] = (), layout: GridLayout = _DEFAULT_LAYOUT
) -> Iterator[np.ndarray]:
    """Render several motions beside each other, until the longest ends: frames (H, W, 3) uint8 RGB.

    Args:
        motions: All of one rate.
        captions: One for each, or none at all.
        layout: Size, view and order of the cells.

    Raises:
        MotionError: There are no motions, their rates differ, or captions are not one each.
    """
    captions = require_captions(motions, captions)
    if len({motion.fps for motion in motions}) > 1:
        raise MotionError(f"motions have {sorted({motion.fps for motion in motions})} frames per second: resample them")
    renderers = [MotionRenderer(motion, layout.size, view=layout.view) for motion in motions]
    if layout.one_scale:
        _share_scale(renderers)
    for number in range(max(map(len, renderers))):
        cells = [
            _captioned(one.frame(number % len(one) if layout.loop else min(number, len(one) - 1)), caption)
            for one, caption in zip(renderers, captions, strict=True)
        ]
        yield _lay_out(cells, layout.columns)


def write_motion_video(
    path: Path, motions: Sequence[Motion], captions: Sequence[str] = (), layout: GridLayout = _DEFAULT_LAYOUT
) -> None:
    """Write an MP4 of motions beside each other, at the highest of their rates; arguments as in `render_together`."""
    captions = require_captions(motions, captions)
    fps = max(motion.fps for motion in motions)
    together = [resample(motion, fps) for motion in motions]
    with VideoWriter(path, fps=fps) as video:
        for frame in render_together(together, captions, layout):
            video.write(frame)


def render_strips(
    motions: Sequence[Motion],
    captions: Sequence[str] = (),
    size: tuple[int, int] = (128, 96),
    *,
    every: float = 0.1,
    columns: int = 20,
    view: ViewAngle = "angled",
) -> np.ndarray:
    """Render frames of motions from left to right, equally far apart in time and in one scale.

    The person is in the middle of each picture.

    Args:
        motions: From above.
        captions: One for each, or none at all.
        size: Height and width of each picture.
        every: Seconds from one picture to the next.
        columns: Pictures in a row at most; a longer motion continues in the next row.
        view: See `MotionRenderer`.

    Returns:
        (H, W, 3) uint8 RGB; a short row ends in white.

    Raises:
        MotionError: There are no motions, captions are not one each, or `every` or `columns` is not positive.
    """
    captions = require_captions(motions, captions)
    if every <= 0 or columns < 1:
        raise MotionError(f"got every {every} and columns {columns}, expected more than 0 seconds, and 1 or more")
    renderers = [MotionRenderer(motion, size, view=view, follow=True) for motion in motions]
    _share_scale(renderers)
    rows = []
    for renderer, caption in zip(renderers, captions, strict=True):
        last = len(renderer) - 1
        times = np.arange(0, last + 0.5, max(every * renderer.motion.fps, 1))  # no frame twice
        frames = [renderer.frame(min(round(number), last)) for number in times.tolist()]
        seconds = max(every, 1 / renderer.motion.fps)
        text = caption and f"{caption} · a picture every {seconds:.2g} s"
        rows.append(_captioned(_lay_out(frames, columns), text))
    return _stack_rows(rows)


def _share_scale(renderers: Sequence[MotionRenderer]) -> None:
    """Move cameras back until all are as far from their person as the farthest."""
    farthest = max(renderer.distance for renderer in renderers)
    for renderer in renderers:
        renderer.move_back(farthest)


def fit_camera(points: np.ndarray, canvas: tuple[int, int], view: ViewAngle = "angled") -> PinholeCamera:
    """Return the nearest camera on a view's axis whose picture contains all points, with a border.

    Args:
        points: (N, 3) metres in the world.
        canvas: Height and width in pixels.
        view: See `MotionRenderer`.
    """
    height, width = canvas
    azimuth, elevation = np.radians(_ANGLES[view])
    away = -np.array(
        [math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)]
    )
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    rotation = np.stack([right, np.cross(away, right), away])
    focal = max(canvas) / 2 / math.tan(_FIELD_OF_VIEW / 2)
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    x, y, z = rotation @ (points - center).T
    reach = (1 - 2 * _BORDER) / 2 / focal  # of the picture, for a pixel of its size at a depth of 1
    distance = float(np.max(np.concatenate([np.abs(x) / (reach * width) - z, np.abs(y) / (reach * height) - z])))
    translation = -rotation @ center + (0.0, 0.0, distance)
    return PinholeCamera(
        fx=focal,
        fy=focal,
        cx=(width - 1) / 2,
        cy=(height - 1) / 2,
        rotation=(_triple(rotation[0]), _triple(rotation[1]), _triple(rotation[2])),
        translation=_triple(translation),
        canvas=canvas,
    )


def limb_color(joint: str) -> Color:
    """Return the RGB of the bone that ends in a joint of SMPL-24."""
    side, _, name = joint.rpartition("_")
    if not side or name in ("hip", "collar"):
        return MIDDLE
    leg = name in ("knee", "ankle", "foot")
    return (LEFT_LEG if leg else LEFT_ARM) if side == "left" else (RIGHT_LEG if leg else RIGHT_ARM)


_COLORS: list[Color] = [*(limb_color(name) for name in SMPL_24[1:]), MIDDLE, MIDDLE]
_RADII = np.array([_LIMB_RADIUS] * (len(SMPL_24) - 1) + [_HEAD_RADIUS, _NOSE_RADIUS])
"""Of the limbs that end in each joint but the root, of the head and the nose."""


def require_captions(motions: Sequence[Motion], captions: Sequence[str]) -> Sequence[str]:
    """Return a caption for each motion, all empty where there are none.

    Raises MotionError where there are no motions, or not as many captions.
    """
    if not motions or len(captions) not in (0, len(motions)):
        raise MotionError(f"got {len(motions)} motions and {len(captions)} captions, expected one each, or no captions")
    return [caption or " " for caption in captions] or [""] * len(motions)


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z


def _rasterize_stroke(canvas: np.ndarray, near: np.ndarray, far: np.ndarray, color: Color, width: int) -> None:
    """Rasterize a stroke with a white seam along it that separates it from those behind."""
    seam = width + 2 * _OVERSAMPLING
    length = float(np.linalg.norm(far - near))
    if length > seam:  # the seam's round ends stop before the stroke's: limbs stay connected
        inset = seam / 2 / length * (far - near)
        _rasterize_line(canvas, near + inset, far - inset, _WHITE, seam)
    elif not length:
        _rasterize_line(canvas, near, far, _WHITE, seam)
    _rasterize_line(canvas, near, far, color, width)


def _rasterize_line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, color: Color, width: int) -> None:
    near, far = _fixed_point(np.stack([start, end])).tolist()
    cv2.line(canvas, near, far, color, width, cv2.LINE_AA, _FRACTION_BITS)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(points, -_FARTHEST, _FARTHEST) * 2**_FRACTION_BITS).astype(np.int32)


def _lines(start: float, end: float, tile: float, offset: float) -> np.ndarray:
    """Positions of a floor's lines between two ends, moved by an offset."""
    first, last = math.ceil((start + offset) / tile), math.floor((end + offset) / tile)
    return np.arange(first, last + 1) * tile - offset


def _captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """Write a caption above a picture, smaller where it would not fit; an empty one adds no band."""
    if not caption:
        return picture
    width = picture.shape[1]
    band = np.full((_CAPTION, width, 3), _WHITE, np.uint8)
    room = width - 2 * _GAP
    size = max(int(_LETTERS * min(1, room / max(text_width(caption, _LETTERS), 1))), 1)
    draw_text(band, caption, (_GAP, _CAPTION - _GAP), size)
    return np.vstack([band, picture])


def _lay_out(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Put pictures of one height beside each other, so many in a row."""
    return _stack_rows([np.hstack(pictures[start : start + columns]) for start in range(0, len(pictures), columns)])


def _stack_rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures below each other, white where they are narrower than the widest."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, [(0, 0), (0, width - row.shape[1]), (0, 0)], constant_values=255) for row in rows])
