"""Background behind a person: seen in other frames, or inpainted from the surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.features.membrane import fill_smoothly
from posegen.features.morphology import grow_round
from posegen.features.patch_fill import fill_by_patches
from posegen.features.plain_fill import fill_plain_parts
from posegen.skeletons import OPENPOSE_18, joint_indices

_SURE = 40  # of 255: less is background
_HEIGHT = 384  # pixels to which taller pictures are shrunk to find shadows
# Shares of the picture's height:
_GROW = 0.016  # around the person, wherever its border is
_RIM = 0.012  # around the hole, from which nothing is copied
_REACH = 0.06  # how far from the person hair, fingers and shoes are searched
_SHADOW_REACH = 0.11  # how far from the person shadows on a wall are searched
_FLOOR_REACH = (0.07, 0.22)  # how far below and beside the feet shadows on the floor are searched
_FEET = joint_indices(["right_ankle", "left_ankle"], OPENPOSE_18)
_MIN_DIFFERENCE = 14.0  # levels by which hair or fingers differ from what is around
_MIN_SHADOW = 5.0  # levels by which shadows are darker
_MIN_REFLECTION = 8.0  # levels by which reflections differ
_AROUND_REFLECTION = 0.02  # of the height: around the mirror image of the person, in which they are searched
_DARKEST = 0.35  # of the brightness around: darker is no soft shadow
_TINT = 0.07  # by which the three channels of a shadow may be darkened differently
_MIRRORED = 0.3  # of a picture's height, at its upper and lower border, which are continued
_FRAME = 0.02  # of the height: lines of one colour around a picture are at most so wide
_ONE_COLOR, _OTHER_COLOR = 24.0, 40.0  # levels within the outermost line, and between it and what it frames
_MEDIAN_FRAMES = 48  # of a clip are looked at
_MIN_SEEN = 0.05  # of them must show a pixel of the background


def fill_background(
    image: np.ndarray, person: np.ndarray, pose: BodyPoses, known: np.ndarray | None = None
) -> np.ndarray:
    """Make up what is behind a person, (H, W, 3) uint8.

    Args:
        image: (H, W, 3) uint8 RGB.
        person: (H, W) uint8 probability × 255 of the person.
        pose: One pose; the shadow on the floor is searched at its feet.
        known: (H, W) bool: the rectangle that the picture takes; what lies beyond it is mirrored. Default: all.
    """
    hole = person_hole(image, person, pose)
    rows, columns = _without_frame(image, *_edges(hole.shape, known))
    inner = (slice(*rows), slice(*columns))
    avoid = grow_round(hole, _RIM * len(image))[inner]
    smooth, plain = fill_plain_parts(image[inner], hole[inner], avoid)
    filled = fill_by_patches(smooth, hole[inner] & ~plain, avoid | plain)
    return mirror_beyond(filled, hole.shape, (rows[0], columns[0]))


def continue_beyond(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Continue an image (H, W, 3) beyond the rectangle that is known, (H, W) bool, as `mirror_beyond` does."""
    rows, columns = _edges(image.shape, known)
    return mirror_beyond(image[slice(*rows), slice(*columns)], image.shape, (rows[0], columns[0]))


def mirror_beyond(picture: np.ndarray, size: tuple[int, ...], corner: tuple[int, int]) -> np.ndarray:
    """Continue a picture (h, w, 3) beyond its borders by its mirror image: no line is made up, and none is smeared.

    Above and below, the picture is mirrored in strips of its nearest part, so that no floor appears above a wall.

    Args:
        picture: What is known.
        size: Height and width of the result.
        corner: Row and column of the result at which the picture begins.
    """
    height, width = picture.shape[:2]
    ys, xs = (np.arange(length) - first for length, first in zip(size, corner, strict=False))
    strip = max(round(_MIRRORED * height), 1)
    above, below = _bounce(-1 - ys, strip), height - 1 - _bounce(ys - height, strip)
    rows = np.where(ys < 0, above, np.where(ys >= height, below, ys))
    columns = np.where((xs < 0) | (xs >= width), _bounce(xs, width), xs)
    return np.ascontiguousarray(picture[rows[:, None], columns])


