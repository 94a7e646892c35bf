"""`posegen animate PHOTO` and `posegen preview` with a person of the studio."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from orchestration.app.wording import say_kindly
from orchestration.cli import main as cli
from orchestration.generation.output import OutputSettings
from orchestration.generation.photo import animate_photo
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.color.palette import parse_color
from posegen.errors import ConfigError
from posegen.inference.requested_codes import OWN_COLORS, ColorSettings
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.shown_person import PhotoSettings
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image, read_video
from posegen.io.video_writer import write_video
from posegen.perception.body import find_body
from posegen.synthetic.studio import RenderSettings, StudioClip, render_action

SIZE = (192, 128)


@pytest.fixture(scope="module")
def clip() -> StudioClip:
    return render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(384, 256)))


@pytest.fixture(scope="module")
def photo(clip, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "bruno.png"
    write_picture(path, clip.images[0])
    return path


def animate(photo: Path, out: Path, colors: ColorSettings = OWN_COLORS, poses: Path | None = None, **moves):
    view = PhotoSettings(size="192x128", poses=poses)
    return animate_photo(photo, moves=MotionSettings(**moves), output=OutputSettings(out=out), colors=colors, view=view)


def frames_of(path: Path) -> np.ndarray:
    return read_video(path, size=None).images


def distance_to(images: np.ndarray, color: str) -> np.ndarray:
    return delta_e_2000(rgb_to_lab(images), np.array(parse_color(color)))


def test_a_photo_does_an_action_in_a_colour(photo, tmp_path):
    made = animate(photo, tmp_path / "wave.mp4", ColorSettings(upper="teal"), action=("wave",), frames=10)
    assert made.videos == [tmp_path / "wave.mp4"] and made.sheets == [tmp_path / "wave.sheet.png"]
    images = frames_of(made.videos[0])
    assert images.shape == (10, *SIZE, 3)
    teal = (distance_to(images, "teal") < 8).sum(axis=(1, 2))
    assert (teal > 0.035 * SIZE[0] * SIZE[1]).all()  # a plaid shirt: a good part of it is the cloth's own colour
    moves = np.abs(images[0].astype(int) - images[5]).max(axis=-1) > 40
    assert 20 < moves.sum() < 0.15 * moves.size
    assert made.colors["upper"] == "teal is #008080"


def test_progress_counts_the_frames_of_all_videos(photo, tmp_path):
    counted: list[tuple[int, int]] = []
    animate_photo(
        photo,
        moves=MotionSettings(action=("wave", "kick"), frames=2),
        output=OutputSettings(out=tmp_path / "videos"),
        colors=OWN_COLORS,
        view=PhotoSettings(size="96x64"),
        on_frame=lambda done, total: counted.append((done, total)),
    )
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("out", "action", "message"),
    [("x", ("wave",), "one video is written as .mp4"), ("x.mp4", ("wave", "kick"), "2 videos are written to a folder")],
)
def test_a_name_that_does_not_fit_is_refused_before_the_photo_is_read(out, action, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        animate(tmp_path / "missing.png", tmp_path / out, action=action)


def test_without_a_colour_clothes_keep_theirs(photo, clip, tmp_path):
    images = frames_of(animate(photo, tmp_path / "x.mp4", action=("wave",), frames=4).videos[0])
    own = np.median(rgb_to_lab(clip.images[0])[clip.garments[0] == 2], axis=0)
    assert (delta_e_2000(rgb_to_lab(images[2]), own) < 3).sum() > 300


def test_colours_fade(photo, tmp_path):
    fade = ColorSettings(lower="red", lower_to="blue")
    images = frames_of(animate(photo, tmp_path / "x.mp4", fade, action=("idle",), frames=5).videos[0])
    red, blue = ((distance_to(images, color) < 15).sum(axis=(1, 2)) for color in ("red", "blue"))
    assert red[0] > 300 > 20 > red[-1] and blue[-1] > 300 > 20 > blue[0]


def test_random_colours_of_a_run_are_those_that_are_shown(photo, untrained_run, tmp_path, capsys):
    options = f"--action idle --frames 2 --size 192x128 --sample fitted --samples 2 --encoders {untrained_run}"
    cli.main(["animate", str(photo), *options.split(), "--lower", "red", "--out", str(tmp_path / "random")])
    assert {path.name for path in (tmp_path / "random").iterdir()} == {
        "idle-1.mp4",
        "idle-2.mp4",
        "idle.sheet.png",
    }
    drawn = [one for one in re.findall(r"#[0-9a-f]{6}", capsys.readouterr().out) if one != "#ff0000"]
    assert len(drawn) == 2
    for number in (1, 2):
        images = frames_of(tmp_path / "random" / f"idle-{number}.mp4")
        near = [int((distance_to(images, one) < 8).sum()) for one in (*drawn, "red")]
        assert near[number - 1] > 500 and near[2] > 300 and near[number - 1] > 3 * near[2 - number]


def test_a_person_who_walks_stays_large(photo, tmp_path):
    """The studio's walk goes metres: a frame that holds all of it shows somebody small."""
    moves = {"action": ("walk",), "frames": 40, "actor": "procedure"}
    here, far = (
        animate_photo(
            photo,
            moves=MotionSettings(**moves),
            output=OutputSettings(out=tmp_path / f"{travel}.mp4"),
            colors=OWN_COLORS,
            view=PhotoSettings(size="192x128", travel=travel),
        )
        for travel in ("fit", "full")
    )
    [note] = [note for note in here.notes if "stays large" in note]
    assert re.match(r"walk (covers \d\.\d m|stays on the spot) instead of \d\.\d m, so that .* --travel full", note)
    assert re.match("“walk” .*, so that the person stays large in the picture. Choose “all the way”", say_kindly(note))
    assert not [note for note in far.notes if "stays large" in note]
    large, small = (find_body(frames_of(made.videos[0])[0]).region.size for made in (here, far))
    assert large > 1.25 * small
    waved = animate(photo, tmp_path / "wave.mp4", action=("wave",), frames=2)
    assert not [note for note in waved.notes if "stays large" in note]


