"""Videos of phones: wide gamuts and high dynamic range become the sRGB of the scene."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from posegen.errors import VideoError
from posegen.io.video_colors import ColorTags
from posegen.io.video_reader import describe_source, read_video

SCENE = np.array([(200, 30, 30), (30, 140, 60), (40, 60, 190), (128, 128, 128), (236, 222, 205), (20, 20, 20)])
BT709_MATRIX, BT2020_MATRIX = Colorspace.ITU709, Colorspace.BT2020
# From linear sRGB, as published: ITU-R BT.2087 and Apple's Display P3.
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])


def linear(levels: np.ndarray) -> np.ndarray:
    signal = levels / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def camera(light: np.ndarray) -> np.ndarray:
    return np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def hlg(light: np.ndarray) -> np.ndarray:
    scene = 0.26496 * light ** (1 / 1.2)  # white paper is a signal of 75 %
    logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)


def pq(light: np.ndarray) -> np.ndarray:
    root = (light * 203 / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def encode(path: Path, signal: np.ndarray, tags: tuple[int, int, Colorspace], span: ColorRange) -> Path:
    """Six patches of a signal (6, 3) in [0, 1], three in a row, 10 bits a channel."""
    levels = (signal.clip(0, 1) * 65535).round().astype(np.uint16).reshape(2, 3, 3)
    image = np.kron(levels, np.ones((32, 32, 1), np.uint16))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p10le"
        codec = stream.codec_context
        codec.color_primaries, codec.color_trc = tags[:2]
        codec.colorspace, codec.color_range = tags[2], span
        for tick in range(2):
            frame = av.VideoFrame.from_ndarray(image, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=tags[2], dst_color_range=span)
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def patches(path: Path) -> np.ndarray:
    return read_video(path, size=None).images[0][16::32, 16::32].reshape(6, 3).astype(int)


@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize(
    ("to_primaries", "curve", "tags"),
    [
        (TO_2020, hlg, (9, 18, BT2020_MATRIX)),
        (TO_2020, hlg, (2, 18, BT2020_MATRIX)),
        (TO_2020, pq, (9, 16, BT2020_MATRIX)),
        (TO_2020, camera, (9, 14, BT2020_MATRIX)),
        (TO_P3, camera, (12, 1, BT709_MATRIX)),
        (TO_P3, srgb, (12, 13, BT709_MATRIX)),
        (np.eye(3), hlg, (1, 18, BT709_MATRIX)),
        (np.eye(3), srgb, (1, 1, BT709_MATRIX)),
    ],
    ids=["hlg", "hlg-untagged-primaries", "pq", "bt2020", "p3", "p3-srgb", "hlg-709", "plain"],
)
def test_colors_are_those_of_the_scene(
    tmp_path, to_primaries: np.ndarray, curve: Callable[[np.ndarray], np.ndarray], tags, span
):
    path = encode(tmp_path / "a.mp4", curve(linear(SCENE) @ to_primaries.T), tags, span)
    assert np.abs(patches(path) - SCENE).max() <= 5


def test_what_is_brighter_than_paper_is_rolled_off_and_said(tmp_path):
    light = np.array([[0.9] * 3, [1.0] * 3, [1.5] * 3, [4.0, 1.0, 1.0], [0.2] * 3, [4.5] * 3])
    path = encode(tmp_path / "a.mp4", hlg(light @ TO_2020.T), (9, 18, BT2020_MATRIX), ColorRange.MPEG)
    shown = patches(path)
    assert (np.diff(shown[[0, 1, 2, 5], 0]) >= 0).all() and shown[1, 0] >= 248
    assert shown[3, 0] > 1.5 * shown[3, 1]  # a bright red stays red
    (note,) = describe_source(path)
    assert note.startswith(f"{path}: high dynamic range (HLG) is brought to sRGB")
    assert read_video(path, size=None).notes == (note,)


def test_a_matrix_that_is_not_undone_is_named(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", SCENE / 255, (1, 1, BT709_MATRIX), ColorRange.MPEG)
    monkeypatch.setattr(ColorTags, "of", lambda frame: ColorTags(9, 16, 14))
    with pytest.raises(VideoError, match=r"a\.mp4: its colours are coded as ICtCp, which is not read: export it as"):
        read_video(path, size=None)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (ColorTags(30, 1, 1), "primaries of kind 30"),
        (ColorTags(9, 9, 9), "a transfer curve of kind 9"),
        (ColorTags(1, 1, 1), ""),
        (ColorTags(12, 1, 1), ""),
    ],
)
def test_tags_that_are_not_known_are_said(tags, expected):
    assert tags.describe().startswith(expected) and bool(tags.describe()) == bool(expected)
    assert tags.is_plain == (tags.primaries != 12)


def test_phone_videos_of_faults(shared):
    expected = {(72, 96): (30, 140, 60), (24, 32): (200, 30, 30)}
    for name in ("08-hdr-hlg/hdr_hlg.mp4", "10-bt2020-sdr/hdr_sdr2020.mp4"):
        image = read_video(shared / "faults" / name, size=None, crop="none").images[0].astype(int)
        for place, color in expected.items():
            assert np.abs(image[place] - color).max() <= 5
