"""Colours of a photo's garments: given, of other photos, or drawn from codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.color.lab import delta_e_2000, in_gamut, rgb_to_lab
from posegen.color.palette import parse_color
from posegen.errors import ColorError, ConfigError
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import ColorSettings
from posegen.inference.requested_colors import ColorReader, RequestedColors
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image
from posegen.person_classes import PersonClass
from posegen.samples import REGIONS
from posegen.synthetic.studio import RenderSettings, StudioClip, render_action


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((96, 64), np.uint8)
    labels[20:50, 16:48], labels[50:90, 16:48] = PersonClass.UPPER, PersonClass.LOWER
    return labels


@pytest.fixture(scope="module")
def clip() -> StudioClip:
    return render_action("bruno", "wave_one_hand", 1, RenderSettings(size=(384, 256)))


def test_random_colours_are_those_of_the_codes_that_generate_draws(untrained_run, labels):
    chosen = RequestedColors(ColorSettings(sample="fitted", samples=3, seed=5), [untrained_run]).choose(labels)
    synthesizer = load_renderer(untrained_run, VideoSynthesizer, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)
    for garment in REGIONS:
        codes = synthesizer.codebook(garment).sample(3, generator)
        for number, video in enumerate(chosen.videos):
            torch.testing.assert_close(video[garment].begin.code, codes[number])
            assert in_gamut(video[garment].colors(4)).all() and len(np.unique(video[garment].colors(4), axis=0)) == 1
    assert chosen.notes["upper"].startswith("at random #") and chosen.notes["upper"].count("#") == 3


def test_a_garment_that_is_given_a_colour_keeps_it_in_every_random_video(untrained_run, labels):
    asked = ColorSettings(lower="navy", lower_to="white", sample="prior", samples=3)
    videos = RequestedColors(asked, [untrained_run]).choose(labels).videos
    for video in videos:
        np.testing.assert_allclose(video["lower"].colors(5)[[0, -1]], [parse_color("navy"), parse_color("white")])
    assert len({video["upper"].begin.lab for video in videos}) == 3


def test_what_is_kept_gets_no_random_colour(untrained_run, labels):
    asked = ColorSettings(lower="keep", sample="fitted", samples=2)
    assert [set(video) for video in RequestedColors(asked, [untrained_run]).choose(labels).videos] == [{"upper"}] * 2
    assert RequestedColors(ColorSettings(upper="Keep", lower="keep")).choose(labels).videos == [{}]


def test_a_fade_goes_through_codes_where_a_run_knows_them(untrained_run, labels):
    asked = ColorSettings(upper="teal", upper_to="crimson")
    straight = RequestedColors(asked).choose(labels).videos[0]["upper"].colors(9)
    np.testing.assert_allclose(straight[4], (np.array(parse_color("teal")) + parse_color("crimson")) / 2)
    coded = RequestedColors(asked, [untrained_run]).choose(labels).videos[0]["upper"].colors(9)
    np.testing.assert_allclose(coded[[0, -1]], straight[[0, -1]])
    assert delta_e_2000(coded[4], straight[4]) > 0.3


def test_a_random_colour_may_fade_to_one_that_is_given(untrained_run, labels):
    asked = ColorSettings(upper_to="white", sample="fitted", samples=2)
    for video in RequestedColors(asked, [untrained_run]).choose(labels).videos:
        np.testing.assert_allclose(video["upper"].colors(3)[[0, -1]], [video["upper"].begin.lab, parse_color("white")])


def test_a_dress_and_what_is_not_seen_are_drawn_once_and_never(untrained_run, labels):
    random = RequestedColors(ColorSettings(sample="fitted"), [untrained_run])
    dress = np.where(labels > 0, np.uint8(PersonClass.ONE_PIECE), np.uint8(0))
    assert [set(video) for video in random.choose(dress).videos] == [{"upper"}] * 4
    trousers = np.where(labels == PersonClass.LOWER, labels, np.uint8(0))
    assert random.choose(trousers).garments == ["lower"]
    given = RequestedColors(ColorSettings(lower="red", sample="fitted"), [untrained_run])
    assert given.choose(dress).garments == ["lower"]


def test_what_cannot_be_drawn_is_one_line(labels):
    with pytest.raises(ConfigError, match=r"--sample draws from the colour codes of a run: name it with --encoders"):
        RequestedColors(ColorSettings(sample="fitted"))
    with pytest.raises(ConfigError, match="--lower-to fades from --lower, which is missing"):
        RequestedColors(ColorSettings(lower_to="red")).choose(labels)


def test_a_one_piece_does_not_fade_to_two_colours(labels):
    dress = np.where(labels > 0, np.uint8(PersonClass.ONE_PIECE), np.uint8(0))
    asked = ColorSettings(upper="red", lower="red", lower_to="blue")
    with pytest.raises(ColorError, match="one-piece"):
        RequestedColors(asked).choose(dress)


def test_a_photo_of_a_person_gives_the_colour_that_they_wear(untrained_run, clip, tmp_path):
    write_picture(tmp_path / "bruno.png", clip.images[0])
    path = str(tmp_path / "bruno.png")
    trousers = np.median(rgb_to_lab(clip.images[0])[clip.garments[0] == 2], axis=0)
    assert delta_e_2000(np.array(ColorReader().read("lower", path).lab), trousers) < 3
    coded = ColorReader([untrained_run]).read("lower", path)
    synthesizer = load_renderer(untrained_run, VideoSynthesizer, device=torch.device("cpu"))
    image = read_image(tmp_path / "bruno.png", size=synthesizer.size).images[0]
    torch.testing.assert_close(coded.code, synthesizer.split(synthesizer.encode(image))[1])
    write_picture(tmp_path / "half.png", clip.images[0][:190])
    with pytest.raises(ColorError, match=r"half\.png does not show the lower garment of its person"):
        ColorReader().read("lower", str(tmp_path / "half.png"))


def test_a_photo_of_cloth_gives_its_mean_colour(tmp_path):
    write_picture(tmp_path / "cloth.png", np.full((64, 64, 3), (42, 111, 219), np.uint8))
    np.testing.assert_allclose(ColorReader().read("upper", str(tmp_path / "cloth.png")).lab, parse_color("#2a6fdb"))
