"""posegen's own files, see `posegen.motion.motion`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from posegen.motion.importers.source import ImportOptions, MotionSource, Probe, known_fps
from posegen.motion.motion import Motion, read_motion
from posegen.storage import Folder


def is_own(probe: Probe) -> bool:
    """Whether a file has a motion's arrays."""
    return probe.arrays >= {"joints", "valid", "fps"}


def find_own(path: Path, options: ImportOptions) -> list[MotionSource]:
    """One motion."""
    motion = partial(_load, path, options)
    return [MotionSource(name=path.stem, source=str(path), load=motion, action=motion().label_name)]


def _load(path: Path, options: ImportOptions) -> Motion:
    motion = read_motion(Folder(path.parent), path.name)
    known_fps(options, str(path), motion.fps)
    return motion
