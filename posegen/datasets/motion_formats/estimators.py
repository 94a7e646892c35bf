"""Files of VIBE and PARE: a joblib pickle ``{track: {field: array}}`` per video, or PARE's one file per image.

Fields that are read: ``pose`` or ``pred_pose`` (see `posegen.datasets.motion_formats.smpl_poses`), ``frame_ids`` (n,),
``bboxes`` (n, 4) with the centre first, ``orig_cam`` (n, 4) sx, sy, tx, ty of the weak camera in the whole image, and
``joints3d`` or ``smpl_joints3d``, (n, 49, 3) of `VIBE_49` or (n, 24, 3) of SMPL. Axes are the camera's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    as_tensor,
    check_numbers,
    known_fps,
    pose_body,
    put_on_floor,
    read_motion_pickle,
    to_array,
)
from posegen.datasets.motion_formats.tracks import Track, join_tracks
from posegen.errors import MotionError, counted
from posegen.io.pickles import SUFFIXES
from posegen.motion.anatomy import HEIGHT, REST, body_height
from posegen.motion.kinematics import estimate_rest_skeleton
from posegen.motion.motion import Motion
from posegen.skeletons import VIBE_49

_POSES = ("pose", "pred_pose")
_JOINTS = ("joints3d", "smpl_joints3d")
_FIELDS: dict[str, tuple[int | None, ...]] = {"bboxes": (None, 4), "orig_cam": (None, 4)}
_FOCAL, _IMAGE = 500.0, 540.0  # pixels: what ACTOR takes for the focal length and the image's size
_GENERIC = ("vibe_output", "pare_output")  # files that are called so in a folder of the video's name


def is_vibe(probe: Probe) -> bool:
    """Return True if a file has tracks that are not PARE's."""
    return bool(_tracks(probe.pickled)) and not is_pare(probe)


def is_pare(probe: Probe) -> bool:
    """Return True if a file has tracks with PARE's fields, or a folder has one such file per image."""
    if probe.path.is_dir():
        images = _images(probe.path)
        return bool(images) and "pred_pose" in _mapping(read_motion_pickle(images[0]))
    return any(
        "smpl_joints2d" in track or "pred_pose" in track or getattr(track.get("pose"), "ndim", 0) == 4
        for track in _tracks(probe.pickled).values()
    )


