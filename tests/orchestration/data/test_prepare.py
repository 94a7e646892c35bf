"""Videos become clips: each once, none lost, and every reason told."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from orchestration.data.clip_preparer import (
    PoseFinder,
    PrepareSettings,
    rejection_of_clip,
    rejection_of_company,
    rejection_of_height,
    rejection_of_track,
)
from orchestration.data.prepare import prepare_videos
from orchestration.runtime import ray_data
from orchestration.runtime.ray_data import RowWork, Step, map_rows
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.perception import POSE_ESTIMATORS, Backend, Poses
from posegen.synthetic.studio import RenderSettings, read_truth, render_action, truth_path, write_studio_clip

TINY = PrepareSettings(size=(64, 48), pose="truth", edges="truth", mask="truth", workers=0)
NUM_VIDEOS = 5


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a clip is made, or opened."""

    def refuse(*arguments: object, **keywords: object) -> None:
        pytest.fail("a clip was made, or opened, that was there already")  # which is no exception that has a reason

    monkeypatch.setattr(PoseFinder, "work", refuse)
    monkeypatch.setattr(ClipFile, "_table", property(refuse))


def files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "clips").iterdir()}


def reasons(out: Path) -> dict[str, str]:
    rows = json.loads((out / "rejected.json").read_text())
    return {Path(row["source"]).name: row["reason"] for row in rows}


# ---- What comes out


def test_every_video_becomes_a_clip(studio_videos, out):
    heard = []
    summary = prepare_videos(studio_videos, out, TINY, on_progress=lambda done, total: heard.append((done, total)))
    assert (summary.num_clips, summary.num_made, summary.num_removed) == (NUM_VIDEOS, NUM_VIDEOS, 0)
    assert summary.num_frames == 10 * NUM_VIDEOS
    assert heard == [(i + 1, NUM_VIDEOS) for i in range(NUM_VIDEOS)]
    assert str(summary).startswith("5 clips (50 frames, 100.0 % with a usable pose) in ")
    assert sorted(path.name for path in out.iterdir()) == [
        *("clips", "dataset.json", "index.parquet", "preview", "preview.html", "videos.parquet")
    ]


def test_clip_holds_what_the_video_shows(studio_videos, out):
    prepare_videos(studio_videos, out, TINY)
    clip = ClipDataset(str(out)).find("ada/bow").read()
    truth = read_truth(truth_path(studio_videos / "ada" / "bow.mp4"))
    assert clip.images.shape == (10, 64, 48, 3) and clip.info.size == (64, 48)
    assert clip.info.source == str(studio_videos / "ada" / "bow.mp4") and clip.info.fps == 25
    # The largest 4:3 window in 96 × 64 pixels has 85 rows, from the sixth on.
    seen = clip.keypoints[..., 2] > 0
    expected = (truth.keypoints[..., 1] + 0.5 - 6) * 64 / 85 - 0.5
    np.testing.assert_allclose(clip.keypoints[..., 1][seen], expected[seen], atol=1e-3)
    assert set(np.unique(clip.masks)) == {0, 255} and clip.edges.any()


def test_split_is_by_action_and_shares_none(studio_videos, out):
    prepare_videos(studio_videos, out, TINY)
    dataset = ClipDataset(str(out))
    actions = {split: {clip.info.action for clip in dataset.split(split)} for split in ("train", "test")}
    assert {split: sorted(names) for split, names in actions.items()} == dataset.info.splits
    assert not actions["train"] & actions["test"]


def test_split_by_person(studio_videos, out):
    prepare_videos(studio_videos, out, replace(TINY, split_by="person", train_fraction=0.5))
    dataset = ClipDataset(str(out))
    assert sorted(dataset.info.splits["train"] + dataset.info.splits["test"]) == ["ada", "bruno"]
    assert len({clip.info.person for clip in dataset.split("train")}) == 1


def test_dataset_records_how_it_was_made(studio_videos, out):
    prepare_videos(studio_videos, out, TINY)
    info = ClipDataset(str(out)).info
    assert info.size == (64, 48) and info.split_by == "action"
    assert info.backends["pose"] == {"name": "truth", "weights": {}}
    assert info.settings["crop"] == "center" and "workers" not in info.settings


