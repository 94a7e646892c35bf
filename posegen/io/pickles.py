"""Pickles that strangers wrote, read without running anything that is in them.

A pickle is a program: it names functions and calls them. Here it finds nothing but stand-ins for what NumPy's arrays
and joblib's files are made of, which hold numbers and are turned into arrays by this module, not by NumPy's own
unpickling. Whatever else it names ends the reading. What arrays claim to hold is compared with what the file has
before memory is taken.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posegen.errors import PickleError, first_line

MAX_BYTES = 2**32
"""Of a file, packed or unpacked."""

_RATIO, _SLACK = 200, 2**24  # a compressed file unpacks to so many times its size and so much more: numbers do not
_DEEPEST = 16  # levels of dicts and lists
_NUMBERS = "biufSU"  # kinds of values, as numpy calls them
_NDARRAY = "numpy.ndarray"  # stands for the class, which is never called
# By how a compressed file starts: joblib writes all of them, and deflate with a header of zlib's or gzip's.
_COMPRESSIONS: dict[bytes, Callable[[], Any]] = {
    **dict.fromkeys((b"\x1f\x8b", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), lambda: zlib.decompressobj(wbits=47)),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00": lzma.LZMADecompressor,
}


SUFFIXES = frozenset((".pkl", ".pickle", ".joblib"))
"""Suffixes of pickle files; files of new protocols, and compressed ones, are also recognised by their first bytes."""

_PROTOCOL = b"\x80"  # how pickles start since protocol 2


def may_be_pickle(path: Path) -> bool:
    """Return True if a file has the suffix of a pickle or starts as one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8)
    return path.suffix.lower() in SUFFIXES or start.startswith((_PROTOCOL, *_COMPRESSIONS))


def read_pickle(path: Path) -> Any:
    """Read a file of `pickle.dump` or `joblib.dump`: dicts, lists, tuples, text, numbers and arrays of numbers.

    Files may be compressed by zlib, gzip, bz2, lzma or xz, and come from Python 2.

    Raises:
        FileNotFoundError: There is no such file.
        PickleError: It is no such pickle, or names something that would be run. The message is one line with the file.
    """
    if path.stat().st_size > MAX_BYTES:
        raise PickleError(f"{path} has {path.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}")
    return read_pickled_bytes(_unpack(path.read_bytes(), path), str(path))


def read_pickled_bytes(content: bytes, place: str) -> Any:
    """Read what `pickle.dumps` made, as `read_pickle` does. Raises PickleError, in one line with the place."""
    try:
        return _settle(_Reader(io.BytesIO(content)).load(), {})
    except PickleError as error:
        raise PickleError(f"{place} {error}") from None
    except MemoryError:
        raise PickleError(f"{place} is damaged: it claims to hold more than the memory does") from None
    except Exception as error:  # a damaged pickle may raise any, says the documentation of `pickle`
        raise PickleError(f"{place} is damaged or is no pickle: {first_line(error)}") from None


def _unpack(content: bytes, path: Path) -> bytes:
    """The bytes of a file that may be compressed."""
    make = next((make for start, make in _COMPRESSIONS.items() if content.startswith(start)), None)
    if make is None:
        return content
    most = min(MAX_BYTES, _RATIO * len(content) + _SLACK)
    unpacker = make()
    try:
        unpacked = unpacker.decompress(content, most)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise PickleError(f"{path} is damaged: {first_line(error)}") from None
    if not unpacker.eof:
        problem = f"unpacks to more than {most:,} bytes" if len(unpacked) == most else "is cut off"
        raise PickleError(f"{path} {problem}, expected a whole file of numbers")
    return unpacked


class _Reader(pickle.Unpickler):
    """Builds plain data and stand-ins. It reads no further than the pickle: joblib's arrays follow it in the stream."""

    def __init__(self, stream: io.BytesIO):
        # Without `peek` the reader takes what it needs and no more, so that the stream stands at joblib's arrays.
        super().__init__(stream, encoding="latin1")  # as Python 2 wrote bytes
        self._names = _allowed(stream)

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed name. Raises PickleError for all others."""
        try:
            return self._names[module, name]
        except KeyError:
            pass
        if name == "NDArrayWrapper":
            raise PickleError("keeps its arrays in other files: write it again with joblib 0.10 or newer")
        if module.split(".")[0] == "torch":
            what = "PyTorch's tensors are read as NumPy's arrays, or of a .pt file that torch.save wrote"
            raise PickleError(f"would run {module}.{name} and is not opened: {what}")
        raise PickleError(f"would run {module}.{name} and is not opened: expected numbers, text, dicts and lists")


def _allowed(stream: io.BytesIO) -> dict[tuple[str, str], Any]:
    """Return the names that a pickle may use, by module and name, fresh for each reading, since a pickle could change
    them."""

    class JoblibArray(_JoblibArray):
        file = stream

    names: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): lambda *_: {},  # its factory, which would make what is missing, is never called
        ("functools", "partial"): _Inert,
        ("_codecs", "encode"): lambda text, encoding="latin1": _to_bytes(text),
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): lambda *arguments: _Dtype(*arguments),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): JoblibArray,
        ("copyreg", "_reconstructor"): lambda kind, *_: kind.__new__(kind) if kind is JoblibArray else None,
    }
    for numpy in ("numpy.core", "numpy._core"):
        names[f"{numpy}.multiarray", "_reconstruct"] = lambda *_: _Array()
        names[f"{numpy}.multiarray", "scalar"] = lambda dtype, content: _scalar(dtype, content)
        names[f"{numpy}.numeric", "_frombuffer"] = lambda *arguments: _Array(*arguments)
    for python in ("builtins", "__builtin__"):
        names |= {(python, kind.__name__): kind for kind in (set, frozenset, complex, object)}
        names |= {(python, name): _Inert for name in ("dict", "list", "int", "float", "str", "tuple", "bool")}
        names |= {(python, name): lambda content=b"", *_: _to_bytes(content) for name in ("bytes", "bytearray")}
    names["copy_reg", "_reconstructor"] = names["copyreg", "_reconstructor"]
    return names


class _Inert:
    """Stands for a function that a pickle names and that is never called: the factory of a defaultdict."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Dtype:
    """Stands for a type of values."""

    def __init__(self, code: Any = "", align: Any = False, copy: Any = False):
        self._code = code
        self._order: Any = "="

    def __setstate__(self, state: Any) -> None:
        _, self._order, subtype, names, *_ = state
        if subtype is not None or names is not None:
            raise PickleError("has arrays of records, expected arrays of numbers")

    def read(self) -> np.dtype:
        """The type. Raises PickleError where its values are no numbers."""
        dtype = np.dtype(str(self._code))
        if dtype.kind == "O":
            return dtype
        if dtype.kind not in _NUMBERS:
            raise PickleError(f"has arrays of type {dtype}, expected arrays of numbers")
        return dtype if self._order == "|" else dtype.newbyteorder(self._order)


