"""Poses in pixels that other programs wrote as JSON: a file a frame in a folder, or one file for a video.

Each layout is an entry of `POSE_LAYOUTS`, told by its content. Files of a frame each are ordered by the numbers in
their names, and a number that is missing is a frame without a pose. Which joints they are is told by how many there
are, and where two skeletons have as many by which of them makes a body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posegen.errors import PerceptionError, counted, first_line
from posegen.skeletons import (
    COCO_17,
    HALPE_26,
    LIMBS,
    OPENPOSE_18,
    OPENPOSE_25,
    OPENPOSE_25B,
    convert_joints,
    joint_indices,
)

SKELETONS: dict[int, tuple[tuple[str, ...], ...]] = {
    17: (COCO_17,),
    18: (OPENPOSE_18, (*COCO_17, "neck")),
    25: (OPENPOSE_25, OPENPOSE_25B),
    26: (HALPE_26,),
    133: (COCO_17,),
    135: (OPENPOSE_25B,),
    136: (HALPE_26,),
}
"""Skeletons by the number of joints, the usual one first. Of COCO-WholeBody's 133, BODY_135's and Halpe's 136 joints
those of the body come first; face and hands are left out."""

MOST_OFF = 2
"""Files that a video may have more, or fewer, than frames: encoders lose a frame or two."""

_HAND = 21  # joints
_FARTHEST = 1e5  # no picture has so many pixels in a row
_UNSEEN = 0.3  # confidence below which COCO's estimators guess: they give all joints some place
_OTHER = 0.85  # of two skeletons the second one is it where its limbs are so much shorter than the first one's
_NORMALISED = 2.0  # no body is within two pixels
_CENTRED = 0.02  # share of coordinates below 0 from which they are in -1..1
_OUTSIDE, _MARGIN = 0.25, 0.05  # share of joints that lie out of the picture, by so much of its size
_ASPECT = 0.03  # by how much a canvas may be wider or narrower than the picture
_LIMB_ENDS = tuple(joint_indices(ends) for ends in zip(*LIMBS, strict=True))


class PoseFrame(NamedTuple):
    """People and keypoints that a file has for one frame."""

    number: int | None
    """Of the frame, where the content says it."""
    people: list[np.ndarray]
    """(J, 3) of each person: x, y, confidence."""
    canvas: tuple[float, float] | None = None
    """Height and width of the picture that the coordinates are in, where the content says it."""


@dataclass(frozen=True)
class PoseLayout:
    """A way to write people's joints down."""

    summary: str
    """Short description of the programs that write it."""
    matches: Callable[[Any], bool]
    """Return True if a file has this layout, by its content."""
    frames: Callable[[Any], Iterator[PoseFrame]]
    """The frames in a file. May raise what `_BROKEN` lists."""
    lists_all: bool = True
    """True if frames without a person are written, too."""


@dataclass(frozen=True)
class PoseFiles:
    """The poses of a video as they were written."""

    place: str
    """The file or folder."""
    people: dict[int, np.ndarray]
    """(P, 18, 3) of `OPENPOSE_18` by the number of the frame, in the order of numbers."""
    canvas: tuple[float, float] | None
    """Height and width of the picture that coordinates are in, where it is said."""
    count: int
    """Files, or frames in the one file."""
    lists_all: bool
    """True if frames without a person are listed."""


# ---- Layouts


def _has(*keys: str) -> Callable[[Any], bool]:
    """Return a predicate that is True for objects with one of these keys."""
    return lambda content: isinstance(content, dict) and any(key in content for key in keys)


def _list_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, list) and bool(content) and is_one(content[0])


def _triples(numbers: Any) -> np.ndarray:
    """Joints (J, 3) of flat numbers; what is null was not seen."""
    return np.array([0.0 if number is None else number for number in numbers], np.float64).reshape(-1, 3)


_OPENPOSE_KEYS = ("pose_keypoints_2d", "pose_keypoints", "joints")  # since OpenPose 1.3, before, and AlphaPose's copy
_OPENPOSE_PEOPLE = ("people", "bodies")