# ---- Again


def test_second_run_does_nothing(studio_videos, out, request):
    first = prepare_videos(studio_videos, out, TINY)
    before = files(out)
    request.getfixturevalue("no_work")
    again = prepare_videos(studio_videos, out, replace(TINY, workers=2))
    assert files(out) == before
    assert (again.num_clips, again.num_frames, again.num_usable) == (5, first.num_frames, first.num_usable)
    assert again.num_made == again.num_removed == 0


def test_changed_video_redoes_one_clip(videos, out):
    prepare_videos(videos, out, TINY)
    before = files(out)
    write_studio_clip(render_action("ada", "bow", 8, RenderSettings(size=(96, 64))), videos)
    summary = prepare_videos(videos, out, TINY)
    assert (summary.num_made, summary.num_removed, summary.num_clips) == (1, 1, 5)
    assert len(files(out).items() & before.items()) == 4
    assert len(ClipDataset(str(out)).find("ada/bow").read()) == 8


def test_changed_truth_redoes_its_clip(videos, out):
    prepare_videos(videos, out, TINY)
    shutil.copy(truth_path(videos / "bruno" / "bow.mp4"), truth_path(videos / "ada" / "bow.mp4"))
    assert prepare_videos(videos, out, TINY).num_made == 1


def test_clip_of_a_vanished_video_goes_with_its_variants(videos, out):
    prepare_videos(videos, out, TINY)
    clip_id = ClipDataset(str(out)).find("ada/clap").clip_id
    recolorings = out / "colors" / "frame-both" / f"{clip_id}.parquet"
    recolorings.parent.mkdir(parents=True)
    recolorings.touch()
    (videos / "ada" / "clap.mp4").unlink()
    assert prepare_videos(videos, out, TINY).num_removed == 1
    assert not recolorings.exists()
    assert not (out / "clips" / recolorings.name).exists()


def test_new_actions_settle_the_split_anew_without_making_clips_again(videos, out):
    waves = ("ada/wave_one_hand.mp4", "bruno/wave_one_hand.mp4", "ada/bow.mp4", "bruno/bow.mp4")
    for seed in range(20):  # some seed gives 'clap' a rank that moves another action to the other side
        settings = replace(TINY, seed=seed, train_fraction=0.5)
        shutil.move(videos / "ada" / "clap.mp4", out.parent / "clap.mp4")
        before = prepare_videos(videos, out, replace(settings, restart=True))
        earlier = ClipDataset(out)
        sides = {clip.clip_id: earlier.split_of(clip) for clip in earlier.clips}
        written = files(out)
        shutil.move(out.parent / "clap.mp4", videos / "ada" / "clap.mp4")
        after = prepare_videos(videos, out, settings)
        dataset = ClipDataset(out)
        moved = [clip for clip in dataset.clips if sides.get(clip.clip_id) not in (None, dataset.split_of(clip))]
        assert written.items() <= files(out).items()  # and no clip was written again
        assert (before.num_clips, after.num_made, after.num_removed) == (len(waves), 1, 0)
        assert all(clip.info.action in dataset.info.splits[dataset.split_of(clip)] for clip in dataset.clips)
        if moved:
            assert moved[0].read().images.any()
            return
    raise AssertionError("no clip ever changed sides")


def test_videos_that_were_moved_are_not_made_again(videos, out, request):
    prepare_videos(videos, out, TINY)
    moved = videos.rename(videos.with_name("elsewhere"))
    request.getfixturevalue("no_work")
    summary = prepare_videos(moved, out, TINY)
    assert (summary.num_clips, summary.num_removed) == (5, 0)
    assert all(Path(clip.info.source).is_file() for clip in ClipDataset(str(out)).clips)


def test_two_folders_share_a_dataset(videos, out, tmp_path):
    prepare_videos(videos, out, TINY)
    write_studio_clip(render_action("chloe", "squat", 6, RenderSettings(size=(96, 64))), tmp_path / "more")
    (tmp_path / "more" / "chloe" / "broken.mp4").touch()
    assert prepare_videos(tmp_path / "more", out, TINY).num_clips == 6
    assert prepare_videos(videos, out, TINY).num_clips == 6
    assert list(reasons(out)) == ["broken.mp4"]
    copy = shutil.copytree(videos / "ada", tmp_path / "third" / "ada2")
    with pytest.raises(DatasetError, match=f"the same video as {videos}/ada/bow.mp4"):
        prepare_videos(copy.parent, out, TINY)


