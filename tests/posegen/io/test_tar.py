"""Archives are looked through before they are believed, and nothing in them lands anywhere else."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from posegen.errors import ArchiveError
from posegen.io.storage import StorageFolder
from posegen.io.tar import extract_members, list_members
from tests.support.h36m_files import pack_bytes

POSES = {
    "S1/MyPoseFeatures/Walking 1.54138969.cdf": b"one" * 500,
    "S1/MyPoseFeatures/Walking.54138969.cdf": b"two" * 900,
}


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def look(path: Path):
    return list_members(path, lambda name: name.endswith(".cdf"), "'a.cdf'")


@pytest.mark.parametrize("ending", [".tgz", ".tar"])
def test_files_come_out_without_their_folders(ending, tmp_path):
    archive = tmp_path / f"poses{ending}"
    litter = {
        "S1/._Walking.54138969.cdf": b"x",
        "S1/.DS_Store": b"x",
        "S1/notes.txt": b"x",
        "S1": entry("S1", tarfile.DIRTYPE),
    }
    pack_bytes(archive, POSES | litter)
    members = look(archive)
    assert extract_members(archive, members, StorageFolder(tmp_path / "out")) == 2
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == {Path(name).name: content for name, content in POSES.items()}


def test_what_is_there_in_full_is_left_alone_and_what_is_cut_off_is_not(tmp_path):
    archive, out = tmp_path / "poses.tgz", tmp_path / "out"
    pack_bytes(archive, POSES)
    members = look(archive)
    extract_members(archive, members, StorageFolder(out))
    first, second = (out / member.file for member in members)
    first.write_bytes(b"1" * first.stat().st_size)
    second.write_bytes(b"2")
    assert extract_members(archive, members, StorageFolder(out)) == 1
    assert first.read_bytes() == b"1" * first.stat().st_size and second.read_bytes() == b"two" * 900


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ({"../evil.cdf": b"x"}, "'../evil.cdf', which leads out of its folder"),
        ({"/tmp/evil.cdf": b"x"}, "'/tmp/evil.cdf', which leads out of its folder"),
        ({"a/../../evil.cdf": b"x"}, "leads out of its folder"),
        ({"a.cdf": entry("a.cdf", tarfile.SYMTYPE, "/etc/passwd")}, "'a.cdf', a link or a device"),
        ({"a.cdf": entry("a.cdf", tarfile.LNKTYPE, "../../b.cdf")}, "a link or a device"),
        ({"a.cdf": entry("a.cdf", tarfile.CHRTYPE)}, "a link or a device"),
        ({"a.cdf": entry("a.cdf", tarfile.FIFOTYPE)}, "a link or a device"),
        ({"b/Walking.54138969.cdf": b"x"}, "'Walking.54138969.cdf' twice"),
        ({f"{n}.jpg": b"x" for n in range(3)}, "'0.jpg', expected 'a.cdf': is it of another dataset"),
    ],
)
def test_members_that_do_harm_are_refused(member, message, tmp_path):
    archive = tmp_path / "poses.tgz"
    pack_bytes(archive, POSES | member)
    with pytest.raises(ArchiveError) as error:
        look(archive)
    assert message in str(error.value) and str(archive) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("ending", [".tgz", ".tar"])
def test_archives_that_are_cut_off_say_so(ending, share, tmp_path):
    archive = tmp_path / f"poses{ending}"
    contents = {f"{number}.cdf": bytes(range(256)) * 64 for number in range(4)}
    pack_bytes(archive, contents)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArchiveError, match="is cut off, damaged or no archive"):
        look(archive)


def test_something_else_is_no_archive(tmp_path):
    (tmp_path / "poses.tgz").write_bytes(b"<html>log in first</html>" * 40)
    with pytest.raises(ArchiveError, match="is cut off, damaged or no archive"):
        look(tmp_path / "poses.tgz")
    pack_bytes(tmp_path / "empty.tar", {})
    with pytest.raises(ArchiveError, match=r"has no files, expected 'a\.cdf'"):
        look(tmp_path / "empty.tar")
