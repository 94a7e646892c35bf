"""`posegen generate` with a generator that was not trained, and codebooks that were fitted."""

from __future__ import annotations

import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from orchestration.cli import main as cli
from orchestration.generation.output import OutputSettings, PoseSequence
from orchestration.generation.videos import RecoloredVideo, generate, plan_videos, render_batch
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.features.body_pose import BodyPoses
from posegen.inference.movements import Movement
from posegen.inference.person import person_of_clip
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import ColorSettings, choose_codes
from posegen.inference.run_video import PoseSettings
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.video_reader import read_video
from posegen.synthetic.studio import RenderSettings, render_action


@pytest.fixture
def generate_videos(untrained_run, two_people, tmp_path):
    """The command with a person, into the test's folder."""

    def call(poses, out, batch=4, verbatim=False, frames=None, **colors):
        return generate(
            untrained_run,
            two_people,
            content="grace/bow",
            driving=PoseSettings(poses=tuple(poses), frames=frames, verbatim=verbatim),
            output=OutputSettings(out=tmp_path / out, batch=batch),
            colors=ColorSettings(**colors),
        )

    return call


def frames_of(path):
    return read_video(path, size=None).images.astype(int)


def test_one_video(generate_videos, tmp_path):
    made = generate_videos(["luis/bow"], "x.mp4")
    assert made.videos == [tmp_path / "x.mp4"] and made.sheets == [tmp_path / "x.sheet.png"]
    assert made.num_frames == 4 and frames_of(made.videos[0]).shape == (4, 96, 64, 3)
    sheet = cv2.imread(str(made.sheets[0]))
    assert sheet.shape == (3 * 118, 4 * 66 - 2, 3)


def test_the_first_frames_alone(generate_videos):
    assert generate_videos(["luis/bow"], "x.mp4", frames=2).num_frames == 2
    with pytest.raises(ConfigError, match="has 4 frames, got --frames 5"):
        generate_videos(["luis/bow"], "y.mp4", frames=5)


def test_many_clips_as_one_batch_are_those_rendered_alone(generate_videos, tmp_path):
    together = generate_videos(["*/bow", "grace/squat"], "many")
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(
        f"{name}-0.{suffix}" for name in ("grace-bow", "grace-squat", "luis-bow") for suffix in ("mp4", "sheet.png")
    )
    assert together.num_frames == 16
    alone = generate_videos(["luis/bow"], "alone.mp4")
    luis = next(path for path in together.videos if "luis" in path.name)
    assert np.abs(frames_of(luis) - frames_of(alone.videos[0])).mean() < 1  # a batch rounds otherwise


def test_a_video_leads(generate_videos, tmp_path, monkeypatch):
    poses = render_action("luis", "squat", 5, RenderSettings(size=(96, 64)))
    (tmp_path / "dance.mp4").touch()
    movement = Movement("dance", BodyPoses.from_keypoints(poses.keypoints), 12.5, np.arange(5) / 12.5)
    monkeypatch.setattr("posegen.inference.run_video.open_poses", lambda path, fps: movement)
    made = generate_videos([str(tmp_path / "dance.mp4"), "luis/bow"], "led")
    assert sorted(path.name for path in made.videos) == ["dance.mp4", "luis-bow-0.mp4"]
    assert read_video(tmp_path / "led" / "dance.mp4", size=None).fps == pytest.approx(12.5)
    with pytest.raises(ConfigError, match="--verbatim takes poses of clips"):
        generate_videos([str(tmp_path / "dance.mp4")], "x.mp4", verbatim=True)


def test_random_colours(generate_videos, tmp_path):
    made = generate_videos(["grace/squat"], "random", batch=2, sample="fitted", samples=3, seed=5)
    assert [path.name for path in made.videos] == [f"grace-squat-0-{number}.mp4" for number in (1, 2, 3)]
    assert [path.name for path in made.sheets] == ["grace-squat-0.sheet.png"]
    assert cv2.imread(str(made.sheets[0])).shape[0] == 5 * 118  # content, poses, three videos
    one, two, three = map(frames_of, made.videos)
    assert (one != two).any() and (two != three).any()
    again = generate_videos(["grace/squat"], "again", batch=2, sample="fitted", samples=3, seed=5)
    np.testing.assert_array_equal(frames_of(again.videos[2]), three)


