"""Pickles of strangers: numbers are read as joblib and Python wrote them, and nothing in them is run."""

from __future__ import annotations

import bz2
import pickle
import struct
import zlib
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest

from posegen.errors import PickleError
from posegen.io.pickles import may_be_pickle, read_pickle

CONTENT = {
    1: {
        "pose": np.random.default_rng(0).normal(size=(5, 72)).astype(np.float32),
        "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "big_endian": np.arange(4, dtype=">i4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.float64(3),
        "names": np.array(["wäve", "b"]),
        "joints2d": None,
    },
    "list": [1, "x", (2.5, b"\xff\x00"), np.array(7)],
    "ordered": OrderedDict(a=True),
}


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "tracks.pkl"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("compress", [0, True, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_files_are_read(path, compress, protocol):
    joblib.dump(CONTENT, path, compress=compress, protocol=protocol)
    assert may_be_pickle(path)
    assert_same(read_pickle(path), CONTENT)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_read(path, protocol):
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    assert_same(read_pickle(path), CONTENT)


def test_pickles_of_python_2_are_read(path):
    """Bytes are text in them, as `cPickle.dumps({"y": numpy.arange(3.0)}, 2)` wrote it."""
    values = np.arange(3.0)
    raw = values.tobytes()
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    path.write_bytes(
        b"\x80\x02}U\x01ycnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03\x85" + dtype + b"\x89U" + bytes([len(raw)]) + raw + b"tbs."
    )
    assert_same(read_pickle(path), {"y": values})


class RunsCode:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize(
    "dump",
    [
        lambda evil, path: path.write_bytes(pickle.dumps({"pose": evil})),
        lambda evil, path: path.write_bytes(pickle.dumps({"pose": evil}, 0)),
        lambda evil, path: path.write_bytes(pickle.dumps(np.array([evil], object))),
        lambda evil, path: joblib.dump({"pose": evil}, path),
        lambda evil, path: joblib.dump({1: np.array([evil], object)}, path),
        lambda evil, path: joblib.dump({1: np.array([evil], object)}, path, compress=3),
    ],
)
def test_code_in_a_pickle_never_runs(path, tmp_path, dump):
    marker = tmp_path / "marker"
    dump(RunsCode(marker), path)
    with pytest.raises(PickleError, match=r"tracks\.pkl (would run \S*open and is not|has arrays of type)"):
        read_pickle(path)
    assert not marker.exists()
    joblib.load(path)  # which does run it
    assert marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("posix", "system"), ("numpy", "load"), ("torch._utils", "_rebuild_tensor_v2"),
     ("joblib.numpy_pickle", "load"), ("builtins", "getattr"), ("numpy", "memmap")],
)  # fmt: skip
def test_what_is_not_allowed_is_named(path, module, name):
    path.write_bytes(f"c{module}\n{name}\n.".encode())
    with pytest.raises(PickleError, match=rf"would run {module}\.{name} and is not opened"):
        read_pickle(path)


def claiming(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """A joblib file whose array claims a shape."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    return pickle.dumps(NumpyArrayWrapper(np.ndarray, shape, "C", np.dtype("f8")), 3)[:-1] + content + b"."


def laughs() -> bytes:
    """A list of nine lists of nine lists …"""
    content = b"\x80\x02](" + b"K\x01" * 9 + b"eq\x00"
    for level in range(30):
        content += b"](" + b"h" + bytes([level])
        content += (b"h" + bytes([level])) * 9 + b"eq" + bytes([level + 1])
    return content + b"."


BOMBS = {
    "array": lambda: claiming((10**6, 10**6)),
    "negative": lambda: claiming((-1, 4)),
    "overflow": lambda: claiming((2**62, 4)),
    "zlib": lambda: zlib.compress(bytes(2**28), 9),
    "bz2": lambda: bz2.compress(bytes(2**27)),
    "bytes": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "bytearray": lambda: b"cbuiltins\nbytearray\n(I99999999999\ntR.",
    "laughs": laughs,
    "deep": lambda: b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
}
"""Small files that claim, or become, a lot."""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(path, name):
    path.write_bytes(BOMBS[name]())
    with pytest.raises(PickleError) as error:
        read_pickle(path)
    assert "tracks.pkl" in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_cut_off_are_refused(path):
    for compress in (0, ("gzip", 3), ("xz", 3)):
        joblib.dump(CONTENT, path, compress=compress)
        whole = path.read_bytes()
        for length in range(0, len(whole) - 1, max(len(whole) // 40, 1)):
            path.write_bytes(whole[:length])
            with pytest.raises(PickleError, match=r"tracks\.pkl"):
                read_pickle(path)


def test_bytes_that_change_give_numbers_or_one_line(path):
    joblib.dump(CONTENT, path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            spoilt[place] = random.integers(0, 256)
        path.write_bytes(spoilt)
        try:
            read_pickle(path)
        except PickleError as error:
            assert "\n" not in str(error)


def test_what_is_no_pickle_is_told(tmp_path):
    other = tmp_path / "a.txt"
    other.write_text("x")
    assert not may_be_pickle(other) and not may_be_pickle(tmp_path)
