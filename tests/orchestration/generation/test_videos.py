"""`posegen generate` with a stage that knows colours but was not trained to draw."""

from __future__ import annotations

import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from orchestration.cli import main as cli
from orchestration.generation import videos as command
from orchestration.generation.videos import ColorSettings, PoseSequence, find_clips, generate, shows_person, swatch
from posegen.color.lab import rgb_to_lab
from posegen.datasets.clips import ClipDataset
from posegen.errors import DatasetError
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_picture
from posegen.io.video_reader import read_video


@pytest.fixture
def draw(untrained_run, two_people, tmp_path):
    """The command with a person, into the test's folder."""

    def call(poses, out, batch=4, **colors):
        return generate(
            untrained_run,
            two_people,
            content="grace/bow",
            poses=poses,
            out=tmp_path / out,
            batch=batch,
            colors=ColorSettings(**colors),
        )

    return call


def frames_of(path):
    return read_video(path, size=None).images.astype(int)


def test_one_video(draw, tmp_path):
    made = draw(["luis/bow"], "x.mp4")
    assert made.videos == [tmp_path / "x.mp4"] and made.sheets == [tmp_path / "x.png"]
    assert made.num_frames == 4 and frames_of(made.videos[0]).shape == (4, 96, 64, 3)
    sheet = cv2.imread(str(made.sheets[0]))
    assert sheet.shape == (3 * 98 - 2, 4 * 66 - 2, 3)


def test_many_clips_as_one_batch_are_those_drawn_alone(draw, tmp_path):
    together = draw(["*/bow", "grace/squat"], "many")
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(
        f"{name}-0.{suffix}" for name in ("grace-bow", "grace-squat", "luis-bow") for suffix in ("mp4", "png")
    )
    assert together.num_frames == 16
    alone = draw(["luis/bow"], "alone.mp4")
    luis = next(path for path in together.videos if "luis" in path.name)
    assert np.abs(frames_of(luis) - frames_of(alone.videos[0])).mean() < 1  # a batch rounds otherwise


def test_patterns_and_names(two_people):
    data = ClipDataset(two_people)
    found = find_clips(data, ["grace/*", "grace/bow", "luis/b?w"])
    assert [clip.clip_id for clip in found] == ["grace-bow-0", "grace-squat-0", "luis-bow-0"]
    with pytest.raises(DatasetError, match=r"no PERSON/ACTION in .* matches 'x\*'"):
        find_clips(data, ["x*"])


def test_random_colours(draw, tmp_path):
    made = draw(["grace/squat"], "random", batch=2, sample="fitted", samples=3, seed=5)
    assert [path.name for path in made.videos] == [f"grace-squat-0-{number}.mp4" for number in (1, 2, 3)]
    assert [path.name for path in made.sheets] == ["grace-squat-0.png"]
    assert cv2.imread(str(made.sheets[0])).shape[0] == 5 * 98 - 2  # content, poses, three videos
    one, two, three = map(frames_of, made.videos)
    assert (one != two).any() and (two != three).any()
    again = draw(["grace/squat"], "again", batch=2, sample="fitted", samples=3, seed=5)
    np.testing.assert_array_equal(frames_of(again.videos[2]), three)


def test_a_wish_holds_for_all_random_videos(untrained_run, two_people):
    synthesizer, data = VideoSynthesizer.load(untrained_run, torch.device("cpu")), ClipDataset(two_people)
    person = command.person_of_clip(data.find("grace/bow"))
    settings = ColorSettings(upper="teal", sample="prior", samples=3)
    codes, notes = command.choose_codes(synthesizer, person, data.info, settings)
    uppers, lowers = zip(*(synthesizer.split(start) for start, _ in codes), strict=True)
    assert all(torch.equal(upper, uppers[0]) for upper in uppers)
    assert not torch.equal(lowers[0], lowers[1])
    assert notes == {"upper": "teal is (a, b) = (-29, -8)"}


