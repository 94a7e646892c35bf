"""NTU13 as ACTOR takes it: ``ntu_vibe_list.txt`` with one relative path a line, and VIBE's file of each clip.

The dataset was withdrawn; this reads what somebody makes of their own videos. Names end as NTU RGB+D's do,
``S###C###P###R###A###``: person and action are told by them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from posegen.datasets.motion_formats.action_names import NTU13, NTU13_CODES
from posegen.datasets.motion_formats.estimators import load_tracks
from posegen.datasets.motion_formats.source import ImportOptions, MotionSource, Probe
from posegen.errors import MotionError
from posegen.motion.motion import Motion

NTU13_ACTIONS = dict(zip(NTU13_CODES, NTU13, strict=True))
"""Actions by NTU RGB+D's number; a label is the index in this order."""

_LIST = "ntu_vibe_list.txt"
_NAME = re.compile(r".*?(P\d{3})?(?:R\d{3})?A(\d{3})\D*", re.DOTALL)


def is_ntu13(probe: Probe) -> bool:
    """Return True if a folder has the list."""
    return (probe.path / _LIST).is_file()


def find_ntu13(path: Path, options: ImportOptions) -> list[MotionSource]:
    """Find the clips of the list. Raises MotionError where it is empty or leads out of the folder."""
    if not (path / _LIST).is_file():
        raise MotionError(f"{path}: {_LIST} is missing, expected a folder with it")
    try:
        lines = (path / _LIST).read_text().split("\n")
    except UnicodeDecodeError as error:
        raise MotionError(f"{path / _LIST} is no text: {error.reason}") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise MotionError(f"{path / _LIST} has no lines, expected one relative path a line")
    return [_source(path, name, options) for name in names]


def _source(folder: Path, name: str, options: ImportOptions) -> MotionSource:
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise MotionError(f"{folder / _LIST}: {name!r} leads out of the folder")
    match = _NAME.fullmatch(file.stem)
    number = int(match[2]) if match else None
    return MotionSource(
        name=file.stem,
        source=str(file),
        files=(file,),
        load=partial(_load, file, number, options),
        person=match[1] if match else None,
        action=None if number is None else NTU13_ACTIONS.get(number),
    )


def _load(file: Path, number: int | None, options: ImportOptions) -> Motion:
    if number not in NTU13_ACTIONS:
        known = ", ".join(f"A{known:03}" for known in NTU13_ACTIONS)
        raise MotionError(f"{file}: its name's action is none of NTU13's, expected one of {known}")
    motion = load_tracks(file, options)
    return replace(motion, label=list(NTU13_ACTIONS).index(number), label_name=NTU13_ACTIONS[number])