def test_interpolation_goes_from_one_colour_to_the_other(generate_videos, untrained_run, two_people):
    synthesizer, data = (
        load_renderer(untrained_run, VideoSynthesizer, device=torch.device("cpu")),
        ClipDataset(two_people),
    )
    clip = data.find("grace/bow")
    settings = ColorSettings(upper="teal", upper_to="crimson")
    codes = choose_codes(synthesizer, person_of_clip(clip), data.info, settings)
    poses = PoseSequence(clip.clip_id, clip.keypoints, clip.info.fps, clip.times)
    [video] = plan_videos([poses], codes, OutputSettings(out=Path("x.mp4")))
    start, stop = codes.ends[0]
    assert video.z.shape == (6, 8) and codes.notes.keys() == {"upper", "upper, at the end"}
    torch.testing.assert_close(video.z[-1], stop)
    torch.testing.assert_close(video.z[2], (start + stop) / 2)
    assert generate_videos(["grace/bow"], "way.mp4", upper="teal", lower_to="gold").num_frames == 6


def test_exact_colours_say_what_they_reached(generate_videos):
    made = generate_videos(["grace/bow"], "exact.mp4", upper="lab(60 10 -10)", exact_color=True)
    assert "lab(60 10 -10) is #9a8ba2; rendered as #" in made.colors["upper"]
    assert made.colors["upper"].endswith("hardly lightness")


def test_frames_go_to_the_file_at_once(untrained_run, two_people, tmp_path, monkeypatch):
    """Of a long clip no more frames live than the contact sheet shows and the one that is being rendered."""
    synthesizer, data = (
        load_renderer(untrained_run, VideoSynthesizer, device=torch.device("cpu")),
        ClipDataset(two_people),
    )
    clip, most = data.find("grace/bow"), 0
    poses = PoseSequence("long", np.tile(clip.keypoints, (10, 1, 1)), fps=25.0)
    original = synthesizer.clips

    def watched(*arguments):
        nonlocal most
        for frames in original(*arguments):
            watches.extend(weakref.ref(frame) for frame in frames.values())
            most = max(most, sum(watch() is not None for watch in watches))
            yield frames

    watches: list[weakref.ref] = []
    monkeypatch.setattr(synthesizer, "clips", watched)
    person = person_of_clip(clip)
    video = RecoloredVideo(tmp_path / "x.mp4", poses, synthesizer.encode(person.image))
    [strip] = render_batch(synthesizer, person, [video])
    assert len(watches) == 60 and len(strip) == 10 and most <= 12


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--poses luis/bow --out x", "one video is written as .mp4, got 'x'"),
        ("--poses luis/bow grace/bow --out x.mp4", "2 videos are written to a folder, got 'x.mp4'"),
        ("--poses luis/bow --out x.mp4 --sample prior", "4 videos are written to a folder, got 'x.mp4'"),
        ("--poses luis/bow --out x.mp4 --upper blurple", "unknown colour 'blurple'"),
        ("--poses luis/bow --out x.mp4 --batch 0", "got batch 0, expected 1 or more"),
        ("--poses luis/bow --out x.mp4 --samples 0", "got samples 0, expected 1 or more"),
    ],
)
def test_mistakes_end_with_one_line(untrained_run, two_people, line, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", untrained_run, "--dataset", two_people, "--content", "grace/bow", *line.split()])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_command_says_what_it_made(untrained_run, two_people, tmp_path, capsys):
    options = f"--dataset {two_people} --content grace/bow --poses */bow --upper teal --out {tmp_path}/made"
    cli.main(["generate", untrained_run, *options.split()])
    out = capsys.readouterr().out
    assert "10 frames in 2 videos in" in out and "2 contact sheets" in out
    assert "upper: teal is #008080" in out