def _first_of(content: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return content[next((key for key in keys if key in content), keys[0])]


def _openpose_frame(content: Any, number: int | None = None) -> PoseFrame:
    people = _first_of(content, _OPENPOSE_PEOPLE)
    if any("_keypoints_2d" in "".join(one) and not any(key in one for key in _OPENPOSE_KEYS) for one in people):
        raise PerceptionError("it has hands or faces without a body, expected pose_keypoints_2d of each person")
    poses = [_triples(_first_of(one, _OPENPOSE_KEYS)) for one in people]
    size = content.get("canvas_height"), content.get("canvas_width")
    canvas = (float(size[0]), float(size[1])) if all(size) else None
    return PoseFrame(number, poses, canvas)


def _openpose_file(content: Any) -> Iterator[PoseFrame]:
    yield _openpose_frame(content)


def _openpose_list(content: Any) -> Iterator[PoseFrame]:
    yield from (_openpose_frame(frame, number) for number, frame in enumerate(content))


def _openpose_by_name(content: Any) -> Iterator[PoseFrame]:
    numbers = number_names(list(content), "the images")
    yield from (_openpose_frame(content[name], numbers[name]) for name in content)


def _coco(content: Any) -> Iterator[PoseFrame]:
    """COCO's results: an entry a person, with the image's number or name."""
    entries = content["annotations"] if isinstance(content, dict) else content
    images = list(dict.fromkeys(str(entry["image_id"]) for entry in entries))
    numbers = number_names(images, "image_id")
    people: dict[int, list[np.ndarray]] = {numbers[image]: [] for image in images}
    for entry in entries:
        people[numbers[str(entry["image_id"])]].append(_sure(_triples(entry["keypoints"])))
    yield from (PoseFrame(number, poses) for number, poses in people.items())


def _mmpose_frame(instances: Any, number: int | None = None) -> PoseFrame:
    people = []
    for one in instances:
        scores = np.ravel(np.array(one["keypoint_scores"], np.float64))
        points = np.array(one["keypoints"], np.float64).reshape(len(scores), -1)[:, :2]
        people.append(_sure(np.column_stack([points, scores])))
    return PoseFrame(number, people)


def _mmpose_file(content: Any) -> Iterator[PoseFrame]:
    yield _mmpose_frame(content)


def _mmpose_video(content: Any) -> Iterator[PoseFrame]:
    frames = content["instance_info"] if isinstance(content, dict) else content
    yield from (_mmpose_frame(frame["instances"], int(frame["frame_id"])) for frame in frames)


def _mmpose_lists(content: Any) -> Iterator[PoseFrame]:
    frames = content["predictions"] if isinstance(content, dict) else content
    yield from (_mmpose_frame(instances, number) for number, instances in enumerate(frames))


def _sure(pose: np.ndarray) -> np.ndarray:
    """Drop guesses, and keep confidences within 0 to 1."""
    pose[:, 2] = np.where(pose[:, 2] >= _UNSEEN, np.minimum(pose[:, 2], 1), 0)
    return pose


def _is_list_of_lists(content: Any) -> bool:
    return isinstance(content, list) and any(map(_has("keypoint_scores"), (one[0] for one in content if one))) and all(
        isinstance(one, list) for one in content
    )  # fmt: skip


POSE_LAYOUTS: tuple[PoseLayout, ...] = (
    PoseLayout("OpenPose, DWPose, ControlNet: a frame", _has(*_OPENPOSE_PEOPLE), _openpose_file),
    PoseLayout("ComfyUI: OpenPose's frames in a list", _list_of(_has(*_OPENPOSE_PEOPLE)), _openpose_list),
    PoseLayout("AlphaPose or MMPose: COCO's results", _list_of(_has("image_id")), _coco, lists_all=False),
    PoseLayout("COCO's annotations", _has("annotations"), _coco, lists_all=False),
    PoseLayout("MMPose: a video", lambda found: _has("instance_info")(found) or _list_of(_has("instances"))(found),
               _mmpose_video),
    PoseLayout("MMPose: an image", _list_of(_has("keypoint_scores")), _mmpose_file),
    PoseLayout("MMPose: predictions of images", lambda found: _has("predictions")(found) or _is_list_of_lists(found),
               _mmpose_lists),
    PoseLayout("AlphaPose in OpenPose's style, by image",
               lambda content: isinstance(content, dict) and any(map(_has(*_OPENPOSE_PEOPLE), content.values())),
               _openpose_by_name),
)  # fmt: skip
"""The first that matches is it."""

_BROKEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, IndexError)


