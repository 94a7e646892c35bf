"""One person's track out of those that an estimator found in a video, with its gaps filled.

After ACTOR's preparation of UESTC (Petrovich et al., 2021): the earliest track counts, of several at a time the one
whose box is nearest to where the person was last, and it is followed by the next when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posegen.datasets.motion_formats.source import as_tensor
from posegen.errors import MotionError, counted
from posegen.motion import rotations
from posegen.motion.motion import MAX_FRAMES

_BOX = 2  # a box' centre comes first


@dataclass(frozen=True, kw_only=True)
class Track:
    """Track of a person by an estimator, in n frames of a video."""

    frames: np.ndarray
    """(n,) int: increasing numbers of the frames in the video."""
    rotations: np.ndarray
    """(n, 24, 3, 3) local rotations in the camera's axes."""
    others: dict[str, np.ndarray]
    """(n, …) what else is known of each frame: ``bboxes`` (n, 4) with the centre first, ``orig_cam``, ``joints3d``."""


@dataclass(frozen=True)
class FilledTrack:
    """A track without gaps."""

    track: Track
    valid: np.ndarray
    """(n,) bool: False in frames that were filled in."""


def overlap(tracks: Sequence[Track]) -> int:
    """Return how many frames show more than one of the tracks."""
    frames = np.concatenate([track.frames for track in tracks])
    return int((np.unique(frames, return_counts=True)[1] > 1).sum())


def join_tracks(tracks: Sequence[Track], place: str) -> FilledTrack:
    """Return one person's track, whole. Raises MotionError where it would be too long.

    Args:
        tracks: All that an estimator found; fields of `others` that only some have are left out.
        place: The file, for the message.
    """
    known = set.intersection(*(set(track.others) for track in tracks))
    tracks = [_with(track, known) for track in tracks]
    return _fill(_join(_choose(tracks)), place)


def _with(track: Track, known: set[str]) -> Track:
    others = {name: value for name, value in track.others.items() if name in known}
    return Track(frames=track.frames, rotations=track.rotations, others=others)


def _choose(tracks: Sequence[Track]) -> list[Track]:
    """The tracks that follow each other, each without what is before the last one's end."""
    chosen: list[Track] = []
    rest = sorted(tracks, key=lambda track: (track.frames[0], -len(track.frames)))
    while rest:
        first = rest[0]
        rivals = [track for track in rest if track.frames[0] <= first.frames[-1]]
        best = first
        if chosen and "bboxes" in first.others:
            last = chosen[-1].others["bboxes"][-1, :_BOX]
            best = min(rivals, key=lambda track: np.linalg.norm(track.others["bboxes"][0, :_BOX] - last))
        chosen.append(best)
        rest = [_after(track, best.frames[-1]) for track in rest if track.frames[-1] > best.frames[-1]]
        rest.sort(key=lambda track: (track.frames[0], -len(track.frames)))
    return chosen


def _after(track: Track, frame: int) -> Track:
    """The part of a track behind a frame."""
    return _take(track, track.frames > frame)


def _take(track: Track, which: np.ndarray) -> Track:
    others = {name: value[which] for name, value in track.others.items()}
    return Track(frames=track.frames[which], rotations=track.rotations[which], others=others)


def _join(tracks: Sequence[Track]) -> Track:
    return Track(
        frames=np.concatenate([track.frames for track in tracks]),
        rotations=np.concatenate([track.rotations for track in tracks]),
        others={name: np.concatenate([track.others[name] for track in tracks]) for name in tracks[0].others},
    )


def _fill(track: Track, place: str) -> FilledTrack:
    """Fill what lies between frames: rotations by slerp, all else linearly."""
    count = int(track.frames[-1] - track.frames[0]) + 1
    if count > MAX_FRAMES:
        raise MotionError(f"{place}: frame_ids spans {counted(count, 'frame')}, expected at most {MAX_FRAMES:,}")
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    after = np.searchsorted(track.frames, frames)  # rows of the track
    before = np.searchsorted(track.frames, frames, side="right") - 1
    span = np.maximum(track.frames[after] - track.frames[before], 1)
    share = (frames - track.frames[before]) / span  # (count,)
    turned = rotations.slerp(
        as_tensor(track.rotations[before]), as_tensor(track.rotations[after]), as_tensor(share[:, None])
    )
    others = {}
    for name, value in track.others.items():
        weight = share.reshape(-1, *[1] * (value.ndim - 1))
        others[name] = (1 - weight) * value[before] + weight * value[after]
    return FilledTrack(Track(frames=frames, rotations=turned.numpy(), others=others), valid=before == after)
