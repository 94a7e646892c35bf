"""Importers: files of motions that others wrote, as motions in the world's axes and metres.

Formats are told by content, never by name alone, and nothing in a file is run. What a file does not say, such as the
frame rate of an estimator's poses, the caller says in `ImportOptions`; it is never guessed.
"""

from __future__ import annotations

from pathlib import Path

from posegen.datasets.motion_formats import amass, bvh, estimators, humanact12, ntu13, uestc
from posegen.datasets.motion_formats import posegen_npz as own
from posegen.datasets.motion_formats.action_names import HUMANACT12
from posegen.datasets.motion_formats.source import Format, ImportOptions, MotionSource, Probe
from posegen.errors import MotionError

FORMATS: dict[str, Format] = {
    "motion": Format("posegen's own .npz", own.is_own, own.find_own),
    "dataset": Format("posegen's datasets of motions", own.is_dataset, own.find_dataset),
    "bvh": Format("motion capture: BVH", bvh.is_bvh, bvh.find_bvh),
    "amass": Format("AMASS .npz: SMPL-H or SMPL-X poses, z up", amass.is_amass, amass.find_amass),
    "ntu13": Format(
        "folder of VIBE's files with ntu_vibe_list.txt",
        ntu13.is_ntu13,
        ntu13.find_ntu13,
        tuple(ntu13.NTU13_ACTIONS.values()),
    ),
    "uestc": Format("folder with vibe_cache_refined.pkl and info/", uestc.is_uestc, uestc.find_uestc),
    "humanact12": Format(
        "HumanAct12's poses or joints", humanact12.is_humanact12, humanact12.find_humanact12, HUMANACT12
    ),
    "pare": Format("PARE's tracks of a video, or folder of an image each", estimators.is_pare, estimators.find_vibe),
    "vibe": Format("VIBE's tracks of a video", estimators.is_vibe, estimators.find_vibe),
}
"""By name; the first that matches is it."""

__all__ = ["FORMATS", "Format", "ImportOptions", "MotionSource", "detect", "read"]


def detect(path: Path) -> str | None:
    """Return the name of a file's or folder's format, by its content; None where it is none that is known.

    Raises:
        FileNotFoundError: There is nothing.
        MotionError: It is damaged, or a pickle that would run something.
    """
    if not path.exists():
        raise FileNotFoundError(f"no motion at {path}")
    probe = Probe(path)
    return next((name for name, format in FORMATS.items() if format.matches(probe)), None)


def read(path: Path, options: ImportOptions, format: str | None = None) -> list[MotionSource]:
    """Return the motions in a file, or in a folder that is one dataset; each is read when it is loaded.

    Args:
        path: The file or folder.
        options: What it does not say of itself.
        format: One of `FORMATS`; by default the content tells.

    Raises:
        FileNotFoundError: There is nothing.
        MotionError: It is of no known format, or broken. The message is one line with file and field.
    """
    name = format or detect(path)
    if name is None:
        raise MotionError(f"{path} is of no known format, or is cut off: expected one of {', '.join(FORMATS)}")
    if name not in FORMATS:
        raise MotionError(f"unknown format {name!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[name].find(path, options)
