"""Importers: files of motions that others wrote, as motions in the world's axes and metres.

Formats are told by content, never by name alone, and nothing in a file is run. What a file does not say, such as the
frame rate of an estimator's poses, the caller says in `ImportOptions`; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from posegen.datasets.motion_formats import bvh, estimators, humanact12, joint_arrays, ntu13, smpl_bodies, uestc
from posegen.datasets.motion_formats import posegen_npz as own
from posegen.datasets.motion_formats.action_names import HUMANACT12
from posegen.datasets.motion_formats.source import Format, ImportOptions, MotionSource, Probe
from posegen.errors import MotionError

FORMATS: dict[str, Format] = {
    "motion": Format("posegen's own .npz", own.is_own, own.find_own),
    "dataset": Format("posegen's datasets of motions", own.is_dataset, own.find_dataset),
    "bvh": Format("motion capture: BVH", bvh.is_bvh, bvh.find_bvh),
    "amass": Format("AMASS .npz: SMPL-H or SMPL-X poses", smpl_bodies.is_amass, smpl_bodies.find_smpl),
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
    "wham": Format("WHAM's tracks in the world", smpl_bodies.is_wham, smpl_bodies.find_smpl),
    "smpl": Format(
        f"SMPL or SMPL-X poses: {', '.join(smpl_bodies.SMPL_LAYOUTS)}, GVHMR",
        smpl_bodies.is_smpl,
        smpl_bodies.find_smpl,
    ),
    "joints": Format(
        "joints in an array: HumanML3D, MDM, MotionBERT, Action2Motion",
        joint_arrays.is_joint_array,
        joint_arrays.find_joint_arrays,
    ),
    "phalp": Format("PHALP's or 4D-Humans' tracks of a video", estimators.is_phalp, estimators.find_phalp),
    "pare": Format("PARE's tracks of a video, or folder of an image each", estimators.is_pare, estimators.find_vibe),
    "vibe": Format("VIBE's tracks of a video", estimators.is_vibe, estimators.find_vibe),
}
"""Formats by name; the first that matches is taken."""

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
        raise MotionError(_why_unknown(Probe(path)))
    if name not in FORMATS:
        raise MotionError(f"unknown format {name!r}, expected one of {', '.join(FORMATS)}")
    return FORMATS[name].find(path, options)


_REFUSED: dict[bytes, str] = {
    b"Kaydara FBX": "an FBX file: export it as BVH (in Blender: File, Import, FBX, then Export, Motion Capture)",
    b"; FBX": "an FBX file: export it as BVH (in Blender: File, Import, FBX, then Export, Motion Capture)",
    b"glTF": "a glTF file: export it as BVH (in Blender: File, Import, glTF, then Export, Motion Capture)",
    b":FULLY-SPECIFIED": "an AMC file, which needs an ASF skeleton: take the BVH version of the data set",
    b"PathFileType": "a TRC file of markers: fit a skeleton to them and export BVH",
}
"""Known formats that are not read, by the first bytes of their files, with advice."""


def _why_unknown(probe: Probe) -> str:
    """Explain in one line why a file has no known format: a refused format, a truncated file, or its content."""
    path = probe.path
    if path.is_dir():
        return f"{path} is of no known format: expected one of {', '.join(FORMATS)}"
    with path.open("rb") as file:
        start = file.read(64)
    known = next((text for begin, text in _REFUSED.items() if start.lstrip().startswith(begin)), "")
    known = known or joint_arrays.refusal(probe)
    if known:
        return f"{path} is not read: it is {known}"
    if not start:
        return f"{path} is cut off: it is empty"
    if start.startswith(b"PK") and not is_zipfile(path):
        return f"{path} is cut off: the end of the archive is missing"
    return f"{path} is of no known format{_describe(probe.content)}: expected one of {', '.join(FORMATS)}"


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        return f", with the fields {', '.join(map(str, list(content)[:8]))}" if content else ", with no fields"
    shape = getattr(content, "shape", None)
    return f", with an array of shape {shape}" if shape is not None else ""
