"""NumPy's ``.npz`` files of strangers: arrays of numbers and text, no pickles, nothing larger than it may be."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from posegen.errors import MotionError, first_line
from posegen.io.pickles import MAX_BYTES
from posegen.motion.motion import ARCHIVE_ERRORS, read_array_header


def array_names(path: Path) -> set[str]:
    """Return the names of the arrays in an ``.npz``, none where it is something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except ARCHIVE_ERRORS:
        return set()


def array_headers(path: Path) -> dict[str, tuple[str, str]]:
    """Return shape and type of each array of an ``.npz`` by its header. Raises MotionError where it is damaged."""
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as stream:
                    shape, dtype = read_array_header(stream)
                headers[entry.removesuffix(".npy")] = (str(shape), str(dtype))
    except (*ARCHIVE_ERRORS, ValueError, SyntaxError, TypeError) as error:
        raise MotionError(f"{path} is damaged: {first_line(error)}") from None
    return headers


def read_arrays(path: Path, names: Collection[str], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Read some arrays of an ``.npz``; others in it are not touched.

    Raises:
        FileNotFoundError: There is no such file.
        MotionError: It is none, or has no such array. The message is one line with file and field.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise MotionError(f"{path} is no .npz file: {error}") from None
    missing = set(names) - sizes.keys()
    if missing:
        raise MotionError(f"{path}: {', '.join(sorted(missing))} is missing, there are {', '.join(sorted(sizes))}")
    wanted = [*names, *(name for name in optional if name in sizes)]
    if sum(sizes[name] for name in wanted) > MAX_BYTES:  # more than this is never unpacked, whatever a header says
        raise MotionError(f"{path}: {', '.join(wanted)} unpack to more than {MAX_BYTES:,} bytes")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as content:
            for name in wanted:
                arrays[name] = content[name]
    except (*ARCHIVE_ERRORS, ValueError, SyntaxError, TypeError, MemoryError) as error:
        field = next((name for name in wanted if name not in arrays), "its end")
        raise MotionError(f"{path}: {field} is damaged: {first_line(error)}") from None
    return arrays
