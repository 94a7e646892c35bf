"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from posegen.io import storage
from posegen.io.storage import StorageFolder

KILLED = """
import os, signal, sys
from posegen.io.storage import StorageFolder
with StorageFolder(sys.argv[1]).write("clip.parquet") as stream:
    stream.write(b"half")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_write_leaves_nothing_after_a_sweep(tmp_path):
    folder = StorageFolder(tmp_path)
    folder.write_bytes("clip.parquet", b"whole")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert folder.files() == ["clip.parquet"]

    folder.sweep()

    assert [path.name for path in tmp_path.iterdir()] == ["clip.parquet"]
    assert folder.read("clip.parquet") == b"whole"


def test_a_sweep_leaves_what_is_being_written(tmp_path):
    folder = StorageFolder(tmp_path)
    with folder.write("clip.parquet") as stream:
        stream.write(b"whole")
        folder.sweep()
    assert folder.read("clip.parquet") == b"whole"


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_other_machines_have_a_day(tmp_path, monkeypatch, hours, stays):
    monkeypatch.setattr(storage.platform, "node", lambda: "elsewhere")
    scratch = tmp_path / storage.scratch_name("clip.parquet")
    scratch.touch()
    age(scratch, hours)
    monkeypatch.undo()
    StorageFolder(tmp_path).sweep()
    assert scratch.exists() == stays


def test_a_sweep_leaves_other_hidden_files(tmp_path):
    (tmp_path / ".gitignore").touch()
    age(tmp_path / ".gitignore", 100)
    StorageFolder(tmp_path).sweep()
    StorageFolder(tmp_path / "nowhere").sweep()
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    folder = StorageFolder(tmp_path)
    folder.write_bytes("clip.parquet", b"whole")
    with pytest.raises(ValueError, match="no more"), folder.write("clip.parquet") as stream:
        stream.write(b"half")
        raise ValueError("no more")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.parquet"]
    assert folder.read("clip.parquet") == b"whole"


def age(path: Path, hours: float) -> None:
    then = path.stat().st_mtime - 3600 * hours
    os.utime(path, (then, then))