def test_interpolation_goes_from_one_colour_to_the_other(draw, untrained_run, two_people):
    synthesizer, data = VideoSynthesizer.load(untrained_run, torch.device("cpu")), ClipDataset(two_people)
    clip = data.find("grace/bow")
    settings = ColorSettings(upper="teal", upper_to="crimson")
    codes, notes = command.choose_codes(synthesizer, command.person_of_clip(clip), data.info, settings)
    poses = PoseSequence(clip.clip_id, clip.keypoints, clip.info.fps, clip.times)
    [job] = command.plan([poses], codes, command.Path("x.mp4"))
    start, stop = codes[0]
    assert job.z.shape == (6, 8) and notes.keys() == {"upper", "upper, at the end"}
    torch.testing.assert_close(job.z[-1], stop)
    torch.testing.assert_close(job.z[2], (start + stop) / 2)
    assert draw(["grace/bow"], "way.mp4", upper="teal", lower_to="gold").num_frames == 6


def test_exact_colours_say_what_they_reached(draw):
    made = draw(["grace/bow"], "exact.mp4", upper="lab(60 10 -10)", exact_color=True)
    assert "lab(60 10 -10) is (a, b) = (10, -10); drawn ΔE2000 " in made.colors["upper"]
    assert made.colors["upper"].endswith("before the correction")


def test_frames_go_to_the_file_at_once(untrained_run, two_people, tmp_path, monkeypatch):
    """Of a long clip no more frames live than the contact sheet shows and the one that is being drawn."""
    synthesizer, data = VideoSynthesizer.load(untrained_run, torch.device("cpu")), ClipDataset(two_people)
    clip, most = data.find("grace/bow"), 0
    poses = PoseSequence("long", np.tile(clip.keypoints, (10, 1, 1)), fps=25.0)
    original = synthesizer.clips

    def watched(*arguments):
        nonlocal most
        for drawn in original(*arguments):
            watches.extend(weakref.ref(frame) for frame in drawn.values())
            most = max(most, sum(watch() is not None for watch in watches))
            yield drawn

    watches: list[weakref.ref] = []
    monkeypatch.setattr(synthesizer, "clips", watched)
    person = command.person_of_clip(clip)
    job = command._Job(tmp_path / "x.mp4", poses, synthesizer.encode(person.image))
    [strip] = command.draw(synthesizer, person, [job])
    assert len(watches) == 60 and len(strip) == 10 and most <= 12


def test_photo_of_cloth(tmp_path):
    cloth = np.full((64, 64, 3), 255, np.uint8)
    cloth[12:52, 12:52] = (42, 111, 219)
    write_picture(tmp_path / "cloth.png", cloth)
    expected = rgb_to_lab(np.array([42, 111, 219], np.uint8))
    np.testing.assert_allclose(swatch(tmp_path / "cloth.png"), expected)


def test_photo_shows_a_person_or_cloth(tmp_path, networks, monkeypatch, two_people, untrained_run):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_picture(tmp_path / "cloth.png", np.full((96, 64, 3), (42, 111, 219), np.uint8))
    seen = replace(ClipDataset(two_people).info, backends={"pose": {"name": "blazepose"}})
    assert not shows_person(tmp_path / "cloth.png", seen)
    assert shows_person(tmp_path / "cloth.png", ClipDataset(two_people).info)  # nothing can look
    synthesizer, data = VideoSynthesizer.load(untrained_run, torch.device("cpu")), ClipDataset(two_people)
    person = command.person_of_clip(data.find("grace/bow"))
    z = synthesizer.encode(person.image)
    photo, note = command.color(synthesizer, person, seen, z, {"lower": str(tmp_path / "cloth.png")}, exact=False)
    hexed, _ = command.color(synthesizer, person, seen, z, {"lower": "#2a6fdb"}, exact=False)
    torch.testing.assert_close(photo, hexed)
    assert note["lower"].endswith("cloth.png is (a, b) = (18, -61)")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--poses luis/bow --out x", "one video is written as .mp4, got 'x'"),
        ("--poses luis/bow grace/bow --out x.mp4", "2 videos are written to a folder, got 'x.mp4'"),
        ("--poses luis/bow --out x.mp4 --sample prior", "4 videos are written to a folder, got 'x.mp4'"),
        ("--poses luis/bow --out x.mp4 --upper blurple", "unknown colour 'blurple'"),
        ("--poses luis/bow --out x.mp4 --batch 0", "got batch 0 and samples 4, expected 1 or more"),
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
    assert "upper: teal is (a, b) = (-29, -8)" in out
