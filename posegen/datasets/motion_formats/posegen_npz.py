"""posegen's own files and datasets, see `posegen.motion.motion` and `posegen.datasets.motions`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from posegen.datasets.motion_formats.source import ImportOptions, MotionSource, Probe, known_fps, rate_notes
from posegen.datasets.motions import MANIFEST, MotionDataset, MotionEntry, motion_folder
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion, read_motion


def is_own(probe: Probe) -> bool:
    """Return True if a file has a motion's arrays."""
    return probe.arrays >= {"joints", "valid", "fps"}


def find_own(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion."""
    motion = partial(_load, path, options)
    return [MotionSource(name=path.stem, source=str(path), files=(path,), load=motion, action=motion().label_name)]


def _load(path: Path, options: ImportOptions) -> Motion:
    motion = read_motion(StorageFolder(path.parent), path.name)
    return _at_rate(motion, options, str(path))


def _at_rate(motion: Motion, options: ImportOptions, place: str) -> Motion:
    notes = (*motion.notes, *rate_notes(options, motion.fps))
    return replace(motion, fps=known_fps(options, place, motion.fps), notes=notes)


def is_dataset(probe: Probe) -> bool:
    """Return True if a folder has a dataset's manifest."""
    return (probe.path / MANIFEST).is_file()


def find_dataset(path: Path, options: ImportOptions) -> list[MotionSource]:
    """Return all motions of a dataset, with their splits. Raises DatasetError where the manifest is broken."""
    dataset = MotionDataset(StorageFolder(path))
    return [_source(dataset, entry, options) for entry in dataset.info.motions]


def _read_entry(dataset: MotionDataset, entry: MotionEntry, options: ImportOptions) -> Motion:
    return _at_rate(dataset.read(entry), options, str(dataset.folder))


def _source(dataset: MotionDataset, entry: MotionEntry, options: ImportOptions) -> MotionSource:
    return MotionSource(
        name=entry.motion_id,
        source=entry.source,
        files=(Path(motion_folder(dataset.folder).uri, entry.file_name),),
        load=partial(_read_entry, dataset, entry, options),
        person=entry.person,
        action=entry.action,
        split=entry.split,
    )
