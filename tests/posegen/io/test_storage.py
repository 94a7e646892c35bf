"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import pickle
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


@pytest.mark.parametrize("options", ["", "?region=eu-west-1&scheme=http"])
@pytest.mark.parametrize(
    "name", ["who?.mp4", "who?", "who??", "a?b=c.mp4", "a?b=c&d=e", "a?b?c=d", "100%.mp4", "%3F", "a#b", "a+b c", "ä"]
)
def test_every_letter_of_a_key_stands_for_itself(name, options, monkeypatch):
    monkeypatch.setattr(storage, "_connect", lambda address, process: (address, "bucket"))
    folder = StorageFolder(f"s3://bucket/videos{options}") / name / "inside"
    assert folder.resolve("x?y") == (f"s3://bucket/{options}", f"bucket/videos/{name}/inside/x?y")
    for again in (StorageFolder(str(folder)), pickle.loads(pickle.dumps(folder))):
        assert again == folder and again.resolve() == folder.resolve()
    file = StorageFolder(f"s3://bucket/videos{options}") / name
    assert StorageFolder(str(file)).name == name == StorageFolder(str(file)).resolve()[1].rpartition("/")[2]
    assert StorageFolder(f"s3://bucket/videos{options}").contains(str(file))
