"""Videos are found, and their names read, as people lay them out."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestration.data.video_contents import hash_video, stamp_of
from orchestration.data.video_files import (
    DEFAULT_PERSON,
    VideoFile,
    find_videos,
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def labels(sources: list[VideoFile]) -> list[tuple[str, str]]:
    return [(source.person, source.action) for source in sources]


def test_folders_are_people_and_files_are_actions(tmp_path):
    touch(tmp_path, "bob/wave.mp4", "ann/wave.MOV", "ann/bow.two.avi", "day1/eve/jump.webm")
    sources, rejections, _ = find_videos(tmp_path)
    assert labels(sources) == [("ann", "bow.two"), ("ann", "wave"), ("bob", "wave"), ("eve", "jump")]
    assert [source.relative for source in sources][-1] == "day1/eve/jump.webm"
    assert rejections == []


def test_files_without_a_folder_are_of_one_person(tmp_path):
    touch(tmp_path, "cam_01.mp4", "cam_02.mp4")
    assert labels(find_videos(tmp_path)[0]) == [(DEFAULT_PERSON, "cam_01"), (DEFAULT_PERSON, "cam_02")]


def test_other_and_hidden_files_are_passed_over(tmp_path):
    touch(tmp_path, "ann/wave.mp4", "ann/wave.truth.parquet", "ann/wave_json/000_keypoints.json", "notes.txt")
    touch(tmp_path, ".trash/old.mp4", "ann/._wave.mp4", "ann/.wave.mp4.part")
    assert labels(find_videos(tmp_path)[0]) == [("ann", "wave")]


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{person}_{action}.mp4", "person0_wave1.mp4", ("person0", "wave1")),
        ("{person}_{action}", "person0_wave1.mp4", ("person0", "wave1")),
        ("{person}_{action}.mp4", "ann_two_steps.mp4", ("ann", "two_steps")),
        ("*/{action}-{person}-*.avi", "day 1/wave-ann-take3.avi", ("ann", "wave")),
        ("{person}/{person}_{action}.*", "ann/ann_wave.mkv", ("ann", "wave")),
        ("clip ({action}).mp4", "clip (wave).mp4", (DEFAULT_PERSON, "wave")),
    ],
)
def test_pattern(tmp_path, pattern, name, expected):
    touch(tmp_path, name)
    sources, rejections, _ = find_videos(tmp_path, pattern)
    assert labels(sources) == [expected]
    assert rejections == []


def test_names_that_do_not_match_are_rejected_with_a_reason(tmp_path):
    touch(tmp_path, "ann_wave.mp4", "other.mp4", "sub/ann_bow.mp4", "ann_wave.mp4.bak.avi")
    sources, rejections, _ = find_videos(tmp_path, "{person}_{action}.mp4")
    assert labels(sources) == [("ann", "wave")]
    assert [Path(rejection.source).name for rejection in rejections] == [
        "ann_wave.mp4.bak.avi",
        "other.mp4",
        "ann_bow.mp4",
    ]
    assert all("'{person}_{action}.mp4'" in rejection.reason for rejection in rejections)


def test_composed_and_decomposed_names_are_the_same_person(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "José/señal.mp4"), "李雷/跳.mp4")
    assert sorted(labels(find_videos(tmp_path)[0])) == [("José", "señal"), ("李雷", "跳")]


def test_linked_folders_are_followed_once(tmp_path):
    videos, disk = tmp_path / "videos", tmp_path / "disk"
    touch(disk, "wave.mp4")
    videos.mkdir()
    (videos / "ann").symlink_to(disk)
    (disk / "loop").symlink_to(videos)
    assert labels(find_videos(videos)[0]) == [("ann", "wave")]


def test_what_is_named_like_a_video_and_is_none_is_not_lost(tmp_path):
    touch(tmp_path, "ann/wave.mp4/readme.txt", "ann/bow.mp4")
    (tmp_path / "ann" / "bend.mp4").symlink_to(tmp_path / "nowhere")
    sources, rejections, _ = find_videos(tmp_path)
    assert labels(sources) == [("ann", "bow")]
    assert {Path(one.source).name: one.reason for one in rejections} == {
        "wave.mp4": "cannot be read (Is a directory)",
        "bend.mp4": "cannot be read (No such file or directory)",
    }


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("{actor}_{action}.mp4", r"unknown field \{actor\}"), ("{person}.mp4", r"has no \{action\}")],
)
def test_wrong_patterns(tmp_path, pattern, message):
    with pytest.raises(ValueError, match=message):
        find_videos(tmp_path, pattern)


def test_nothing_to_find(tmp_path):
    with pytest.raises(ValueError, match="no videos in"):
        find_videos(tmp_path)
    with pytest.raises(ValueError, match="no folder of videos at"):
        find_videos(tmp_path / "missing")


def write_pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((40, 40, 3), 50 * number, np.uint8)).save(folder / name)


def test_animations_and_folders_of_pictures_are_videos(tmp_path):
    write_pictures(tmp_path / "ann" / "walk", "f1.png", "f2.png", "cover.png")
    write_pictures(tmp_path / "ann", "still.webp")
    first, second = (Image.fromarray(np.full((40, 40, 3), level, np.uint8)) for level in (0, 200))
    for name in ("wave.gif", "hop.webp"):
        first.save(tmp_path / "ann" / name, save_all=True, append_images=[second], duration=40)
    sources, rejections, _ = find_videos(tmp_path)
    assert labels(sources) == [("ann", "hop"), ("ann", "walk"), ("ann", "wave")] and rejections == []
    assert labels(find_videos(tmp_path, "{person}/{action}")[0]) == labels(sources)
    before = [hash_video(Path(source.folder), source.files) for source in sources]
    assert len(set(before)) == 3 and list(sources[1].files) == ["walk/f1.png", "walk/f2.png"]
    (tmp_path / "ann" / "walk" / "f2.png").write_bytes((tmp_path / "ann" / "walk" / "f1.png").read_bytes())
    after = find_videos(tmp_path).sources
    assert hash_video(Path(after[1].folder), after[1].files) != before[1]
    assert [
        stamp_of(one, beside=True) == stamp_of(other, beside=True) for one, other in zip(sources, after, strict=True)
    ] == [*(True, False, True)]


def test_what_is_passed_over_is_counted(tmp_path):
    touch(tmp_path, "ann/wave.mp4", "ann/wave.truth.parquet", "ann/wave_json/000_keypoints.json", "ann/.hidden.txt")
    touch(tmp_path, "ann/a.txt", "notes.txt", "ann/x.heic")
    assert find_videos(tmp_path).passed_over.startswith("passed over: 1 .heic, 2 .txt; HEIC is not read: save such")
    (tmp_path / "ann" / "x.heic").unlink()
    write_pictures(tmp_path / "ann", "photo.jpg")
    assert find_videos(tmp_path).passed_over.startswith("passed over: 1 .jpg, 2 .txt; two or more numbered pictures")
    (tmp_path / "bob").mkdir()
    touch(tmp_path / "bob", "y.heic")
    with pytest.raises(ValueError, match=r"no videos in .*/bob, expected .*; passed over: 1 \.heic; HEIC is not read"):
        find_videos(tmp_path / "bob")


def test_pictures_beside_a_video_of_their_name_belong_to_it(tmp_path):
    touch(tmp_path, "ann/wave.mp4")
    write_pictures(tmp_path / "ann" / "wave", "f1.png", "f2.png")
    write_pictures(tmp_path / "bob" / "two", "a1.png", "a2.png", "b1.png", "b2.png")
    sources, rejections, _ = find_videos(tmp_path)
    assert labels(sources) == [("ann", "wave")]
    assert [rejection.reason.partition(" (")[0] for rejection in rejections] == ["holds several series of pictures"]
    assert find_videos(tmp_path).passed_over.startswith("passed over: 4 .png")
