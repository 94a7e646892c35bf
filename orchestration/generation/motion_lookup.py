"""Motions by name: files, videos, and entries of datasets of motions and of clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.clips import ClipDataset
from posegen.datasets.motions import MotionDataset
from posegen.errors import DatasetError, PosegenError
from posegen.io.media import is_video_source
from posegen.io.storage import StorageFolder
from posegen.motion.editing import stand_at
from posegen.motion.motion import Motion, read_motion


@dataclass(frozen=True, kw_only=True)
class LookupSettings:
    """Datasets in which motions are looked up by name."""

    motions: str = ""
    """Dataset of motions; by default the one that the run was trained on."""
    clips: str = ""
    """Dataset of clips, whose poses are lifted to three dimensions by BlazePose, as those of videos are."""


class MotionFinder:
    """Finds motions by name; a dataset is opened when a name is first looked up in it.

    Args:
        run: A run, in whose dataset motions are looked up where `lookup` names no other.
        ground: Height y of the ground in that dataset, in metres; motions from elsewhere are moved to stand on it.
        lookup: The datasets.
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
        """Find a motion, at the rate of its source.

        Args:
            name: A motion file, .npz; a video, which is lifted to 3-D; or a clip or motion, by id or PERSON/ACTION.

        Raises:
            PosegenError: There is no such motion, or no person is detected.
            OSError: A file cannot be read.
        """
        path = Path(name)
        if path.suffix.lower() == ".npz":
            return stand_at(read_motion(StorageFolder(path.parent), path.name), self._ground)
        if is_video_source(path):
            from posegen.perception.lifting import lift_video

            return stand_at(lift_video(path), self._ground)
        return self._find_clip(name) if self._lookup.clips else self._find_motion(name)

    def _find_motion(self, name: str) -> Motion:
        motion = self._motions.read(self._motions.find(name))
        return stand_at(motion, self._ground) if self._lookup.motions else motion

    def _find_clip(self, name: str) -> Motion:
        """Lift a clip, or read a motion where no clip has this name."""
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
    """Return a stem for the files that are made of a motion."""
    path = Path(name)
    return path.stem if path.suffix.lower() == ".npz" or is_video_source(path) else name.replace("/", "-")