# ---- Other settings


def test_other_settings_need_another_folder_or_restart(studio_videos, out):
    prepare_videos(studio_videos, out, TINY)
    before = files(out)
    other = replace(TINY, size=(96, 64), crop="none")
    with pytest.raises(DatasetError, match=r"size 64x48, now 96x64; crop center, now none.*--restart"):
        prepare_videos(studio_videos, out, other)
    assert files(out) == before
    assert prepare_videos(studio_videos, out, replace(other, restart=True)).num_made == 5
    assert ClipDataset(str(out)).info.size == (96, 64)


def test_restart_deletes_nothing_else(studio_videos, out):
    prepare_videos(studio_videos, out, TINY)
    (out / "notes.txt").write_text("mine")
    prepare_videos(studio_videos, out, replace(TINY, restart=True))
    assert (out / "notes.txt").read_text() == "mine"


def test_limits_judge_clips_that_are_there(studio_videos, out, request):
    prepare_videos(studio_videos, out, TINY)
    with pytest.raises(DatasetError, match="10 frames, expected at most 9"):
        prepare_videos(studio_videos, out, replace(TINY, max_frames=9))
    assert files(out) == {}
    assert prepare_videos(studio_videos, out, TINY).num_made == 5  # what one limit refused, another may accept


@pytest.mark.parametrize(
    ("num_frames", "num_usable", "expected"),
    [
        (100, 10, ""),
        (100, 9, "9 of 100 frames, expected at least 10%"),
        (4, 0, "0 of 4 frames"),
        (3001, 3001, "3,001 frames, expected at most 3000"),
    ],
)
def test_rejection_of_clips(num_frames, num_usable, expected):
    reason = rejection_of_clip(num_frames, num_usable, PrepareSettings())
    assert expected in reason and bool(expected) == bool(reason)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([-1, -1, -1], ""),
        ([0, -1, 0, -1], ""),
        ([1, -1, 0, -1, 0], ""),
        ([1, -1, 0, -1], "several people: in 1 of 2 frames that were looked at"),
        ([2, -1, 1, -1, 0], "several people: in 2 of 3 frames that were looked at"),
    ],
)
def test_rejection_of_company(others, expected):
    reason = rejection_of_company(np.array(others, np.int16))
    assert reason.startswith(expected) and bool(expected) == bool(reason)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pose": "kinect"},
            r"unknown pose 'kinect', expected one of \['blazepose', 'openpose', 'openpose_json', 'truth'\]",
        ),
        ({"size": (16, 16)}, "at least 32 x 32"),
        ({"train_fraction": 1.5}, "train_fraction must be between 0 and 1, got 1.5"),
        ({"max_frames": 1}, "max_frames must be at least 2"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    with pytest.raises(ValueError, match=message):
        PrepareSettings(**changes)


# ---- Videos that cannot be used


def add_bad_videos(videos: Path) -> dict[str, str]:
    """Add one video of every bad kind, and return what their reasons begin with."""
    good = (videos / "ada" / "bow.mp4").read_bytes()
    bad = videos / "bäd 人"
    bad.mkdir()
    (bad / "zero.mp4").touch()
    (bad / "text.mp4").write_text("this is not a video\n" * 50)
    (bad / "cut.mp4").write_bytes(good[: len(good) * 2 // 3])
    (bad / "dangling.mp4").symlink_to(bad / "nowhere.mp4")
    (bad / "folder.mp4").mkdir()
    shutil.copy(videos / "ada" / "bow.mp4", bad / "copy.mp4")
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 48, 3), dtype=np.uint8)
    write_video(bad / "single.mp4", noise[:1], fps=25)
    write_video(bad / "small.mp4", noise[:5, :16, :16], fps=25)
    write_video(bad / "long.mp4", noise, fps=25)
    write_video(bad / "unknown.mp4", noise[:5], fps=25)
    return {
        "zero.mp4": "zero bytes",
        "text.mp4": "not a video",
        "cut.mp4": "truncated",
        "dangling.mp4": "cannot be read",
        "folder.mp4": "cannot be read",
        "copy.mp4": f"the same video as {videos / 'ada' / 'bow.mp4'}",
        "single.mp4": "one frame",
        "small.mp4": "16×16 pixels",
        "long.mp4": "20 frames, expected at most 15",
        "unknown.mp4": "no true poses",
    }


def check_bad_videos(out: Path, expected: dict[str, str]) -> None:
    found = reasons(out)
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert found[name].startswith(reason), f"{name}: {found[name]}"


def test_every_bad_video_has_its_reason_and_stops_nothing(videos, out, request):
    expected = add_bad_videos(videos)
    settings = replace(TINY, max_frames=15)
    summary = prepare_videos(videos, out, settings)
    assert summary.num_clips == 5 and len(summary.rejections) == len(expected)
    assert f"{len(expected)} rejected (see rejected.json)" in str(summary)
    check_bad_videos(out, expected)
    request.getfixturevalue("no_work")
    prepare_videos(videos, out, settings)
    check_bad_videos(out, expected)


def test_nothing_usable_is_one_error_that_says_why(tmp_path, out):
    (tmp_path / "videos" / "ann").mkdir(parents=True)
    (tmp_path / "videos" / "ann" / "wave.mp4").write_text("not a video at all")
    for _ in range(2):
        with pytest.raises(DatasetError, match=r"none of the videos in .* gives a clip \(wave.mp4: not a video"):
            prepare_videos(tmp_path / "videos", out, TINY)


def test_no_videos_is_an_error_that_writes_nothing(tmp_path, out):
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match="no videos in"):
        prepare_videos(tmp_path / "videos", out, TINY)
    assert not out.exists()


