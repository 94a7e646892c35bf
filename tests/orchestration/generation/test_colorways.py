"""`posegen colorways`: a sheet and its figures, and no input replaced."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.generation.colorways import ColorwaySettings, write_colorways
from posegen.errors import ColorError, ConfigError
from posegen.inference import color_sheet as module
from posegen.inference.shown_person import CodedViewSettings
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image
from posegen.person_classes import PersonClass
from posegen.synthetic.studio import RenderSettings, render_action

BLUE = (42, 111, 219)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A picture of a person in grey over red, whom `perceive_photo` finds."""
    image = np.full((96, 64, 3), 190, np.uint8)
    labels = np.zeros((96, 64), np.uint8)
    labels[20:50, 16:48], labels[50:90, 16:48] = PersonClass.UPPER, PersonClass.LOWER
    image[labels == PersonClass.UPPER], image[labels == PersonClass.LOWER] = 110, (150, 40, 40)
    image = np.clip(image + np.random.default_rng(0).normal(0, 2, image.shape), 0, 255).astype(np.uint8)
    found = SimpleNamespace(image=image, labels=labels, others=0)
    monkeypatch.setattr(module, "perceive_photo", lambda image, person: found)
    path = tmp_path / "photo.png"
    write_picture(path, image)
    return path


def test_a_sheet_has_each_combination_and_its_figures(photo, tmp_path):
    write_picture(tmp_path / "cloth.png", np.full((64, 64, 3), BLUE, np.uint8))
    upper = ("teal", str(tmp_path / "cloth.png"), "lab(60 120 0)")
    made = write_colorways(photo, ColorwaySettings(out=tmp_path / "sheet.png", upper=upper, lower=("keep", "black")))
    assert made.num_pictures == 6 and len(made.reports) == 3 + 2 * 3
    assert [note for note in made.notes if "no sRGB display has this colour" in note]
    rows = list(csv.DictReader(made.figures.open()))
    assert [row["garment"] for row in rows] == ["upper"] * 3 + ["lower", "upper"] * 3
    assert all(float(row["delta_e_median"]) < 1.5 for row in rows if not row["note"])
    sheet = read_image(made.sheet, size=None, crop="none").images[0]
    assert sheet.shape[0] > 3 * 96 and sheet.shape[1] >= 3 * 64


def test_random_colours_of_a_run_are_shown_as_they_are_drawn(photo, untrained_run, tmp_path):
    view = CodedViewSettings(encoders=(untrained_run,))
    drawn = write_colorways(photo, ColorwaySettings(out=tmp_path / "a.png", sample="fitted", samples=5, view=view))
    rows = list(csv.DictReader(drawn.figures.open()))
    assert drawn.num_pictures == 5 and [row["garment"] for row in rows] == ["lower", "upper"] * 5
    assert len({row["requested"] for row in rows}) > 7 and all(float(row["delta_e_median"]) < 1.5 for row in rows)
    both = ColorwaySettings(
        out=tmp_path / "b.png", upper=("keep", "teal"), sample="fitted", samples=3, seed=1, view=view
    )
    rows = list(csv.DictReader(write_colorways(photo, both).figures.open()))
    assert [row["garment"] for row in rows] == ["lower", "lower", "upper"] * 3
    with pytest.raises(ConfigError, match="name it with --encoders"):
        write_colorways(photo, ColorwaySettings(out=tmp_path / "c.png", sample="prior"))


def test_what_keeps_its_colour_keeps_its_pixels(photo, tmp_path):
    made = write_colorways(photo, ColorwaySettings(out=tmp_path / "sheet.png", upper=("teal", "keep")))
    sheet = read_image(made.sheet, size=None, crop="none").images[0]
    own = module.perceive_photo(None, 1).image
    assert (sheet[-96:, :64] == own).all() and (sheet[-96:, -64:] == own).all()


@pytest.mark.parametrize("name", ["photo.png", "cloth.png"])
def test_no_input_is_replaced(photo, tmp_path, name):
    write_picture(tmp_path / "cloth.png", np.full((64, 64, 3), BLUE, np.uint8))
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ConfigError, match="is read, expected another file to write"):
        write_colorways(photo, ColorwaySettings(out=tmp_path / name, upper=(str(tmp_path / "cloth.png"),)))
    assert (tmp_path / name).read_bytes() == before


def test_bad_colours_write_nothing(photo, tmp_path):
    with pytest.raises(ColorError, match="unknown colour 'blurple'"):
        write_colorways(photo, ColorwaySettings(out=tmp_path / "sheet.png", upper=("teal", "blurple")))
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"out": "a.png"}, "no colours given"),
        ({"out": "a.png", "upper": ("keep",)}, "no garment gets another colour by keep alone"),
        (
            {"out": "a.png", "upper": ("keep",), "lower": ("Keep",), "sample": "fitted"},
            "no garment gets another colour",
        ),
        ({"out": "a.jpg", "upper": ("red",)}, "written as .png"),
        ({"out": "a.png", "upper": ("red",) * 20, "lower": ("red",) * 6}, "120 pictures are more than"),
    ],
)
def test_bad_settings_are_named(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ColorwaySettings(**{**settings, "out": tmp_path / settings["out"]})


def test_an_action_is_shown_in_each_colour(tmp_path, capsys):
    clip = render_action("bruno", "wave_one_hand", 1, RenderSettings(size=(384, 256)))
    write_picture(tmp_path / "bruno.png", clip.images[0])
    options = ["--action", "raise_arms", "--size", "192x128", "--lower", "red", "navy", "--out"]
    cli.main(["colorways", str(tmp_path / "bruno.png"), *options, str(tmp_path / "sheet.png")])
    rows = list(csv.DictReader((tmp_path / "sheet.csv").open()))
    assert [row["requested"] for row in rows] == ["red", "navy"]
    assert all(int(row["frames"]) == 4 and float(row["delta_e_median"]) < 3 for row in rows)
    said = capsys.readouterr().out.replace("\n", "")
    assert "the photo and 2 pictures in other colours: " in said and "this table: " in said


def test_colours_may_have_commas_between_them():
    one = ColorwaySettings(out=Path("a.png"), upper=("teal,black", "rgb(1, 2, 3), keep"), lower=("a,b.png",))
    assert one.upper == ("teal", "black", "rgb(1, 2, 3)", "keep") and one.lower == ("a,b.png",)
    assert ColorwaySettings(upper=("teal,", "black", ",")).upper == ("teal", "black")


def test_without_a_name_a_sheet_is_called_after_its_photo(photo, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    texts = []
    monkeypatch.setattr(module, "draw_text", lambda *drawn: texts.append(drawn[1]))
    monkeypatch.setattr(module, "text_width", lambda *_: 0)  # the picture is narrow
    made = write_colorways(photo, ColorwaySettings(upper=("teal",)))
    assert (made.sheet, made.figures) == (Path("photo.colors.png"), Path("photo.colors.csv"))
    assert {one.name for one in Path().iterdir()} == {"photo.colors.png", "photo.colors.csv"}
    assert texts[0] == "the photo" and "ΔE 0" in texts[1]
    with pytest.raises(ConfigError, match=r"photo\.colors\.png is there already"):
        write_colorways(photo, ColorwaySettings(upper=("teal",)))
