"""What commands write never replaces what they read, nor another file that they were not told to replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from posegen.errors import ConfigError
from posegen.io.output_files import SHEET, VIDEOS, OverwriteSettings, default_file, require_no_input


@dataclass(frozen=True)
class Inputs:
    """Settings that name a file, as those of commands do."""

    behavior: str
    poses: Path | None = None


def test_an_input_is_not_replaced_even_where_files_may_be(tmp_path):
    motion = tmp_path / "kick.npz"
    motion.write_bytes(b"it")
    with pytest.raises(ConfigError, match=r"kick\.npz is read, expected another file to write"):
        OverwriteSettings(overwrite=True).require_writable([motion], Inputs(str(motion)))
    with pytest.raises(ConfigError, match="is read"):
        require_no_input([tmp_path / "a" / ".." / "kick.npz"], (Inputs("teal", poses=motion),))
    link = tmp_path / "link.npz"
    link.symlink_to(motion)
    with pytest.raises(ConfigError, match="is read"):
        require_no_input([link], [str(motion)])


def test_another_file_is_replaced_only_where_that_is_asked_for(tmp_path):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"old")
    with pytest.raises(ConfigError, match=r"sheet\.png is there already: .*--overwrite"):
        OverwriteSettings().require_writable([tmp_path / "new.csv", sheet])
    OverwriteSettings(overwrite=True).require_writable([sheet], "teal", "x" * 5000, None)
    OverwriteSettings().require_writable([tmp_path / "new.csv"])


def test_a_file_has_the_suffix_of_its_kind_and_a_folder_that_can_be_written_to(tmp_path):
    SHEET.require(tmp_path / "new" / "a.PNG")
    VIDEOS.require(tmp_path / "videos")
    for kind, name in ((SHEET, "a.jpg"), (SHEET, "a"), (VIDEOS, "a.avi")):
        with pytest.raises(ConfigError, match=f"is written as {kind.suffix}, got '{name}'"):
            kind.require(tmp_path / name)
    (tmp_path / "file").touch()
    for kind, name in ((SHEET, "file/a.png"), (VIDEOS, "file"), (VIDEOS, "file/videos")):
        with pytest.raises(ConfigError, match="file is no folder"):
            kind.require(tmp_path / name)


def test_what_has_no_name_is_called_after_its_source_in_the_current_folder():
    assert default_file("photos/ann.jpg", "preview.png") == Path("ann.preview.png")
    assert default_file(Path("runs/video"), "bow.mp4") == Path("video.bow.mp4")
