"""Read files of arrays without running their code: ``.npz``, ``.npy``, a pickle or PyTorch's ``.pt``."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posegen.datasets.motion_formats.arrays import array_names, read_arrays
from posegen.errors import MotionError, PickleError, first_line
from posegen.io.pickles import MAX_BYTES, may_be_pickle, read_pickle, read_pickled_bytes
from posegen.motion.motion import ARCHIVE_ERRORS, read_array_header

TORCH_SUFFIXES = frozenset((".pt", ".pth"))
"""Suffixes of PyTorch's files."""


class NpzFields(Mapping[str, Any]):
    """The arrays of an ``.npz`` by name, each read when it is asked for. Raises MotionError where one is damaged."""

    def __init__(self, path: Path):
        self._path = path
        self._names = sorted(array_names(path))

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        with zipfile.ZipFile(self._path) as archive:
            entry = next(entry for entry in (f"{name}.npy", name) if entry in archive.namelist())
            if archive.getinfo(entry).file_size <= MAX_BYTES and _is_pickled(archive, entry):
                return _unpickle(archive.read(entry), f"{self._path}: {name}")
        return read_arrays(self._path, [name])[name]

    def objects(self) -> list[str]:
        """Names of the arrays of objects, which may be dicts."""
        with zipfile.ZipFile(self._path) as archive:
            return [name for name in self._names if _is_pickled(archive, f"{name}.npy")]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _is_pickled(archive: zipfile.ZipFile, entry: str) -> bool:
    """Return True if an array has objects, which NumPy pickles."""
    try:
        with archive.open(entry) as stream:
            return read_array_header(stream)[1].kind == "O"
    except (*ARCHIVE_ERRORS, ValueError, SyntaxError, TypeError):
        return False


def _unpickle(content: bytes, place: str) -> Any:
    """Return the content of an array of objects; of a single one, the object itself."""
    stream = io.BytesIO(content)
    shape, _ = read_array_header(stream)
    try:
        value = read_pickled_bytes(content[stream.tell() :], place)
    except PickleError as error:
        raise MotionError(str(error)) from None
    return value[0] if shape == () and isinstance(value, list) and len(value) == 1 else value


def read_content(path: Path) -> Any:
    """Return what is in a file: a dict, a list or an array; None where it is nothing of these.

    Raises:
        MotionError: It is damaged, or would run something.
    """
    if not path.is_file():
        return None
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        return _read_torch(path)
    if array_names(path):
        return NpzFields(path)
    if suffix == ".npy":
        return _read_npy(path)
    if may_be_pickle(path):
        try:
            return read_pickle(path)
        except PickleError as error:
            raise MotionError(str(error)) from None
    return None


def _read_npy(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise MotionError(f"{path} has {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        with path.open("rb") as stream:
            _, dtype = read_array_header(stream)
        if dtype.kind == "O":
            return _unpickle(path.read_bytes(), str(path))
        return np.load(path, allow_pickle=False)
    except MotionError:
        raise
    except (ValueError, SyntaxError, TypeError, EOFError, OSError, MemoryError) as error:
        raise MotionError(f"{path} is damaged: {first_line(error)}") from None


def _read_torch(path: Path) -> Any:
    """PyTorch's own reader of weights, which constructs tensors, numbers and text alone."""
    try:
        return _to_arrays(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise MotionError(f"{path} would run code and is not opened: {first_line(error)}") from None
    except Exception as error:  # a damaged file may raise any
        raise MotionError(f"{path} is damaged or is no file of PyTorch: {first_line(error)}") from None


def _to_arrays(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, dict):
        return {key: _to_arrays(item) for key, item in value.items()}
    return [_to_arrays(item) for item in value] if isinstance(value, list | tuple) else value
