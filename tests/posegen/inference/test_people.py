"""People and poses by name: clips, patterns and image files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError, DatasetError
from posegen.features.parts import is_usable
from posegen.inference.people import find_clips, is_file, load_person, open_clips, shows_person
from posegen.inference.person import person_of_clip
from posegen.io.images import write_picture
from posegen.io.video_writer import write_video
from posegen.synthetic.studio import RenderSettings, render_action


def test_patterns_and_names(two_people):
    data = ClipDataset(two_people)
    found = find_clips(data, ["grace/*", "grace/bow", "luis/b?w"])
    assert [clip.clip_id for clip in found] == ["grace-bow-0", "grace-squat-0", "luis-bow-0"]
    with pytest.raises(DatasetError, match=r"no PERSON/ACTION in .* matches 'x\*'"):
        find_clips(data, ["x*"])


def test_a_dataset_must_have_the_renderers_frame_size(two_people):
    assert open_clips(two_people, (96, 64)).info.size == (96, 64)
    with pytest.raises(ConfigError, match=r"has frames of \(96, 64\), the renderer was trained at \(64, 64\)"):
        open_clips(two_people, (64, 64))


def test_a_person_comes_from_a_clip_or_from_a_photo(two_people, tmp_path, networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    data = ClipDataset(two_people)
    person = load_person(data, "grace/bow")
    np.testing.assert_array_equal(person.image, person_of_clip(data.find("grace/bow")).image)
    write_picture(
        tmp_path / "photo.png",
        render_action("grace", "bow", 1, RenderSettings(size=(384, 256))).images[0],
    )
    seen = load_person(data, str(tmp_path / "photo.png"))
    assert seen.image.shape == (96, 64, 3) and seen.keypoints.shape == (18, 3) and seen.mask.any()
    write_picture(tmp_path / "empty.png", np.full((96, 64, 3), 130, np.uint8))
    with pytest.raises(ConfigError, match=r"no person is found in .*empty.png"):
        load_person(data, str(tmp_path / "empty.png"))


def test_a_person_comes_from_a_video_whose_first_frames_are_empty(two_people, tmp_path, networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    person = render_action("grace", "bow", 1, RenderSettings(size=(192, 128))).images
    wall = np.full((6, 192, 128, 3), person[0, 0, 0], np.uint8)
    write_video(tmp_path / "grace.mp4", np.concatenate([wall, np.repeat(person, 6, axis=0)]), fps=25)
    write_video(tmp_path / "wall.mp4", wall, fps=25)
    data = ClipDataset(two_people)
    seen = load_person(data, str(tmp_path / "grace.mp4"))
    assert seen.image.shape == (96, 64, 3) and is_usable(seen.keypoints) and seen.mask.any() and seen.edges.any()
    assert is_file(str(tmp_path / "grace.mp4")) and not is_file("grace/bow")
    with pytest.raises(ConfigError, match=r"no person is seen with both shoulders and both hips in .*wall.mp4"):
        load_person(data, str(tmp_path / "wall.mp4"))


def test_photo_shows_a_person_or_cloth(tmp_path, networks, monkeypatch, two_people):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_picture(tmp_path / "cloth.png", np.full((96, 64, 3), (42, 111, 219), np.uint8))
    info = ClipDataset(two_people).info
    assert not shows_person(tmp_path / "cloth.png", replace(info, backends={"pose": {"name": "blazepose"}}))
    assert shows_person(tmp_path / "cloth.png", info)  # its poses came from files: there is no estimator
