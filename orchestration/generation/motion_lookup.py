"""Motions by what people call them: files, videos, and names in datasets of motions and of clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestration.data.video_files import VIDEO_SUFFIXES
from orchestration.training.runs import dataset_of
from posegen.datasets.clips import ClipDataset
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError, PosegenError
from posegen.io.storage import StorageFolder
from posegen.motion.editing import stand_at
from posegen.motion.motion import Motion, read_motion


@dataclass(frozen=True, kw_only=True)
class LookupSettings:
    """Where motions are looked up by name."""

    motions: str = ""
    """Dataset in which motions are looked up; by default the one that the run was trained on."""
    clips: str = ""
    """Dataset of clips: BlazePose finds their motion in three dimensions, as that of videos."""


class MotionFinder:
    """Finds motions; datasets are opened when a name is looked up in them.

    Args:
        run: Its motions are known where no others are given.
        ground: Height y of the ground in them; those from elsewhere are moved up or down to stand on it.
        lookup: Where names are looked up.
    """

    def __init__(self, run: str, ground: float, lookup: LookupSettings = LookupSettings()):
        self._run, self._ground, self._lookup = run, ground, lookup

    @cached_property
    def _motions(self) -> MotionDataset:
        return MotionDataset(self._lookup.motions or dataset_of(self._run))

    @cached_property
    def _clips(self) -> ClipDataset:
        return ClipDataset(self._lookup.clips)

    def find(self, name: str) -> Motion:
        """Read a motion's file, .npz, lift a video's or a clip's person, or read a motion of the dataset.

        Raises ValueError (DatasetError, MotionError, VideoError) or OSError where there is no such motion or nobody is
        seen in it.
        """
        path = Path(name)
        if path.suffix.lower() == ".npz":
            return stand_at(read_motion(StorageFolder(path.parent), path.name), self._ground)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            from posegen.perception.lifting import lift_video

            return stand_at(lift_video(path), self._ground)
        return self._find_clip(name) if self._lookup.clips else self._find_motion(name)

    def _find_motion(self, name: str) -> Motion:
        motion = self._motions.read(self._motions.find(name))
        return stand_at(motion, self._ground) if self._lookup.motions else motion

    def _find_clip(self, name: str) -> Motion:
        """A clip, or where there is none of this name a motion."""
        from posegen.perception.lifting import lift_clip

        try:
            clip = self._clips.find(name)
        except DatasetError as unknown:
            try:
                return self._find_motion(name)
            except PosegenError as error:
                raise DatasetError(f"{unknown}; {error}") from error
        return stand_at(lift_clip(clip), self._ground)


def short_name(name: str) -> str:
    """What a file that is made of a motion may be called."""
    path = Path(name)
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES | {".npz"} else name.replace("/", "-")
