"""Files of generated videos: where they lie, and what is kept of them in memory."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

from orchestration.generation.output import GeneratedVideos, OutputSettings, PlannedVideo, write_frames
from posegen.errors import ConfigError
from posegen.inference.run_video import PoseSequence
from posegen.io.video_reader import read_video


def make_poses(length: int, name: str = "bow") -> PoseSequence:
    return PoseSequence(name, np.zeros((length, 18, 3), np.float32), fps=25.0)


def test_one_video_is_a_file_and_several_are_in_a_folder():
    file, folder = OutputSettings(out=Path("x.MP4")), OutputSettings(out=Path("made"))
    assert file.path("bow") == Path("x.MP4") and folder.path("bow") == Path("made/bow.mp4")
    file.require_place_for(1)
    folder.require_place_for(2)
    with pytest.raises(ConfigError, match=r"one video is written as \.mp4, got 'made'"):
        folder.require_place_for(1)
    with pytest.raises(ConfigError, match=r"3 videos are written to a folder, got 'x\.MP4'"):
        file.require_place_for(3)


def test_without_a_place_videos_are_named_after_their_subject_and_their_motions():
    output = OutputSettings(batch=2).named_after("photos/ann.may.jpg")
    output.require_place_for(1)
    output.require_place_for(3)
    assert output.path("walk") == Path("ann.may.walk.mp4") and output.batch == 2
    assert OutputSettings(out=Path("made")).named_after("ann.jpg").path("walk") == Path("made/walk.mp4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"out": Path("x.mp4"), "batch": 0}, "got batch 0, expected 1 or more"),
        ({"out": Path("x.avi")}, "the video is written as .mp4, got 'x.avi'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        OutputSettings(**settings)


def test_frames_go_to_the_file_at_once(tmp_path):
    """Of a long video no more frames live than the contact sheet shows and the one that is being written."""
    watches: list[weakref.ref] = []
    most = 0

    def frames():
        nonlocal most
        for number in range(60):
            frame = np.full((32, 32, 3), number, np.uint8)
            watches.append(weakref.ref(frame))
            most = max(most, sum(watch() is not None for watch in watches))
            yield {0: frame}

    video = PlannedVideo(tmp_path / "x.mp4", make_poses(60))
    [strip] = write_frames([video], frames())
    assert len(watches) == 60 and len(strip) == 10 and most <= 12
    assert [int(frame[0, 0, 0]) for frame in strip] == video.sheet_rows
    assert len(read_video(tmp_path / "x.mp4", size=None).images) == 60


def test_videos_of_different_lengths_are_written_together(tmp_path):
    videos = [PlannedVideo(tmp_path / f"{length}.mp4", make_poses(length)) for length in (2, 5)]

    def frames():
        for row in range(5):
            yield {number: np.zeros((32, 32, 3), np.uint8) for number, length in enumerate((2, 5)) if row < length}

    strips = write_frames(videos, frames())
    assert list(map(len, strips)) == [2, 5]
    assert [len(read_video(video.path, size=None).images) for video in videos] == [2, 5]
    assert GeneratedVideos.of(videos, []).num_frames == 7