def test_actions_are_read_in_any_case(photo, tmp_path):
    assert MotionSettings(action=("Wave, KICK",)).names == ["wave", "kick"]
    assert MotionSettings(actions=("Wave", "kick"), actor="procedure").names == ["wave-kick"]
    assert MotionSettings(action=("Wave",), actor="runs/own").names == ["Wave"]  # the run says what it knows
    assert animate(photo, tmp_path / "x.mp4", action=("Wave",), frames=2).num_frames == 2


def test_keep_leaves_a_garment_as_it_is(photo, tmp_path):
    for name, colors in (("own", {}), ("kept", {"upper": "keep", "lower": "Keep", "lower_to": "keep"})):
        animate(photo, tmp_path / f"{name}.mp4", ColorSettings(**colors), action=("idle",), frames=2)
    assert (tmp_path / "own.mp4").read_bytes() == (tmp_path / "kept.mp4").read_bytes()


def test_actions_in_a_row_are_one_video(photo, tmp_path):
    made = animate(photo, tmp_path / "x.mp4", actions=("wave", "kick"), frames=12)
    assert len(made.videos) == 1 and made.num_frames == 12


def test_a_video_leads(photo, clip, tmp_path):
    write_video(tmp_path / "lead.mp4", clip.images, fps=25)
    made = animate(photo, tmp_path / "x.mp4", poses=tmp_path / "lead.mp4")
    assert made.num_frames == len(clip.images)
    beginning = animate(photo, tmp_path / "y.mp4", poses=tmp_path / "lead.mp4", frames=2)
    assert beginning.num_frames == 2
    with pytest.raises(ConfigError, match=r"lead has \d+ frames, got --frames 1000"):
        animate(photo, tmp_path / "z.mp4", poses=tmp_path / "lead.mp4", frames=1000)


def test_a_video_of_the_person_is_a_source(clip, tmp_path):
    write_video(tmp_path / "bruno.mp4", clip.images, fps=25)
    made = animate(tmp_path / "bruno.mp4", tmp_path / "x.mp4", action=("raise_arms",), frames=4)
    assert frames_of(made.videos[0]).shape == (4, *SIZE, 3)


def test_the_photo_is_never_written_over(photo, tmp_path):
    before = photo.read_bytes()
    animate(photo, photo.with_suffix(".mp4"), action=("idle",), frames=2)
    assert photo.read_bytes() == before
    write_video(tmp_path / "lead.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2, fps=25)
    with pytest.raises(ConfigError, match=r"lead\.mp4 is read"):
        animate(photo, tmp_path / "lead.mp4", poses=tmp_path / "lead.mp4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no motion given: use --action NAME"),
        ("--action wave --size 10x10", "got size '10x10', expected HEIGHTxWIDTH such as 384x256"),
        ("--action wave --size big", "got size 'big'"),
        ("--action wave --person 0", "got person 0"),
        ("--action wave --person 3", "expected 3"),
        ("--action wave --poses lead.mp4", "got --poses and --action, expected one of them"),
        ("--poses lead.mp4 --yaw 30", "--yaw is used with a motion, got --poses: leave --yaw out"),
        ("--poses lead.mp4 --page", "--page is used with a motion"),
        ("--action wave --upper nocolour", "unknown colour 'nocolour'"),
        ("--action wave --upper-to red", "--upper-to fades from --upper, which is missing"),
        ("--action wave --sample fitted", "name it with --encoders"),
        ("--action wave --sample fitted --encoders nowhere", "nowhere"),
        ("--action fly", "unknown action 'fly'"),
        ("--actions wave kick --poses lead.mp4", "got --poses and --actions"),
        (
            "--action wave kick",
            "unexpected kick: give --actions wave kick for all in a row, or --action wave,kick for a video each",
        ),
        ("--action wave ann.jpg", "unexpected ann.jpg (a name with spaces needs quotes)"),
        ("--poses nowhere.mp4", "nowhere.mp4"),
    ],
)
def test_mistakes_end_with_one_line(photo, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        cli.main(["animate", str(photo), *arguments.split(), "--out", str(tmp_path / "x.mp4")])
    error = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and message in " ".join(error.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["animate", "preview"])
def test_a_picture_of_nobody_is_refused(command, tmp_path, capsys):
    write_picture(tmp_path / "wall.png", np.full((300, 200, 3), 180, np.uint8))
    options = ["--action", "wave", "--out", str(tmp_path / "x.mp4")]
    with pytest.raises(SystemExit) as stop:
        cli.main([command, str(tmp_path / "wall.png"), *(options if command == "animate" else ["--out", "x.png"])])
    assert stop.value.code == 2 and "no person is found" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["wall.png"]


def test_preview_draws_and_judges(photo, tmp_path, capsys):
    cli.main(["preview", str(photo), "--out", str(tmp_path / "seen.png"), "--size", "192x128"])
    out = " ".join(capsys.readouterr().out.split())
    assert "good: wave_one_hand" in out and "poor: turn" in out
    assert read_image(tmp_path / "seen.png", size=None).images[0].shape == (20 + 194, 5 * 128 + 8, 3)
    before = photo.read_bytes()
    with pytest.raises(SystemExit) as stop:
        cli.main(["preview", str(photo), "--out", str(photo)])
    assert stop.value.code == 2 and photo.read_bytes() == before