# ---- Reading


def find_pose_files(folders: Sequence[Path]) -> Path | None:
    """Return the first of some folders or files with poses: a folder of JSON files, or one; None without."""
    for path in folders:
        if path.is_file() or (path.is_dir() and _json_files(path)):
            return path
    return None


def read_pose_files(path: Path) -> PoseFiles:
    """Read the poses of a video from a folder with a file a frame, or from one file.

    Raises:
        PerceptionError: A file is of no layout that is known, two are of one frame, or nobody is seen in any.
    """
    files = _json_files(path) if path.is_dir() else [path]
    if not files:
        raise PerceptionError(f"{path} has no files of OpenPose, expected *_keypoints.json")
    found = {file.name: _read_file(file) for file in files}
    lists_all = all(layout.lists_all for layout, _ in found.values() if layout)
    read = {name: frames or [PoseFrame(None, [])] for name, (_, frames) in found.items()}
    if len(files) == 1:
        frames = next(iter(read.values()))
        numbers = [frame.number if frame.number is not None else index for index, frame in enumerate(frames)]
    else:
        several = next((file for file in files if len(read[file.name]) != 1), None)
        if several:
            raise PerceptionError(
                f"{several} holds {counted(len(read[several.name]), 'frame')}, expected one of each file in {path}"
            )
        order = number_names(list(read), str(path))
        frames = [read[name][0] for name in order]
        numbers = list(order.values())
    skeleton = _choose_skeleton(frames, str(path))
    ordered = sorted(zip(numbers, frames, strict=True), key=lambda pair: pair[0])
    people = {number: _convert(frame.people, skeleton) for number, frame in ordered}
    if len(people) < len(frames):
        raise PerceptionError(f"{path} has several entries of one frame, expected one of each")
    canvases = {frame.canvas for frame in frames if frame.canvas}
    if len(canvases) > 1:
        raise PerceptionError(f"{path} is of pictures of several sizes, {_size_list(canvases)}: expected one video")
    return PoseFiles(str(path), people, canvases.pop() if canvases else None, len(frames), lists_all)


