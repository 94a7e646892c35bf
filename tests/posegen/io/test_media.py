"""Animations and folders of numbered pictures are videos; HEIC is refused by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posegen.errors import VideoError
from posegen.io.media import is_picture_file, is_video_source, list_numbered_pictures
from posegen.io.video_reader import iterate_frames, read_image, read_video, video_rate

LEVELS = (10, 90, 170, 250)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def frames() -> list[Image.Image]:
    return [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in LEVELS]


def animate(path: Path, duration: int | list[int]) -> Path:
    first, *others = frames()
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng"])
def test_animations_are_videos_with_their_times(tmp_path, name):
    path = tmp_path / name
    options = {"format": "PNG"} if name.endswith("apng") else {}
    first, *others = frames()
    first.save(path, save_all=True, append_images=others, duration=[40, 80, 40, 40], **options)
    video = read_video(path, size=None)
    np.testing.assert_allclose(video.times, [0, 0.04, 0.12, 0.16], atol=1e-6)
    assert np.abs(video.images[:, 20, 20].astype(int) - np.array(LEVELS)[:, None]).max() <= 6
    assert is_video_source(path) and not is_picture_file(path)


def test_frames_that_ask_for_no_time_have_that_of_browsers(tmp_path):
    assert video_rate(animate(tmp_path / "a.gif", 0)) == pytest.approx(10)


def test_a_still_gif_is_a_picture(tmp_path):
    frames()[1].save(tmp_path / "a.gif")
    assert is_picture_file(tmp_path / "a.gif") and not is_video_source(tmp_path / "a.gif")
    assert read_image(tmp_path / "a.gif", size=None).images[0, 0, 0, 0] == 90


def test_a_folder_of_numbered_pictures_is_a_video(tmp_path):
    for number, picture in enumerate(frames()):
        picture.save(tmp_path / f"f{8 + number}.png")  # f10 comes after f9
    (tmp_path / "notes.txt").touch()
    video = read_video(tmp_path, size=None)
    assert video.images[:, 0, 0, 0].tolist() == list(LEVELS) and video.fps == 25
    assert "has no frame rate: 25 pictures a second are assumed" in video.notes[0]
    with pytest.raises(VideoError, match="4 frames, expected at most 3"):
        list(iterate_frames(tmp_path, max_frames=3))


def test_several_series_of_pictures_are_refused(tmp_path):
    for number, picture in enumerate(frames()):
        picture.save(tmp_path / f"image{number}.png")
        picture.save(tmp_path / f"mask{number}.png")
    with pytest.raises(VideoError, match=r"several series of pictures \(image0.png, mask0.png, …\)"):
        list_numbered_pictures(tmp_path)


def test_heic_is_refused_by_name_wherever_it_is_read(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(HEIC)
    for read in (read_image, read_video):
        with pytest.raises(VideoError, match=r"a\.heic: HEIC, which is not read: save it as JPEG or PNG first"):
            read(path, size=None)
    for number in (1, 2):
        (tmp_path / f"b{number}.heic").write_bytes(HEIC)
    with pytest.raises(VideoError, match=r"b1\.heic: HEIC, which is not read"):
        read_video(tmp_path, size=None)
