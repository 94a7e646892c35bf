"""Clips by name and in folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.reports.real_videos import find_real_videos
from posegen.errors import ConfigError, DatasetError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_stands_for_all_its_videos(tmp_path):
    touch(tmp_path / "ann/wave.mp4", tmp_path / "ann/kick.MOV", tmp_path / "ann/list.txt", tmp_path / "z.avi")
    touch(*(tmp_path / f"bob/turn/{number:03}.png" for number in range(3)))
    found = find_real_videos([tmp_path])
    assert {clip.name: clip.path for clip in found.clips} == {
        "wave": tmp_path / "ann/wave.mp4",
        "kick": tmp_path / "ann/kick.MOV",
        "turn": tmp_path / "bob/turn",
        "z": tmp_path / "z.avi",
    }
    assert [len(clip.files) for clip in found.clips if clip.name == "turn"] == [3]
    assert all(file.is_file() for clip in found.clips for file in clip.files)
    assert found.notes == [f"{tmp_path}: passed over: 1 .txt"]


def test_what_cannot_be_read_is_said(tmp_path):
    touch(tmp_path / "a.mp4")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert find_real_videos([tmp_path]).rejected == {
        str(tmp_path / "lost.mp4"): "cannot be read (No such file or directory)"
    }


def test_each_clip_is_taken_once(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    found = find_real_videos([tmp_path / "b.mp4", tmp_path, tmp_path / "a.mp4"])
    assert [clip.name for clip in found.clips] == ["b", "a"]


def test_clips_of_one_name_are_told_apart_by_their_folders(tmp_path):
    touch(*(tmp_path / name for name in ("ann/wave.mp4", "bob/wave.mp4", "bob/wave.avi", "ann/bow.mp4")))
    names = [clip.name for clip in find_real_videos([tmp_path]).clips]
    assert len(set(names)) == 4 and {"bow", "ann-wave"} < set(names)
    assert all(name.endswith(("bob-wave.mp4", "bob-wave.avi")) for name in set(names) - {"bow", "ann-wave"})


def test_folders_without_videos_and_missing_files_are_refused(tmp_path):
    touch(tmp_path / "empty/list.txt")
    with pytest.raises(DatasetError, match=r"no videos in .*empty"):
        find_real_videos([tmp_path / "empty"])
    with pytest.raises(ConfigError, match="no such clip"):
        find_real_videos([tmp_path / "nowhere.mp4"])
