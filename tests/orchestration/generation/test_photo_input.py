"""Bad and odd input of `animate`, `preview` and `colorways`: one line, and nothing half-written or written over."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestration.cli import main as cli
from posegen.errors import ConfigError
from posegen.inference.shown_person import Painter, PhotoSettings, open_person
from posegen.io.images import shrink, write_picture, write_whole
from posegen.io.output_files import OverwriteSettings
from posegen.io.video_writer import write_video
from posegen.person_classes import PersonClass
from posegen.synthetic.studio import RenderSettings, render_action

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
SMALL = ("--size", "192x128")


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    return render_action("bruno", "wave_one_hand", 2, RenderSettings(size=(384, 256))).images[0]


@pytest.fixture
def photo(person, tmp_path) -> Path:
    write_picture(tmp_path / "photo.png", person)
    return tmp_path / "photo.png"


def run(*arguments: object) -> None:
    cli.main([str(one) for one in arguments])


def refuse(capsys, *arguments: object) -> str:
    """Run a command that ends with code 2, and return its one line."""
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("posegen: ")]
    assert stop.value.code == 2 and len(lines) == 1 and "Traceback" not in captured.err
    return lines[0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_half_a_body_is_drawn_and_what_is_missing_is_said(person, tmp_path, capsys):
    write_picture(tmp_path / "half.png", person[:200])
    command = ("animate", tmp_path / "half.png", *SMALL)
    run(*command, "--action", "wave", "--frames", 2, "--out", tmp_path / "x.mp4")
    assert "note: no leg is seen" in capsys.readouterr().out
    before = names(tmp_path)
    message = refuse(capsys, *command, "--action", "kick", "--out", tmp_path / "kick.mp4")
    assert "kick needs legs, which the photo does not show" in message and names(tmp_path) == before


def test_half_a_body_is_cut_where_the_picture_ends(person, tmp_path):
    write_picture(tmp_path / "half.png", person[:200])
    shown = open_person(tmp_path / "half.png", PhotoSettings(size="192x128"))
    assert (shown.photo.labels[-4:] > 0).any()  # no gap below the person


def test_each_of_two_people_can_be_chosen(person, tmp_path, capsys):
    other = render_action("farid", "idle", 2, RenderSettings(size=(384, 256))).images[0]
    write_picture(tmp_path / "two.png", np.hstack([person, other]))
    photos = [open_person(tmp_path / "two.png", PhotoSettings(size="192x128", person=number)) for number in (1, 2)]
    alone = []
    for name, picture in (("bruno", person), ("farid", other)):
        write_picture(tmp_path / f"{name}.png", picture)
        alone.append(open_person(tmp_path / f"{name}.png", PhotoSettings(size="192x128")))
    colors, expected = (
        [np.median(one.photo.image[one.photo.labels == PersonClass.UPPER], axis=0) for one in shown]
        for shown in (photos, alone)
    )
    distances = np.array([[np.abs(color - other).max() for other in expected] for color in colors])
    assert set(distances.argmin(axis=1)) == {0, 1}
    assert any("1 more of comparable size" in line for line in photos[0].findings)
    message = refuse(capsys, "preview", tmp_path / "two.png", "--person", 3, "--out", tmp_path / "p.png")
    assert "2 people are seen in the picture, expected 3" in message


def test_a_small_person_is_said_to_be_small(person, tmp_path):
    small = Image.fromarray(person).resize((67, 100))
    small.save(tmp_path / "small.png")
    shown = open_person(tmp_path / "small.png", PhotoSettings(size="384x256"))
    assert any("pixels tall" in line for line in shown.findings)


def test_bars_beside_a_photo_are_cut_off(person, tmp_path):
    write_picture(tmp_path / "barred.png", np.pad(person, ((0, 0), (64, 64), (0, 0)), constant_values=255))
    shown = open_person(tmp_path / "barred.png", PhotoSettings(size="192x192"))
    assert "bars of one colour at two sides of the picture are cut off" in shown.findings
    assert (shown.background[:40] < 250).all() and (shown.photo.image[:40] < 250).all()


def test_a_clip_goes_on_beyond_its_bars_and_borders(person, tmp_path):
    frames = [np.pad(person, ((0, 0), (64, 64), (0, 0)))] * 4
    write_video(tmp_path / "clip.mp4", frames, fps=10)
    shown = open_person(tmp_path / "clip.mp4", PhotoSettings(size="192x288"))
    assert "bars of one colour at two sides of the picture are cut off" in shown.findings
    beyond = shown.background[:, :20].astype(int)
    assert beyond.min() > 20  # no bar
    assert np.abs(np.diff(beyond[40:120], axis=1)).max() > 2  # nor a pixel that is smeared


def test_what_reading_changed_is_printed(person, tmp_path, capsys):
    picture = Image.fromarray(person)
    picture.putalpha(Image.fromarray(np.tile(np.linspace(0, 510, 256).clip(0, 255).astype(np.uint8), (384, 1))))
    picture.save(tmp_path / "a.png")
    run("preview", tmp_path / "a.png", "--out", tmp_path / "seen.png", *SMALL)
    assert "transparent pixels are shown on white" in capsys.readouterr().out
    run("colorways", tmp_path / "a.png", "--upper", "teal", "--out", tmp_path / "sheet.png")
    assert "transparent pixels are shown on white" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.heic", HEIC, "HEIC, which is not read: save it as JPEG or PNG first"),
        ("a.jpg", HEIC, "HEIC, which is not read"),
        ("a.jpg", b"hello\n" * 50, "not a picture, expected JPEG, PNG"),
        ("a", b"hello\n" * 50, "not a picture, expected JPEG, PNG"),
        ("a.png", b"", "zero bytes"),
        ("a.mp4", b"", "zero bytes"),
        ("a.jpg", None, "Is a directory"),
        ("a.mp4", None, "Is a directory"),
    ],
)
@pytest.mark.parametrize("command", ["animate", "preview", "colorways"])
def test_files_that_show_no_picture(command, name, content, message, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    path.mkdir() if content is None else path.write_bytes(content)
    options = {"animate": ("--action", "wave"), "preview": (), "colorways": ("--upper", "red")}[command]
    out = tmp_path / "out" / ("x.mp4" if command == "animate" else "x.png")
    assert message in refuse(capsys, command, path, *options, "--out", out)
    assert not out.parent.exists() and names(tmp_path) == {"in", name}


def test_a_driving_video_of_nobody_or_of_one_frame(photo, tmp_path, capsys):
    write_video(tmp_path / "wall.mp4", [np.full((96, 64, 3), 180, np.uint8)] * 3, fps=25)
    write_video(tmp_path / "one.mp4", [np.full((96, 64, 3), 180, np.uint8)], fps=25)
    for name, message in (("wall", "nobody"), ("one", "one frame in 60 s, expected a video of at least two")):
        command = ("animate", photo, "--poses", tmp_path / f"{name}.mp4", "--out", tmp_path / "x.mp4")
        assert message in refuse(capsys, *command)
    assert names(tmp_path) == {"photo.png", "wall.mp4", "one.mp4"}


def test_inputs_are_not_written_over(photo, tmp_path, capsys):
    before = photo.read_bytes()
    os.link(photo, tmp_path / "link.png")
    (tmp_path / "x.csv").symlink_to(photo)
    photo.rename(tmp_path / "x.sheet.png")
    photo = tmp_path / "x.sheet.png"
    for command in (
        ("preview", photo, "--out", tmp_path / "link.png"),
        ("colorways", photo, "--upper", "red", "--out", tmp_path / "link.png"),
        ("animate", photo, "--action", "idle", "--out", tmp_path / "x.mp4"),
    ):
        assert "is read, expected another file to write" in refuse(capsys, *command)
    (tmp_path / "x.csv").unlink()
    (tmp_path / "x.csv").symlink_to(photo)
    message = refuse(capsys, "colorways", photo, "--upper", "red", "--out", tmp_path / "x.png")
    assert "x.csv is read" in message and photo.read_bytes() == before


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is no folder"):
        OverwriteSettings().require_writable([tmp_path / "file" / "x.png"], [])
    with pytest.raises(ConfigError, match="is a folder, expected a file to write"):
        OverwriteSettings().require_writable([tmp_path], [])
    OverwriteSettings().require_writable([tmp_path / "new" / "newer" / "x.png"], [])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="cannot be written to"):
        OverwriteSettings().require_writable([tmp_path / "x.png"], [])


def test_an_interruption_leaves_nothing(photo, tmp_path, monkeypatch):
    def interrupt(self, poses, colors):
        yield np.zeros((192, 128, 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "frames", interrupt)
    with pytest.raises(SystemExit) as stop:
        run("animate", photo, "--action", "idle", "--frames", 4, *SMALL, "--out", tmp_path / "x.mp4")
    assert stop.value.code == 130 and names(tmp_path) == {"photo.png"}


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a.csv", b"new")
    assert names(tmp_path) == {"a.csv"} and (tmp_path / "a.csv").read_text() == "old"


@pytest.mark.parametrize(("shape", "expected"), [((8000, 50), (4096, 26)), ((100, 60), (100, 60))])
def test_large_pictures_are_made_smaller(shape, expected):
    assert shrink(np.zeros((*shape, 3), np.uint8), 4096).shape == (*expected, 3)


def test_folder_is_refused_by_what_is_expected(tmp_path, capsys):
    message = refuse(capsys, "animate", tmp_path, "--action", "wave", "--out", tmp_path / "x.mp4")
    assert message.endswith("is a folder without a run, expected a photo, a video of the person or a run")
    assert not names(tmp_path)


def test_without_out_files_are_named_after_the_photo_and_never_replaced(photo, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    animate = ("animate", photo, *SMALL, "--action", "wave", "--frames", 2)
    run("preview", photo, *SMALL)
    run(*animate)
    assert names(Path()) == {"photo.preview.png", "photo.wave.mp4", "photo.wave.sheet.png"}
    said = capsys.readouterr().out
    assert "picture: photo.preview.png" in said and "2 frames in photo.wave.mp4" in said
    assert "photo.wave.mp4 is there already" in refuse(capsys, *animate)
    run(*animate, "--overwrite")


def test_a_second_preview_prints_its_findings_and_keeps_the_picture(photo, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run("preview", photo, *SMALL)
    first = capsys.readouterr().out.splitlines()
    Path("photo.preview.png").write_bytes(b"older")
    run("preview", photo, *SMALL)
    again = capsys.readouterr().out
    assert again.startswith(first[0]) and "good: " in again and "picture: " not in again
    assert "photo.preview.png is there already and stays: --overwrite replaces it" in " ".join(again.split())
    assert Path("photo.preview.png").read_bytes() == b"older"
    named = ("preview", photo, *SMALL, "--out", "photo.preview.png")
    assert "photo.preview.png is there already: choose another name" in refuse(capsys, *named)
    run("preview", photo, *SMALL, "--overwrite")
    said = " ".join(capsys.readouterr().out.split())
    assert "picture: photo.preview.png; its classes: blue is the upper garment (--upper)" in said
    assert "red what is carried" in said and Path("photo.preview.png").read_bytes() != b"older"


def test_a_photo_is_no_driving_video(photo, tmp_path, capsys):
    message = refuse(capsys, "animate", photo, "--poses", photo, "--out", tmp_path / "x.mp4")
    assert message.endswith("photo.png is a photo, and --poses takes a video")


def test_a_folder_of_several_series_asks_for_one_photo(photo, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a1", "a2", "b1", "b2"):
        os.link(photo, folder / f"{name}.png")
    assert "expected one: name one photo of it" in refuse(capsys, "preview", folder)
