"""Colour codes of generated videos: from colours, photos, or sampled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.color.lab import rgb_to_lab
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.person import person_of_clip
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import ColorSettings, choose_codes, measure_cloth, recolor_garments
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_picture


@pytest.fixture
def synthesizer(untrained_run) -> VideoSynthesizer:
    return load_renderer(untrained_run, VideoSynthesizer, device=torch.device("cpu"))


@pytest.fixture
def data(two_people) -> ClipDataset:
    return ClipDataset(two_people)


@pytest.fixture
def person(data):
    return person_of_clip(data.find("grace/bow"))


def test_a_color_that_is_given_holds_for_all_random_videos(synthesizer, person, data):
    settings = ColorSettings(upper="teal", sample="prior", samples=3)
    codes = choose_codes(synthesizer, person, data.info, settings)
    uppers, lowers = zip(*(synthesizer.split(start) for start, _ in codes.ends), strict=True)
    assert all(torch.equal(upper, uppers[0]) for upper in uppers)
    assert not torch.equal(lowers[0], lowers[1])
    assert codes.notes == {"upper": "teal is #008080"}


def test_without_colors_a_person_keeps_their_own(synthesizer, person, data):
    codes = choose_codes(synthesizer, person, data.info, ColorSettings())
    [(start, stop)] = codes.ends
    own = synthesizer.encode(person.image)
    torch.testing.assert_close(start, own)
    torch.testing.assert_close(stop, own)
    assert codes.notes == {}


def test_what_is_kept_has_its_own_code_among_random_ones(synthesizer, person, data):
    settings = ColorSettings(upper="keep", upper_to="keep", sample="prior", samples=2)
    codes = choose_codes(synthesizer, person, data.info, settings)
    own = synthesizer.split(synthesizer.encode(person.image))[0]
    for ends in codes.ends:
        for code in ends:
            torch.testing.assert_close(synthesizer.split(code)[0], own)
    assert codes.notes == {}


def test_mean_color_of_a_photo_of_cloth(tmp_path):
    cloth = np.full((64, 64, 3), 255, np.uint8)
    cloth[12:52, 12:52] = (42, 111, 219)
    write_picture(tmp_path / "cloth.png", cloth)
    expected = rgb_to_lab(np.array([42, 111, 219], np.uint8))
    np.testing.assert_allclose(measure_cloth(tmp_path / "cloth.png"), expected)


def test_a_photo_of_cloth_is_a_color_and_one_of_a_person_is_encoded(
    tmp_path, networks, monkeypatch, synthesizer, person, data
):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_picture(tmp_path / "cloth.png", np.full((96, 64, 3), (42, 111, 219), np.uint8))
    info = replace(data.info, backends={"pose": {"name": "blazepose"}})
    z, target = synthesizer.encode(person.image), {"lower": str(tmp_path / "cloth.png")}
    photo, note = recolor_garments(synthesizer, person, info, z, target, exact=False)
    hexed, _ = recolor_garments(synthesizer, person, info, z, {"lower": "#2a6fdb"}, exact=False)
    torch.testing.assert_close(photo, hexed)
    assert note["lower"].endswith("cloth.png is #2a6fdb")


def test_a_photo_of_a_person_gives_the_code_of_its_garment(synthesizer, person, data, tmp_path):
    other = person_of_clip(data.find("luis/bow"))
    write_picture(tmp_path / "luis.png", other.image)
    z, target = synthesizer.encode(person.image), {"upper": str(tmp_path / "luis.png")}
    code, notes = recolor_garments(synthesizer, person, data.info, z, target, exact=False)
    upper, lower = synthesizer.split(code)
    torch.testing.assert_close(upper, synthesizer.split(synthesizer.encode(other.image))[0])
    torch.testing.assert_close(lower, synthesizer.split(z)[1])
    assert notes == {"upper": f"as in {tmp_path / 'luis.png'}"}


def test_samples_must_be_positive_and_count_only_where_colors_are_sampled():
    with pytest.raises(ConfigError, match="got samples 0, expected 1 or more"):
        ColorSettings(samples=0)
    assert ColorSettings(samples=7).num_videos == 1
    assert ColorSettings(samples=7, sample="prior").num_videos == 7