def _read_file(file: Path) -> tuple[PoseLayout | None, list[PoseFrame]]:
    """Read a file of any of `POSE_LAYOUTS`; an empty list is of none. Raises PerceptionError for others."""
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))
        layout = next((layout for layout in POSE_LAYOUTS if layout.matches(content)), None)
        if layout is None and content != []:
            raise PerceptionError(f"expected one of {'; '.join(layout.summary for layout in POSE_LAYOUTS)}")
        frames = list(layout.frames(content)) if layout else []
    except PerceptionError as error:
        raise PerceptionError(f"{file} is not a file of people's poses: {error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise PerceptionError(f"{file} is damaged, or no JSON: {first_line(error)}") from error
    except _BROKEN as error:
        raise PerceptionError(f"{file} is not a file of people's poses: {error!r}") from error
    for frame in frames:
        for pose in frame.people:
            if not (np.abs(pose) <= _FARTHEST).all():  # nor is NaN
                raise PerceptionError(f"{file} is not a file of people: it has joints that lie in no picture")
            if len(pose) not in SKELETONS:
                what = "the joints of a hand" if len(pose) == _HAND else f"{counted(len(pose), 'joint')} a person"
                raise PerceptionError(f"{file} has {what}, expected a body of one of {sorted(SKELETONS)} joints")
    return layout, frames


def _json_files(folder: Path) -> list[Path]:
    """OpenPose's files, or without one all JSON files."""
    found = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    return [path for path in found if path.name.endswith("_keypoints.json")] or found


def number_names(names: Sequence[str], place: str) -> dict[str, int]:
    """Return the number of each name, in the order of numbers: ``frame_10`` comes after ``frame_9``.

    Of several numbers in a name it is the last one that tells all names apart.

    Raises:
        PerceptionError: No number tells them apart.
    """
    found = [re.findall(r"\d+", name.removesuffix(".json")) for name in names]
    if len(names) == 1:
        return {names[0]: int(found[0][-1]) if found[0] and len(found[0][-1]) < 18 else 0}
    if len({len(numbers) for numbers in found}) == 1:
        for column in reversed(list(zip(*found, strict=True))):
            numbers = [int(number[:18]) for number in column]
            if len(set(numbers)) == len(names):
                return dict(sorted(zip(names, numbers, strict=True), key=lambda pair: pair[1]))
    raise PerceptionError(f"{place}: no number in the names orders the frames, of {names[0]}, {names[1]} and others")


def _convert(people: Sequence[np.ndarray], skeleton: Mapping[int, tuple[str, ...]]) -> np.ndarray:
    """People's joints as (P, 18, 3) of `OPENPOSE_18`."""
    poses = [convert_joints(pose[: len(skeleton[len(pose)])], skeleton[len(pose)]) for pose in people]
    return np.stack(poses) if poses else np.zeros((0, len(OPENPOSE_18), 3))


def _choose_skeleton(frames: Sequence[PoseFrame], place: str) -> dict[int, tuple[str, ...]]:
    """The skeleton of each number of joints: limbs of a body are shorter than lines from joint to joint of another."""
    poses: dict[int, list[np.ndarray]] = {}
    for frame in frames:
        for pose in frame.people:
            poses.setdefault(len(pose), []).append(pose)
    if len(poses) > 1:
        raise PerceptionError(
            f"{place} has people of {' and '.join(map(str, sorted(poses)))} joints, expected one skeleton"
        )
    chosen = {}
    for count, found in poses.items():
        usual, *others = SKELETONS[count]
        lengths = {skeleton: _limb_length(found, skeleton) for skeleton in (usual, *others)}
        other = min(others, key=lambda skeleton: lengths[skeleton], default=usual)
        chosen[count] = other if lengths[other] < _OTHER * lengths[usual] else usual
    return chosen


def _limb_length(poses: Sequence[np.ndarray], skeleton: tuple[str, ...]) -> float:
    """Mean length of the limbs that were seen if the joints are those of a skeleton."""
    joints = _convert(poses, {len(poses[0]): skeleton})
    near, far = (joints[:, ends] for ends in _LIMB_ENDS)
    seen = (near[..., 2] > 0) & (far[..., 2] > 0)
    return float(np.linalg.norm(near - far, axis=-1)[seen].mean()) if seen.any() else np.inf


def _size_list(canvases: set[tuple[float, float]]) -> str:
    return ", ".join(sorted(f"{width:g}×{height:g}" for height, width in canvases))


# ---- Beside a video


def people_of_frames(
    poses: PoseFiles, num_frames: int, source: str, first: int | None = None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the people (P, 18, 3) of each frame of a video, and what had to be guessed, one line each.

    Frames whose number is missing show nobody.

    Args:
        poses: The files.
        num_frames: Of the video.
        source: The video, for messages.
        first: Number of the video's first frame. By default 0; 1 where numbers end with that of frames; any where there
            are as many as frames.

    Raises:
        PerceptionError: There are more than `MOST_OFF` files more, or fewer, than frames.
    """
    low, high = min(poses.people), max(poses.people)
    if first is None:
        as_many = high >= num_frames and abs(high - low + 1 - num_frames) <= MOST_OFF
        first = low if (low == 1 and high == num_frames) or (low > 1 and as_many) else 0
    more = high - first + 1 - num_frames
    if more > MOST_OFF or (more < -MOST_OFF and poses.lists_all):
        raise PerceptionError(
            f"{poses.place} has {poses.count} OpenPose files or entries, numbered {low} to {high}, expected one for "
            f"each frame of {source}, which has {num_frames}: are they of another video, or of another frame rate?"
        )
    nobody = np.zeros((0, len(OPENPOSE_18), 3))
    people = [poses.people.get(first + frame, nobody) for frame in range(num_frames)]
    notes = []
    if more > 0:
        notes.append(
            f"{poses.place} has poses of {counted(num_frames + more, 'frame')}, and the video has {num_frames}: "
            "the rest is left out"
        )
    missing = [str(first + frame) for frame in range(num_frames) if first + frame not in poses.people]
    if missing:
        some = ", ".join(missing[:5]) + ", …" * (len(missing) > 5)
        notes.append(
            f"{poses.place} has no poses of {len(missing)} of {counted(num_frames, 'frame')} "
            f"({some}): the pose is missing there"
        )
    return people, tuple(notes)


def to_pixels(
    people: Sequence[np.ndarray], poses: PoseFiles, size: tuple[int, int] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return people with coordinates in pixels of a picture, and what had to be changed, one line each.

    Coordinates in 0..1 or -1..1 are told by their values; those on another canvas are scaled to the picture.

    Args:
        people: (P, 18, 3) of each frame.
        poses: The files that they are from.
        size: Height and width of the picture; None where nobody knows them: then coordinates are the canvas's.

    Raises:
        PerceptionError: They are of a picture of another size or shape, or nobody knows of which one.
    """
    seen = [pose[..., :2][pose[..., 2] > 0] for pose in people]
    points = np.concatenate(seen) if seen else np.zeros((0, 2))  # (N, 2)
    if not len(points):
        return list(people), ()
    target = size or poses.canvas
    low, factor, name = 0.0, np.ones(2), ""
    if np.abs(points).max() <= _NORMALISED:
        centred = (points < -1e-3).mean() > _CENTRED
        name = "-1..1" if centred else "0..1"
        if target is None:
            raise PerceptionError(
                f"{poses.place}: coordinates lie in {name}, and no canvas_width and canvas_height say of which "
                "picture: write them in pixels (OpenPose: --keypoint_scale 0)"
            )
        low, factor = (-1.0 if centred else 0.0), np.array(target[::-1], float) / (2 if centred else 1)
        note = f"{poses.place}: coordinates lie in {name}: scaled to the picture, {target[1]:g}×{target[0]:g}"
    elif size and poses.canvas and tuple(size) != tuple(poses.canvas):
        factor = np.array(size[::-1], float) / poses.canvas[::-1]
        note = (
            f"{poses.place}: poses are of a canvas of {poses.canvas[1]:g}×{poses.canvas[0]:g}: "
            f"scaled to the picture, {size[1]}×{size[0]}"
        )
        if abs(factor[0] / factor[1] - 1) > _ASPECT:
            raise PerceptionError(
                f"{note.partition(': scaled')[0]} and the picture of {size[1]}×{size[0]}, of another shape: "
                "it was cropped or padded, write the poses of the video itself"
            )
    else:
        _check_inside(points, target, poses.place)
        return list(people), ()
    moved = [np.concatenate([(pose[..., :2] - low) * factor, pose[..., 2:]], axis=-1) for pose in people]
    for pose in moved:
        pose[pose[..., 2] <= 0] = 0
    return moved, (note,)


def _check_inside(points: np.ndarray, size: tuple[float, float] | None, place: str) -> None:
    """Raise PerceptionError where many joints lie out of the picture."""
    if size is None:
        return
    height, width = size
    margin = np.array([width, height]) * _MARGIN
    outside = ((points < -margin) | (points > np.array([width, height]) + margin)).any(axis=1).mean()
    if outside > _OUTSIDE:
        x, y = points.max(axis=0)
        raise PerceptionError(
            f"{place}: {outside:.0%} of the joints lie out of the picture of {width:g}×{height:g}, as far as "
            f"({x:.0f}, {y:.0f}): they are of a picture of another size, write canvas_width and canvas_height of it"
        )
