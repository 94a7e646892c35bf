"""posegen's own files and datasets, see `posegen.motion.motion` and `posegen.datasets.motions`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from posegen.datasets.motion_formats.source import ImportOptions, MotionSource, Probe, known_fps
from posegen.datasets.motions import MANIFEST, MotionDataset, MotionEntry, motion_folder
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion, read_motion


def is_own(probe: Probe) -> bool:
    """Whether a file has a motion's arrays."""
    return probe.arrays >= {"joints", "valid", "fps"}


def find_own(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion."""
    motion = partial(_load, path, options)
    return [MotionSource(name=path.stem, source=str(path), files=(path,), load=motion, action=motion().label_name)]


def _load(path: Path, options: ImportOptions) -> Motion:
    motion = read_motion(StorageFolder(path.parent), path.name)
    known_fps(options, str(path), motion.fps)
    return motion


def is_dataset(probe: Probe) -> bool:
    """Whether a folder has a dataset's manifest."""
    return (probe.path / MANIFEST).is_file()


def find_dataset(path: Path, options: ImportOptions) -> list[MotionSource]:
    """All motions of a dataset, with their splits. Raises DatasetError where the manifest is broken."""
    dataset = MotionDataset(StorageFolder(path))
    known_fps(options, str(path), dataset.info.fps)
    return [_source(dataset, entry) for entry in dataset.info.motions]


def _source(dataset: MotionDataset, entry: MotionEntry) -> MotionSource:
    return MotionSource(
        name=entry.motion_id,
        source=entry.source,
        files=(Path(motion_folder(dataset.folder).uri, entry.file_name),),
        load=partial(dataset.read, entry),
        person=entry.person,
        action=entry.action,
        split=entry.split,
    )