def test_what_failed_for_want_of_resources_is_tried_again(videos, out, monkeypatch):
    def fail(self: PoseFinder, draft: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(PoseFinder, "work", fail)
        with pytest.raises(DatasetError, match="Too many open files"):
            prepare_videos(videos, out, TINY)
    assert prepare_videos(videos, out, TINY).num_made == 5


def test_a_stopped_run_goes_on_where_it_was(videos, out):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_videos(videos, out, TINY, on_progress=stop)
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        ClipDataset(out)
    assert prepare_videos(videos, out, TINY).num_made == 3


def test_a_clip_without_a_usable_pose_is_rejected(videos, out, monkeypatch):
    blind = Backend(lambda: lambda footage: Poses(np.zeros((len(footage.images), 18, 3)), np.zeros(10)))
    monkeypatch.setitem(POSE_ESTIMATORS, "blind", blind)
    with pytest.raises(DatasetError, match="no person: both shoulders and both hips are seen in 0 of 10 frames"):
        prepare_videos(videos, out, replace(TINY, pose="blind"))


def test_several_people_are_rejected_before_edges_are_looked_for(videos, out, monkeypatch):
    company = Backend(lambda: lambda footage: Poses(np.ones((10, 18, 3)), np.ones(10), others=np.ones(10, np.int16)))
    monkeypatch.setitem(POSE_ESTIMATORS, "company", company)
    monkeypatch.setattr("posegen.perception.ground_truth.TruthEdges.__call__", None)
    with pytest.raises(DatasetError, match="several people: in 10 of 10 frames"):
        prepare_videos(videos, out, replace(TINY, pose="company"))


def test_terminal_and_page_say_what_was_made_and_why_not(videos, out):
    add_bad_videos(videos)
    (videos / "notes.txt").touch()
    summary = prepare_videos(videos, out, replace(TINY, max_frames=15))
    lines = summary.lines()
    assert lines[0].startswith("train: ") and lines[1].startswith("test: ")
    told = re.sub(r"\d[\d.,]*", "…", "\n".join(line for line in lines if line.startswith("rejected: ")))
    assert all(re.sub(r"\d[\d.,]*", "…", one.reason) in told for one in summary.rejections)
    assert lines[-1] == "passed over: 1 .txt"
    page = (out / "preview.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(list((out / "preview").iterdir())) == summary.num_clips
    assert all(one.reason in html.unescape(page) for one in summary.rejections)
    sheet = cv2.imread(str(next((out / "preview").iterdir())))
    assert sheet.shape[0] > 320 and sheet.std() > 10


def test_rejected_videos_are_shown_and_their_sheets_go_with_them(videos, out, monkeypatch):
    blind = Backend(lambda: lambda footage: Poses(np.zeros((len(footage.images), 18, 3)), np.zeros(10)))
    monkeypatch.setitem(POSE_ESTIMATORS, "blind", blind)
    with pytest.raises(DatasetError, match=r"see .*preview\.html"):
        prepare_videos(videos, out, replace(TINY, pose="blind"))
    assert len(list((out / "preview").iterdir())) == NUM_VIDEOS
    assert (out / "preview.html").read_text().count("data:image/jpeg;base64,") == NUM_VIDEOS
    prepare_videos(videos, out, replace(TINY, restart=True))
    (videos / "ada" / "bow.mp4").unlink()
    prepare_videos(videos, out, TINY)
    assert {path.stem for path in (out / "preview").iterdir()} == {path.stem for path in (out / "clips").iterdir()}


def test_people_who_are_hardly_seen_are_rejected():
    scores = np.array([0, 0.6, 0.65, 0.9], np.float32)
    assert rejection_of_track(scores).startswith("no person: what is followed is hardly one (0.65 of 1")
    assert rejection_of_track(np.array([0, 0.9, 0.6, 0.95], np.float32)) == ""
    pose = np.ones((3, 18, 3), np.float32)
    pose[..., 1] = np.linspace(10, 22, 18)
    assert rejection_of_height(pose, 96).startswith("a small person: 12 of the frame's 96 pixels high, expected")
    assert rejection_of_height(pose, 48) == ""


def test_a_video_whose_middle_shows_nobody_is_cropped_to_the_person(networks, out, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    ada = render_action("ada", "wave_one_hand", 6, RenderSettings(size=(192, 128))).images
    wall = np.full((6, 192, 400, 3), ada[0, 0, 0], np.uint8)
    (tmp_path / "wide" / "ada").mkdir(parents=True)
    write_video(tmp_path / "wide" / "ada" / "aside.mp4", np.concatenate([wall, ada], axis=2), fps=25)
    settings = PrepareSettings(size=(96, 64), workers=0)
    summary = prepare_videos(tmp_path / "wide", out, settings)
    assert summary.num_clips == 1 and summary.num_usable == 6
    assert any("aside.mp4: cropped to the person, since otherwise there is no person" in one for one in summary.notes)


# ---- On Ray


class Doomed:
    """Works like a step does, but for one clip it dies with its process."""

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        if row["clip_id"] == "clip-1":
            os._exit(9)
        return {"clip_id": row["clip_id"], "reason": ""}


@pytest.mark.ray
def test_ray_makes_the_same_clips(ray_session, videos, out, tmp_path):
    expected = add_bad_videos(videos)
    settings = replace(TINY, max_frames=15)
    heard: list[tuple[int, int]] = []
    prepare_videos(videos, tmp_path / "here", settings)
    start = time.perf_counter()
    summary = prepare_videos(
        videos, out, replace(settings, workers=-1), on_progress=lambda done, total: heard.append((done, total))
    )
    first = time.perf_counter() - start
    check_bad_videos(out, expected)
    here, there = ClipDataset(tmp_path / "here"), ClipDataset(out)
    assert here.fingerprint == there.fingerprint and here.info == there.info
    for one, other in zip(here.clips, there.clips, strict=True):
        np.testing.assert_array_equal(one.read().images, other.read().images)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
    assert summary.num_made == summary.num_clips == 5
    assert [done for done, _ in heard] == list(range(1, heard[-1][1] + 1))
    assert sorted(path.name for path in out.iterdir()) == [
        *("clips", "dataset.json", "index.parquet", "preview", "preview.html", "rejected.json", "videos.parquet")
    ]
    start = time.perf_counter()
    prepare_videos(videos, out, replace(settings, workers=-1))
    assert time.perf_counter() - start < first / 50


@pytest.mark.ray
def test_a_clip_that_kills_its_process_costs_no_other(ray_session, tmp_path, monkeypatch):
    import ray.cloudpickle

    monkeypatch.setattr(ray_data, "_MAX_RETRIES", 1)  # every process that dies is followed by one that imports
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    rows = [{"clip_id": f"clip-{number}"} for number in range(5)]
    results = {
        row["clip_id"]: row["reason"]
        for row in map_rows(rows, RowWork((Step(Doomed),), "clip_id"), out=StorageFolder(tmp_path), workers=2)
    }
    assert results.pop("clip-1") == "the process that worked on it died 3 times"
    assert results == {f"clip-{number}": "" for number in (0, 2, 3, 4)}


class Slow:
    """Takes longer than Ray Data waits for a sign of progress."""

    def __call__(self, row):
        time.sleep(4)
        return row


@pytest.mark.ray
def test_a_clip_that_takes_hours_is_waited_for(ray_session, tmp_path, monkeypatch):
    """Ray Data gives up after half an hour without a result, which a long video of full size may take."""
    import ray.cloudpickle
    import ray.data

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(ray.data.DataContext.get_current(), "execution_no_progress_timeout_s", 1.0)
    rows = [{"clip_id": "clip"}]
    work = RowWork((Step(Slow),), "clip_id")
    assert list(map_rows(rows, work, out=StorageFolder(tmp_path), workers=1)) == rows


# ---- Real people


@pytest.fixture
def real_videos(shared: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody who waves, and a wall; the networks of the default backends are there."""
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    folder = tmp_path / "real"
    folder.mkdir()
    shutil.copy(shared / "data" / "weizmann" / "person1_wave1.mp4", folder)
    wall = np.tile(np.linspace(60, 180, 64).astype(np.uint8), (12, 96, 1))[..., None].repeat(3, axis=3)
    write_video(folder / "nobody_wall.mp4", wall, fps=25)
    return folder


def test_real_people_on_the_default_backends(real_videos, out):
    settings = PrepareSettings(size=(96, 64), pattern="{person}_{action}.mp4", workers=0)
    summary = prepare_videos(real_videos, out, settings)
    assert summary.num_clips == 1 and summary.num_usable > 0.9 * summary.num_frames
    assert reasons(out)["nobody_wall.mp4"].startswith("no person: both shoulders")
    dataset = ClipDataset(out)
    assert set(dataset.info.backends["mask"]["weights"]) == {"blazepose-detector", "blazepose-landmark", "selfie"}
    clip = dataset.find("person1/wave1").read()
    assert 0.05 < (clip.masks > 0).mean() < 0.6 and clip.edges.max() > 128


def test_two_people_side_by_side_are_rejected_unless_the_crop_parts_them(networks, out, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    ada, bruno = (
        render_action(person, "bow", 9, RenderSettings(size=(192, 128))).images for person in ("ada", "bruno")
    )
    (tmp_path / "real" / "ada").mkdir(parents=True)
    write_video(tmp_path / "real" / "ada" / "alone.mp4", ada, fps=25)
    write_video(tmp_path / "real" / "ada" / "with_bruno.mp4", np.concatenate([ada, bruno], axis=2), fps=25)
    settings = PrepareSettings(size=(192, 128), crop="none", workers=0)
    assert prepare_videos(tmp_path / "real", out, settings).num_clips == 1
    expected = "several people: in 2 of 2 frames that were looked at there is another person of comparable size"
    assert reasons(out) == {"with_bruno.mp4": f"{expected}; crop the video to one of them, or choose --crop person"}
    assert prepare_videos(tmp_path / "real", out, replace(settings, crop="person", restart=True)).num_clips == 2


def test_crop_to_the_person(real_videos, out):
    settings = PrepareSettings(size=(96, 64), crop="person", edges="hed", mask="selfie", workers=0)
    summary = prepare_videos(real_videos, out, settings)
    assert "crop" in ClipDataset(out).info.backends
    assert [rejection.reason for rejection in summary.rejections] == ["no person is found in any frame"]
    clip = ClipDataset(out).clips[0].read()
    rows = np.flatnonzero((clip.masks > 0).any(axis=(0, 2)))
    assert np.ptp(rows) > 0.8 * 96