class _Array:
    """Stands for an array whose values are in the pickle."""

    def __init__(self, content: Any = b"", dtype: Any = None, shape: Any = (), order: str = "C"):
        self._content, self._dtype, self._shape, self._order = content, dtype, shape, order

    def __setstate__(self, state: Any) -> None:
        _, self._shape, self._dtype, is_fortran, self._content = state
        self._order = "F" if is_fortran else "C"

    def read(self) -> np.ndarray | list[Any]:
        """The array, or a list of an array of objects. Raises PickleError where it is neither."""
        dtype = _dtype(self._dtype)
        if dtype.kind == "O":
            if not isinstance(self._content, list):
                raise PickleError("is damaged: an array of objects has none")
            return self._content
        content = _to_bytes(self._content)
        if _num_bytes(self._shape, dtype) != len(content):
            raise PickleError(f"is damaged: an array of {self._shape} × {dtype} has {len(content):,} bytes")
        return _shaped(np.frombuffer(content, dtype), self._shape, self._order)


class _JoblibArray:
    """Stands for an array whose values follow in the file, once the pickle has said what they are."""

    file: io.BytesIO

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, shape = _dtype(state["dtype"]), tuple(state["shape"])
        if dtype.kind == "O":  # joblib pickles its objects behind it
            self.array: Any = _Reader(self.file).load()
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.seek(self.file.read(1)[0], io.SEEK_CUR)
        start, view = self.file.tell(), self.file.getbuffer()
        size = _num_bytes(shape, dtype)
        if size > len(view) - start:
            raise PickleError(f"is cut off: an array of {shape} × {dtype} wants {size:,} bytes")
        self.array = _shaped(np.frombuffer(view[start : start + size], dtype), shape, str(state["order"]))
        self.file.seek(start + size)

    def read(self) -> Any:
        """The array, or what stands for an array of objects."""
        return self.array


def _dtype(value: Any) -> np.dtype:
    if not isinstance(value, _Dtype):
        raise PickleError(f"has an array of {type(value).__name__}, expected an array of numbers")
    return value.read()


def _scalar(dtype: Any, content: Any) -> Any:
    return np.frombuffer(_to_bytes(content), _dtype(dtype), count=1)[0]


def _to_bytes(content: Any) -> bytes:
    """Convert content that Python 2 and old protocols write as text to bytes; never allocate zeros for a number."""
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    raise PickleError(f"has arrays of {type(content).__name__}, expected arrays of numbers")


def _num_bytes(shape: Any, dtype: np.dtype) -> int:
    """Return the bytes of an array, in Python's integers, which do not overflow."""
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise PickleError(f"is damaged: an array has the shape {shape}")
    return math.prod(shape) * dtype.itemsize


def _shaped(values: np.ndarray, shape: tuple[int, ...], order: str) -> np.ndarray:
    return values.reshape(shape[::-1]).T if order == "F" else values.reshape(shape)


def _settle(value: Any, settled: dict[int, Any], depth: int = 0) -> Any:
    """The same data with arrays for their stand-ins; what is in it twice is settled once."""
    if depth > _DEEPEST:
        raise PickleError(f"is nested deeper than {_DEEPEST} levels, which no motions are")
    if id(value) not in settled:
        if isinstance(value, _Array | _JoblibArray):
            read = value.read()
            settled[id(value)] = read if isinstance(read, np.ndarray) else _settle(read, settled, depth + 1)
        elif isinstance(value, dict):
            settled[id(value)] = {key: _settle(item, settled, depth + 1) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            settled[id(value)] = [_settle(item, settled, depth + 1) for item in value]
        else:
            return value
    return settled[id(value)]