def _bounce(places: np.ndarray, length: int) -> np.ndarray:
    """Return places that go to and fro within 0 to length - 1, each end twice in a row."""
    within = places % (2 * length)
    return np.minimum(within, 2 * length - 1 - within)


def _edges(size: tuple[int, ...], known: np.ndarray | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last but one row, and column, of the picture within a frame of a size."""
    if known is None or not known.any():
        return (0, size[0]), (0, size[1])
    rows, columns = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _without_frame(
    image: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last but one row, and column, within lines of one colour along the borders."""
    inner = image[slice(*rows), slice(*columns)].astype(np.float32)
    limit = round(_FRAME * len(image))
    ends = []
    for lines in (inner, inner.transpose(1, 0, 2)):
        starts = [_count_frame_lines(one, limit) for one in (lines, lines[::-1])]
        ends.append(starts if sum(starts) < len(lines) // 2 else [0, 0])
    (top, bottom), (left, right) = ends
    return (rows[0] + top, rows[1] - bottom), (columns[0] + left, columns[1] - right)


def _count_frame_lines(lines: np.ndarray, limit: int) -> int:
    """Return how many of the first lines (N, M, 3) are a frame: of one colour, and unlike what follows them."""
    if len(lines) < 4 * limit or np.ptp(lines[0].reshape(-1, 3), axis=0).max() > _ONE_COLOR:
        return 0
    unlike = np.abs(lines[: 2 * limit + 1] - lines[0].mean(axis=0)).max(axis=-1) > _OTHER_COLOR  # (2L + 1, M)
    others = np.flatnonzero(unlike.mean(axis=1) > 0.9)
    if not len(others) or others[0] > limit:
        return 0
    # The first other line is mixed with the frame, and where the picture was enlarged those beside it are too bright.
    return int(others[0]) + 1 + limit // 2


def median_background(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], *, smooth: bool = False) -> np.ndarray:
    """Return what is behind the person of a clip, (H, W, 3) uint8.

    Each pixel is the median of the frames in which the person is not near it; what (almost) no frame shows is made up.
    The camera is taken to stand still: of a moving one the medians are blurred.

    Args:
        images: Frames (H, W, 3) uint8 RGB.
        masks: For each frame (H, W) uint8 probability × 255 of the person.
        smooth: Make up smooth colours, which takes a tenth of the time, and not structures.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), _MEDIAN_FRAMES)).round().astype(int))
    frames = np.stack([images[index] for index in chosen])  # (T, H, W, 3)
    hidden = np.stack([person_hole(images[index], masks[index]) for index in chosen])  # (T, H, W)
    # Hidden pixels are sorted behind all others.
    ordered = np.sort(np.where(hidden[..., None], np.int16(256), frames.astype(np.int16)), axis=0)
    seen = (~hidden).sum(axis=0)  # (H, W)
    last = np.maximum(seen - 1, 0)
    middle = [np.take_along_axis(ordered, index[None, ..., None], axis=0)[0] for index in (last // 2, (last + 1) // 2)]
    unseen = seen < max(1.0, _MIN_SEEN * len(chosen))
    median = np.where((seen == 0)[..., None], frames[len(frames) // 2], (middle[0] + middle[1] + 1) // 2)
    background = median.astype(np.uint8)
    if smooth:
        filled = fill_smoothly(background.astype(np.float32), (~unseen).astype(np.float32))
        return filled.round().astype(np.uint8)
    return fill_by_patches(background, unseen)


def person_hole(image: np.ndarray, person: np.ndarray, pose: BodyPoses | None = None) -> np.ndarray:
    """Return the pixels (H, W) bool that a person covers or darkens.

    The mask is grown everywhere by a little, and further where what is next to it differs from a smooth background
    (hair, fingers, shoes), is like it but darker (shadows), or differs below the feet (reflections). Where the
    background is no smooth one, little is found.

    Args:
        image: (H, W, 3) uint8 RGB.
        person: (H, W) uint8 probability × 255 of the person.
        pose: One pose, to search shadows and reflections on the floor; none without it.
    """
    covered = person > _SURE
    hole = grow_round(covered, max(_GROW * len(image), 2))
    if not covered.any() or hole.all():
        return hole
    scale = min(_HEIGHT / len(image), 1.0)
    size = (max(round(scale * image.shape[1]), 1), max(round(scale * image.shape[0]), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    core = cv2.resize(covered.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    feet = _floor(core.shape, pose, scale)
    found = _find_remains(small, core, feet, _mirrored_below(core) & feet.any())
    return hole | (cv2.resize(found.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.4)


def _floor(shape: tuple[int, ...], pose: BodyPoses | None, scale: float) -> np.ndarray:
    """Return the surroundings (H, W) bool of the feet of a pose."""
    floor = np.zeros(shape, np.uint8)
    feet = np.zeros((0, 3)) if pose is None else np.concatenate([pose.keypoints[_FEET], pose.toes])
    for x, y, confidence in feet:
        if confidence > 0:
            radii = (round(_FLOOR_REACH[1] * shape[0]), round(_FLOOR_REACH[0] * shape[0]))
            cv2.ellipse(floor, (round(float(x) * scale), round(float(y) * scale)), radii, 0, 0, 360, 1, -1)
    return floor > 0


def _mirrored_below(core: np.ndarray) -> np.ndarray:
    """Return where a glossy floor mirrors a person, (H, W) bool, by the pixels (H, W) bool that they cover."""
    last = int(np.flatnonzero(core.any(axis=1))[-1])
    mirrored = np.zeros_like(core)
    rows = min(len(core) - 1 - last, last + 1)
    mirrored[last + 1 : last + 1 + rows] = core[last + 1 - rows : last + 1][::-1]
    return grow_round(mirrored, _AROUND_REFLECTION * len(core)) & (np.arange(len(core)) > last)[:, None]


def _find_remains(image: np.ndarray, core: np.ndarray, floor: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) bool around a person's core that are the person's, or in their shadow or reflection."""
    height = len(image)
    near, wide = grow_round(core, _REACH * height), grow_round(core, _SHADOW_REACH * height) | floor | mirrored
    known = (~wide).astype(np.float32)
    if known.mean() < 0.02:
        return core
    picture = cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32)
    around = _mean_known(picture, known, 6)
    rough = _mean_known(((picture - around) ** 2).sum(axis=-1, keepdims=True), known, 6)
    expected = fill_smoothly(np.concatenate([around, rough], axis=-1), known)
    spread = np.sqrt(np.maximum(expected[..., 3], 0))
    expected = np.maximum(expected[..., :3], 1)
    difference = np.sqrt(((picture - expected) ** 2).sum(axis=-1))
    differs = difference > _MIN_DIFFERENCE + 4 * spread
    reflects = mirrored & (difference > _MIN_REFLECTION + 2 * spread)
    ratio = (picture / expected).clip(0, 2)
    shade = ratio.mean(axis=-1)
    darker = (expected - picture).mean(axis=-1) > _MIN_SHADOW + 2 * spread
    shadow = darker & (shade > _DARKEST) & (np.ptp(ratio, axis=-1) < _TINT)
    remains = core | (near & differs) | (wide & shadow) | reflects
    remains = cv2.morphologyEx(remains.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | core
    _, parts = cv2.connectedComponents(remains)
    connected = np.isin(parts, np.unique(parts[core])) & (parts > 0)
    return grow_round(connected, 0.01 * height)


def _mean_known(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Return local means (H, W, C) of the known pixels alone."""
    total = cv2.GaussianBlur(values * known[..., None], (0, 0), sigma).reshape(values.shape)
    return total / np.maximum(cv2.GaussianBlur(known, (0, 0), sigma), 1e-6)[..., None]