def find_vibe(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion of one person in a video."""
    if path.is_dir():
        return [_source(path, path.name, _images(path), partial(load_images, path, options))]
    name = path.parent.name if path.stem in _GENERIC else path.stem
    return [_source(path, name, [path], partial(load_tracks, path, options))]


def _source(path: Path, name: str, files: Sequence[Path], load: partial[Motion]) -> MotionSource:
    return MotionSource(name=name, source=str(path), files=tuple(files), load=load)


def load_tracks(path: Path, options: ImportOptions) -> Motion:
    """Read a video's file. Raises MotionError, naming file and field."""
    return motion_of_tracks(read_tracks(path), options, str(path))


def read_tracks(path: Path) -> list[Track]:
    """Read all tracks of a video's file. Raises MotionError, naming file and field."""
    content = read_motion_pickle(path)
    tracks = _mapping(content)
    if not tracks or not all(isinstance(track, dict) for track in tracks.values()):
        raise MotionError(f"{path}: holds {_describe(content)}, expected tracks, {{1: {{'pose': …, 'frame_ids': …}}}}")
    return [_read_track(fields, f"{path}: track {name}") for name, fields in tracks.items()]


def _read_track(fields: Mapping[str, Any], place: str) -> Track:
    rotations = read_rotations(fields, place)
    frames = check_numbers(_need(fields, "frame_ids", place), (len(rotations),), place, "frame_ids")
    if not np.array_equal(frames, frames.astype(np.int64)) or (np.diff(frames) <= 0).any():
        raise MotionError(f"{place}: frame_ids are not whole numbers that increase")
    return Track(frames=frames.astype(np.int64), rotations=rotations, others=_read_others(fields, len(frames), place))


def read_rotations(fields: Mapping[str, Any], place: str) -> np.ndarray:
    """Return local rotations (n, 24, 3, 3) of a track's pose."""
    name = next((name for name in _POSES if fields.get(name) is not None), _POSES[0])
    return read_pose(_need(fields, name, place), place, name)


def _need(fields: Mapping[str, Any], name: str, place: str) -> Any:
    if fields.get(name) is None:
        raise MotionError(f"{place}: {name} is missing, there are {', '.join(map(str, fields)) or 'no fields'}")
    return fields[name]


def _read_others(fields: Mapping[str, Any], frames: int, place: str) -> dict[str, np.ndarray]:
    others = {
        name: check_numbers(fields[name], (frames, *shape[1:]), place, name)
        for name, shape in _FIELDS.items()
        if fields.get(name) is not None
    }
    for name in _JOINTS:
        if fields.get(name) is not None:
            joints = check_numbers(fields[name], (frames, None, 3), place, name)
            if joints.shape[1] not in (24, len(VIBE_49)):
                raise MotionError(
                    f"{place}: {name} has {counted(joints.shape[1], 'joint')}, expected 24 or {len(VIBE_49)}"
                )
            others["joints3d"] = joints
    return others


def motion_of_tracks(tracks: Sequence[Track], options: ImportOptions, place: str) -> Motion:
    """Return one person's motion on the floor of the world. Raises MotionError where what it takes is missing."""
    fps = known_fps(options, place)
    filled = join_tracks(tracks, place)
    track = filled.track
    rest, residual = find_rest(track.rotations, track.others.get("joints3d"), filled.valid)
    trans = root_places(track, options, place)
    motion = put_on_floor(pose_body(track.rotations, trans, rest, fps))
    meta: dict[str, Any] = {"source": place, "tracks": len(tracks), "root": options.root}
    if residual is not None:
        meta["rest_residual"] = residual
    return replace(motion, valid=filled.valid, meta=meta)


def find_rest(
    rotations: np.ndarray, joints: np.ndarray | None, valid: np.ndarray | None = None
) -> tuple[np.ndarray, float | None]:
    """Return the rest skeleton (24, 3) of a body, and its residual in metres where it is estimated from joints.

    Without SMPL's joints it is posegen's own, as tall as VIBE's joints say, or of 1.70 m where there are none.

    Args:
        rotations: (n, 24, 3, 3) local.
        joints: (n, 24 or 49, 3) metres, if they are known.
        valid: (n,) bool: frames that were seen; by default all. What is filled in has other bones.
    """
    if joints is None:
        return REST, None
    if valid is not None:
        rotations, joints = rotations[valid], joints[valid]
    if joints.shape[1] == 24:
        found = estimate_rest_skeleton(as_tensor(rotations), as_tensor(joints))
        return found.joints.numpy(), found.residual
    return REST * (body_height(joints, VIBE_49) / HEIGHT), None


def root_places(track: Track, options: ImportOptions, place: str) -> np.ndarray:
    """Return where the root is (n, 3) in the camera's axes, in metres, from the first frame's place.

    The weak camera's scale gives a depth f·h3d / h2d (ACTOR), with the heights of a body in the world and in an image
    of 540 pixels. The body's extent is in both and cancels: z = 500 / (270 sx).
    """
    if options.root == "zero":
        return np.zeros((len(track.frames), 3))
    if "orig_cam" not in track.others:
        raise MotionError(f"{place}: orig_cam is missing, which a root by weak-camera needs (--root zero does not)")
    scale, _, x, y = track.others["orig_cam"].T
    if (scale <= 0).any():
        raise MotionError(f"{place}: orig_cam has a scale of {scale.min():.4g}, expected positive ones")
    places = np.stack([x, y, _FOCAL / (_IMAGE / 2 * scale)], axis=-1)
    return places - places[0]


# ---- PHALP's files: people by frame


def is_phalp(probe: Probe) -> bool:
    """Return True if a file lists, by picture, the people that PHALP or 4D-Humans found."""
    frames = list(_mapping(probe.pickled).values())
    return bool(frames) and all(isinstance(frame, dict) and {"smpl", "time"} <= frame.keys() for frame in frames)


def find_phalp(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion of one person in a video."""
    return [_source(path, path.stem, [path], partial(load_phalp, path, options))]


def load_phalp(path: Path, options: ImportOptions) -> Motion:
    """Read a file of PHALP's. Raises MotionError, naming file and field."""
    motion = motion_of_tracks(read_phalp(path), replace(options, root="zero"), str(path))
    return replace(motion, notes=("the person stays at one place: PHALP's cameras are not read",))


def read_phalp(path: Path) -> list[Track]:
    """Read all tracks of PHALP's file: in each picture the bodies of the people with these numbers."""
    seen: dict[int, list[tuple[int, np.ndarray, np.ndarray | None]]] = {}
    for name, frame in _mapping(read_motion_pickle(path)).items():
        place = f"{path}: {name}"
        bodies = frame.get("smpl") if isinstance(frame, dict) else None
        if not isinstance(bodies, list):
            raise MotionError(f"{place}: smpl is missing, expected a list of bodies")
        people = next(
            (frame[key] for key in ("tid", "tracked_ids") if _fits(frame.get(key), bodies)), range(len(bodies))
        )
        boxes = frame.get("bbox") if _fits(frame.get("bbox"), bodies) else [None] * len(bodies)
        for person, body, box in zip(people, bodies, boxes, strict=True):
            matrices = [
                check_numbers(to_array(_need(_mapping(body), part, place), place, part), (None, 3, 3), place, part)
                for part in ("global_orient", "body_pose")
            ]
            corner = None if box is None else check_numbers(box, (4,), place, "bbox")
            seen.setdefault(int(person), []).append((int(frame["time"]), np.concatenate(matrices), corner))
    if not seen:
        raise MotionError(f"{path}: smpl has 0 people in all pictures")
    return [_phalp_track(sorted(rows, key=lambda row: row[0]), f"{path}: person {tid}") for tid, rows in seen.items()]


def _fits(values: Any, bodies: list[Any]) -> bool:
    return isinstance(values, list | np.ndarray) and len(values) == len(bodies)


def _phalp_track(rows: Sequence[tuple[int, np.ndarray, np.ndarray | None]], place: str) -> Track:
    frames = np.array([row[0] for row in rows])
    if (np.diff(frames) <= 0).any():
        raise MotionError(f"{place}: time is not a whole number that increases")
    if len({len(row[1]) for row in rows}) > 1:
        raise MotionError(f"{place}: body_pose has other joints in some frames, expected 23")
    corners = [row[2] for row in rows if row[2] is not None]  # left, top, width, height
    boxes = np.array(corners) + np.multiply(np.array(corners)[:, [2, 3, 0, 1]], (0.5, 0.5, 0, 0)) if corners else None
    others = {"bboxes": boxes} if boxes is not None and len(boxes) == len(rows) else {}
    return Track(frames=frames, rotations=read_pose(np.stack([row[1] for row in rows]), place, "smpl"), others=others)


# ---- PARE's folders: one pickle an image


def load_images(folder: Path, options: ImportOptions) -> Motion:
    """Read a folder of files, one an image. Raises MotionError, naming file and field."""
    return motion_of_tracks([read_images(folder)], options, str(folder))


def read_images(folder: Path) -> Track:
    """Read one person's track from files of an image each, in the order of their numbers.

    In the first it is whoever has the largest box, then the one whose box is nearest. Images without anyone are gaps.
    """
    files = _images(folder)
    tracks: list[Track] = []
    for frame, path in zip(_frame_numbers(files), files, strict=True):
        people = _mapping(read_motion_pickle(path))
        count = len(_need(people, "pred_pose", str(path)))
        if count == 0:
            continue
        others = _read_others(people, count, str(path))
        which = _choose_person(others.get("bboxes"), tracks)
        tracks.append(
            Track(
                frames=np.array([frame]),
                rotations=read_rotations(people, str(path))[which : which + 1],
                others={name: value[which : which + 1] for name, value in others.items()},
            )
        )
    if not tracks:
        raise MotionError(f"{folder}: pred_pose has 0 people in all {len(files)} images")
    known = set.intersection(*(set(track.others) for track in tracks))
    return Track(
        frames=np.concatenate([track.frames for track in tracks]),
        rotations=np.concatenate([track.rotations for track in tracks]),
        others={name: np.concatenate([track.others[name] for track in tracks]) for name in sorted(known)},
    )


def _choose_person(boxes: np.ndarray | None, tracks: Sequence[Track]) -> int:
    if boxes is None:
        return 0
    if not tracks or "bboxes" not in tracks[-1].others:
        return int(boxes[:, 2:].prod(axis=1).argmax())
    return int(np.linalg.norm(boxes[:, :2] - tracks[-1].others["bboxes"][0, :2], axis=1).argmin())


def _images(folder: Path) -> list[Path]:
    """The pickles of a folder in the order of the numbers at the ends of their names: 9 comes before 10."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return sorted(files, key=lambda path: (_frame_number(path) is None, _frame_number(path) or 0, path.name))


def _frame_number(path: Path) -> int | None:
    """The number at the end of a file's name."""
    match = re.search(r"(\d{1,9})$", path.stem)
    return int(match[1]) if match else None


def _frame_numbers(files: Sequence[Path]) -> list[int]:
    """The numbers at the ends of the files' names, where they increase; otherwise 0, 1, 2, …"""
    numbers = [number for number in map(_frame_number, files) if number is not None]
    increasing = len(numbers) == len(files) and all(a < b for a, b in pairwise(numbers))
    return numbers if increasing else list(range(len(files)))


def _tracks(content: Any) -> dict[Any, dict[str, Any]]:
    """The tracks of a file, none where it is something else."""
    tracks = _mapping(content)
    return tracks if all(isinstance(track, dict) and _has_pose(track) for track in tracks.values()) else {}


def _has_pose(track: Mapping[str, Any]) -> bool:
    return any(name in track for name in (*_POSES, "frame_ids", "orig_cam", "bboxes"))


def _mapping(content: Any) -> dict[Any, Any]:
    return content if isinstance(content, dict) else {}


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        return f"the fields {', '.join(map(str, list(content)[:8]))}"
    return type(content).__name__
