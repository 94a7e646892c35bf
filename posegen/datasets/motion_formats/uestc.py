"""UESTC RGB-D (Ji et al., 2018) as ACTOR takes it: VIBE's tracks of 25,600 videos, refined, in one pickle.

``info/names.txt`` has names ``a{action}_d{view}_p{person}_c{side}_color.avi``, ``info/num_frames_min.txt`` how many
frames of each count, ``info/action_classes.txt`` the actions; ``vibe_cache_refined.pkl`` lists of ``pose`` (T, 72),
``joints3d`` and ``orig_cam``. Views are turned to the front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posegen.datasets.dataset import Split
from posegen.datasets.motion_formats.estimators import find_rest, root_places
from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.source import (
    ImportOptions,
    MotionSource,
    Probe,
    check_lists,
    check_numbers,
    known_fps,
    pose_body,
    put_on_floor,
    read_motion_pickle,
)
from posegen.datasets.motion_formats.tracks import Track
from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.motion import Motion
from posegen.skeletons import VIBE_49

NUM_ACTIONS = 40
NUM_PEOPLE = 118
LEAST_TRAIN_FRAMES = 45
"""Shorter clips of the people to learn from are left out: three quarters of the 60 frames that ACTOR learns."""

TRAIN_PEOPLE = frozenset((
    1, 2, 6, 12, 13, 16, 21, 24, 28, 29, 30, 31, 33, 35, 39, 41, 42, 45, 47, 50, 52, 54, 55, 57, 59, 61, 63, 64, 67,
    69, 70, 71, 73, 77, 81, 84, 86, 87, 88, 90, 91, 93, 96, 99, 102, 103, 104, 107, 108, 112, 113,
))  # fmt: skip
"""The dataset's cross-subject protocol, by ACTOR's list; the other 67 people are held out."""

_CACHE = "vibe_cache_refined.pkl"
_LISTS = ("names", "num_frames_min", "action_classes")
_NAME = re.compile(r"a(\d+)_d(\d+)_p(\d+)_c(\d+)_color(?:\.\w+)?")
_ALL_AROUND = 8  # the view of a camera that goes around: it has no front


def is_uestc(probe: Probe) -> bool:
    """Return True if a folder has the pickle and the names."""
    return (probe.path / _CACHE).is_file() and (probe.path / "info" / "names.txt").is_file()


def find_uestc(path: Path, options: ImportOptions) -> list[MotionSource]:
    """Find all clips. Raises MotionError where lists are missing or do not fit together."""
    names, counts, actions = (_read_lines(path, name) for name in _LISTS)
    if not all(count.strip().isdecimal() for count in counts):
        raise MotionError(f"{path / 'info' / 'num_frames_min.txt'} has lines that are no numbers of frames")
    if len(actions) != NUM_ACTIONS:
        raise MotionError(f"{path / 'info' / 'action_classes.txt'} has {len(actions)} lines, expected {NUM_ACTIONS}")
    if not (path / _CACHE).is_file():
        raise MotionError(f"{path}: {_CACHE} is missing")
    cache = read_motion_pickle(path / _CACHE)
    fields = ["pose", "joints3d", "orig_cam"]
    missing = [name for name in fields if not isinstance(cache, dict) or name not in cache]
    if missing:
        raise MotionError(f"{path / _CACHE}: {', '.join(missing)} is missing, expected lists of {', '.join(fields)}")
    check_lists({"names.txt": names, "num_frames_min.txt": counts} | {f: cache[f] for f in fields}, str(path))
    return [
        _source(path, name, int(counts[index]), {f: cache[f][index] for f in fields}, actions, options)
        for index, name in enumerate(names)
    ]


def _list_file(path: Path, name: str) -> Path:
    return path / "info" / f"{name}.txt"


def _read_lines(path: Path, name: str) -> list[str]:
    file = _list_file(path, name)
    if not file.is_file():
        raise MotionError(f"{path}: info/{name}.txt is missing")
    try:
        return file.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise MotionError(f"{file} is no text: {error.reason}") from None


def _source(
    path: Path, name: str, count: int, fields: dict[str, Any], actions: list[str], options: ImportOptions
) -> MotionSource:
    match = _NAME.fullmatch(name.strip())
    place = f"{path}: {name}"
    if match is None:
        raise MotionError(f"{place} is no name of a video, expected one like a0_d1_p001_c1_color.avi")
    action, view, person, side = map(int, match.groups())
    if action >= NUM_ACTIONS or not 1 <= person <= NUM_PEOPLE or view > _ALL_AROUND:
        raise MotionError(f"{place} has an action, a view or a person that the dataset does not have")
    clip = _Clip(
        place=place,
        count=count,
        turn=view if side != 1 else 0,
        label=action,
        label_name=_plain(actions[action]),
        split="train" if person in TRAIN_PEOPLE else "test",
    )
    return MotionSource(
        name=name.strip().removesuffix(".avi"),
        source=place,
        files=(path / _CACHE, *(_list_file(path, name) for name in _LISTS)),
        load=partial(_load, fields, clip, options),
        person=f"p{person:03}",
        action=clip.label_name,
        split=clip.split,
    )


def _plain(name: str) -> str:
    """An action's name as posegen's own are."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class _Clip:
    """Entry of a clip in the lists."""

    place: str
    count: int
    """Frames that count."""
    turn: int
    """Views from the front."""
    label: int
    label_name: str
    split: Split


def _load(fields: dict[str, Any], clip: _Clip, options: ImportOptions) -> Motion:
    place = clip.place
    if clip.turn == _ALL_AROUND:
        raise MotionError(f"{place} was filmed from all around and has no front, expected views 0 to 7")
    local = read_pose(fields["pose"], place, "pose")[: clip.count]
    frames = len(local)
    least = LEAST_TRAIN_FRAMES if clip.split == "train" else 1
    if frames < least:
        raise MotionError(f"{place}: pose has {frames} frames that count, expected at least {least} to learn from")
    joints = check_numbers(fields["joints3d"][: clip.count], (frames, len(VIBE_49), 3), place, "joints3d")
    cameras = check_numbers(fields["orig_cam"][: clip.count], (frames, 4), place, "orig_cam")
    rest, _ = find_rest(local, joints)
    track = Track(frames=np.arange(frames), rotations=local, others={"orig_cam": cameras})
    front = _turn(clip.turn)
    root = front @ local[:, :1]
    trans = root_places(track, options, place) @ front.T
    body = pose_body(np.concatenate([root, local[:, 1:]], axis=1), trans, rest, known_fps(options, place))
    meta = {"source": place, "root": options.root, "view": clip.turn}
    return replace(put_on_floor(body), label=clip.label, label_name=clip.label_name, meta=meta)


def _turn(view: int) -> np.ndarray:
    """Return the rotation (3, 3) of a view to the front: 45 degrees per view about y, in the camera's axes."""
    axis = torch.tensor((0.0, 1.0, 0.0), dtype=torch.float64)
    return rotations.twist(axis, torch.tensor(-view * torch.pi / 4, dtype=torch.float64)).numpy()
