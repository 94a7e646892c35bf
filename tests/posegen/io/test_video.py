"""Videos as people have them: rotated, anamorphic, of varying rate, in any pixel format, and broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from posegen.errors import VideoError
from posegen.io.video_reader import iterate_frames, read_image, read_video
from posegen.io.video_writer import write_video

PATCHES = np.array(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40), (30, 160, 220), (99, 99, 99)],
    np.uint8,
)


def patchwork(height: int = 96, width: int = 160) -> np.ndarray:
    """Eight flat patches, four in a row."""
    rows, columns = np.mgrid[:2, :4]
    image = np.kron(PATCHES[rows * 4 + columns], np.ones((48, 40, 1), np.uint8))
    return np.pad(image, [(0, height - 96), (0, width - 160), (0, 0)], mode="edge")


def patch_colors(image: np.ndarray) -> np.ndarray:
    return image[24:96:48, 20:160:40].reshape(8, 3).astype(int)


def blob(height: int, width: int, x: float, y: float) -> np.ndarray:
    """A soft white spot, centred at (x, y) to a fraction of a pixel."""
    rows, columns = np.mgrid[:height, :width]
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.repeat((255 * spot).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    weight = image.astype(float).sum(axis=2)
    weight[weight < 0.2 * weight.max()] = 0
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def encode(
    path: Path,
    images: list[np.ndarray],
    *,
    pixels: str = "yuv420p",
    matrix: tuple[Colorspace, ColorRange] | None = None,
    aspect: Fraction | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a file as other people's encoders would: nothing is tagged that isn't asked for."""
    with av.open(path, "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], pixels
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix
        if rotation is not None or mirrored:
            stream.set_display_rotation(rotation or 0, hflip=mirrored)
        space, span = matrix or (None, None)
        for tick, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=space, dst_color_range=span)
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise(num_frames: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(num_frames)]


# ---- Colour


@pytest.mark.parametrize(
    ("pixels", "matrix"),
    [
        ("yuv420p", None),
        ("yuv420p", (Colorspace.ITU601, ColorRange.MPEG)),
        ("yuv420p", (Colorspace.ITU709, ColorRange.MPEG)),
        ("yuv420p", (Colorspace.ITU709, ColorRange.JPEG)),
        ("yuvj420p", (Colorspace.ITU601, ColorRange.JPEG)),
        ("yuv444p", (Colorspace.ITU709, ColorRange.MPEG)),
        ("yuv420p10le", (Colorspace.ITU709, ColorRange.MPEG)),
        ("yuv420p10le", (Colorspace.BT2020, ColorRange.MPEG)),
    ],
)
def test_every_pixel_format_gives_the_true_colors(tmp_path, pixels, matrix):
    path = encode(tmp_path / "a.mp4", [patchwork()] * 2, pixels=pixels, matrix=matrix)
    images = read_video(path, size=None).images
    assert np.abs(patch_colors(images[0]) - PATCHES).max() <= 6


def test_gray_video_gives_equal_channels(tmp_path):
    path = encode(tmp_path / "a.mp4", [patchwork()] * 2, pixels="gray", matrix=(Colorspace.ITU601, ColorRange.JPEG))
    image = read_video(path, size=None).images[0]
    luma = PATCHES @ np.array([0.299, 0.587, 0.114])
    assert np.abs(patch_colors(image) - luma[:, None]).max() <= 6


def test_untagged_hd_is_bt709(tmp_path):
    image = patchwork(height=720)
    tagged = encode(tmp_path / "tagged.mp4", [image] * 2, matrix=(Colorspace.ITU709, ColorRange.MPEG))
    with av.open(tagged) as source:  # the same samples are then encoded without saying what they are
        frames = [frame.to_ndarray() for frame in source.decode(video=0)]
    path = tmp_path / "untagged.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 720, 160, "yuv420p"
        for samples in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(samples, format="yuv420p")))
        container.mux(stream.encode(None))
    assert np.abs(patch_colors(read_video(path, size=None).images[0]) - PATCHES).max() <= 6


# ---- Geometry


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_metadata_is_applied(tmp_path, turns):
    image = patchwork()
    path = encode(tmp_path / "a.mp4", [image] * 2, rotation=90 * turns)
    upright = read_video(path, size=None).images[0]
    expected = np.rot90(image, turns)  # counter-clockwise, as FFmpeg counts
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 3


def test_mirroring_is_applied(tmp_path):
    image = patchwork()
    path = encode(tmp_path / "a.mp4", [image] * 2, mirrored=True)
    assert np.abs(read_video(path, size=None).images[0].astype(int) - image[:, ::-1]).mean() < 3


@pytest.mark.parametrize(("aspect", "shape"), [(Fraction(2), (96, 320)), (Fraction(1, 2), (192, 160))])
def test_anamorphic_pixels_become_square(tmp_path, aspect, shape):
    path = encode(tmp_path / "a.mp4", [patchwork()] * 2, aspect=aspect)
    assert read_video(path, size=None).images.shape == (2, *shape, 3)


@pytest.mark.parametrize("size", [(384, 256), (96, 64), (64, 96), (64, 64)])
@pytest.mark.parametrize(
    "crop", ["center", "none", (30.0, 20.0, 150.0, 160.0), (-40.0, -25.0, 130.0, 200.5), (90.0, 30.0, 115.5, 240.0)]
)
def test_transform_says_where_a_pixel_went(tmp_path, crop, size):
    center = np.array([101.3, 77.6])
    path = encode(tmp_path / "a.mp4", [blob(180, 240, *center)] * 2)
    footage = read_video(path, size=size, crop=crop)
    np.testing.assert_allclose(centroid(footage.images[0]), footage.transform @ [*center, 1], atol=0.5)


def test_center_crop_is_the_largest_window(tmp_path):
    path = encode(tmp_path / "a.mp4", [patchwork(180, 240)] * 2)
    scale_x, scale_y = read_video(path, size=(96, 64)).transform[[0, 1], [0, 1]]
    assert (scale_x, scale_y) == pytest.approx((64 / 120, 96 / 180))


def test_letterbox_and_box_replicate_the_border(tmp_path):
    path = encode(tmp_path / "a.mp4", [patchwork()] * 2)
    letterboxed = read_video(path, size=(96, 64), crop="none").images[0].astype(int)
    assert np.abs(letterboxed[0] - letterboxed[25]).max() <= 8  # 19 source rows of 96 × 160 fill 240 rows
    boxed = read_video(path, size=(96, 64), crop=(-60, 0, 4, 96)).images[0].astype(int)
    assert np.abs(boxed[10] - [255, 0, 0]).max() <= 8


@pytest.mark.parametrize("crop", [(300, 0, 400, 50), (0, 0, 0, 0), (50, 50, 40, 90)])
def test_a_crop_beside_the_frame_is_an_error(tmp_path, crop):
    path = encode(tmp_path / "a.mp4", [patchwork()] * 2)
    with pytest.raises(ValueError, match=r"got the crop .* 160×96 frame"):
        read_video(path, crop=crop)


# ---- Time


def test_constant_rate(tmp_path):
    path = encode(tmp_path / "a.mp4", noise(10))
    footage = read_video(path, size=(96, 64))
    np.testing.assert_allclose(footage.times, np.arange(10) / 25, atol=1e-9)
    assert footage.fps == pytest.approx(25)
    assert footage.indices.tolist() == list(range(10))


def test_variable_rate_keeps_true_times(tmp_path):
    times = np.array([0, 0.04, 0.05, 0.2, 0.5, 0.51, 1.0])
    write_video(tmp_path / "a.mp4", noise(7), fps=25, times=times + 3)
    footage = read_video(tmp_path / "a.mp4", size=None)
    np.testing.assert_allclose(footage.times, times, atol=1e-4)
    assert footage.fps == pytest.approx(6 / 1.0, abs=1e-3)


@pytest.mark.parametrize("name", ["a.h264", "a.avi"])
def test_files_without_presentation_times_count_frames(tmp_path, name):
    path = encode(tmp_path / name, [blob(64, 64, 10 + 2 * step, 30) for step in range(12)])
    footage = read_video(path, size=None)
    np.testing.assert_allclose(footage.times, np.arange(12) / 25, atol=1e-9)
    x = [centroid(image)[0] for image in footage.images]
    assert (np.diff(x) > 1).all()


def test_iterate_frames_streams(tmp_path):
    path = encode(tmp_path / "a.mp4", noise(5))
    frames = iterate_frames(path)
    index, time, image = next(frames)
    assert (index, time, image.shape, image.dtype) == (0, 0.0, (64, 64, 3), np.uint8)
    assert [index for index, _, _ in frames] == [1, 2, 3, 4]


# ---- Pictures


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])
def test_pictures_are_footage_of_one_frame(tmp_path, suffix):
    path = tmp_path / f"Bild ü{suffix}"
    Image.fromarray(patchwork()).save(path, **({"quality": 95} if suffix in {".jpg", ".jpeg", ".webp"} else {}))
    footage = read_image(path, size=None)
    assert footage.images.shape == (1, 96, 160, 3)
    assert np.abs(patch_colors(footage.images[0]) - PATCHES).max() <= 6
    assert read_image(path, size=(96, 64), crop="none").images.shape == (1, 96, 64, 3)


def test_photos_are_turned_as_their_camera_says(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.3: the picture is upright after a quarter turn clockwise
    Image.fromarray(patchwork()).save(path, quality=95, exif=exif)
    expected = np.rot90(patchwork(), -1)
    assert np.abs(read_image(path, size=None).images[0].astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "zero bytes"), (b"hello", "not a picture")],
)
def test_what_is_no_picture_says_why(tmp_path, content, reason):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=reason):
        read_image(path)


def test_a_name_that_is_nearly_right_and_an_address_are_told(tmp_path):
    (tmp_path / "ann.jpg").touch()
    with pytest.raises(VideoError, match=r"No such file or directory\) \(did you mean ann.jpg\?\)"):
        read_image(tmp_path / "ann.jpeg")
    with pytest.raises(VideoError, match="expected a local file: download it first"):
        read_image(Path("https://example.com/ann.jpg"))


def test_a_rotated_frame_with_unknown_side_data_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(patchwork()).save(tmp_path / "a.jpg", quality=95, exif=exif)
    _, _, frame = next(iterate_frames(tmp_path / "a.jpg"))  # EXIF is side data that PyAV has no name for
    assert np.abs(frame.astype(int) - np.rot90(patchwork(), -1)).mean() < 3


# ---- Broken files: one clear reason each


def broken(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "text":
        path.write_text("hello\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "one frame":
        encode(path, noise(1))
    elif kind == "tiny":
        encode(path, [image[:16, :16].copy() for image in noise(3)])
    elif kind == "without index":
        whole = encode(path, noise(20)).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut":
        whole = encode(path, noise(100), options={"movflags": "faststart"}).read_bytes()
        path.write_bytes(whole[: int(len(whole) * 0.4)])
    elif kind == "audio":
        with av.open(path, "w") as container:
            stream = container.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 8000
            container.mux(stream.encode(sound))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "not a video"),
        ("empty", "zero bytes"),
        ("absent", "No such file"),
        ("folder", "Is a directory"),
        ("audio", "no video stream"),
        ("one frame", "one frame, expected at least two"),
        ("tiny", "16×16 pixels, expected at least 32×32"),
        ("without index", "truncated: an MP4 without its index"),
        ("cut", r"truncated: [34]\d of 100 frames decode"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, kind, reason):
    path = broken(tmp_path, kind)
    with pytest.raises(VideoError, match=reason) as caught:
        read_video(path)
    assert str(caught.value).startswith(str(path))


def test_an_unreadable_file_says_so(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", noise(2))

    def forbid(*_: object) -> None:  # file modes don't stop root, who runs many test suites
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(VideoError, match="Permission denied"):
        read_video(path)


def test_a_song_with_a_cover_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=1, options={"strict": "unofficial"})
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        read_video(path)


def test_too_many_frames_are_an_error(tmp_path):
    path = encode(tmp_path / "a.mkv", noise(6))
    assert len(read_video(path, max_frames=6).images) == 6
    with pytest.raises(VideoError, match="expected at most 5"):
        read_video(path, max_frames=5)


# ---- Writing


@pytest.mark.parametrize("shape", [(96, 160), (95, 161), (33, 40)])
def test_write_then_read(tmp_path, shape):
    image = patchwork(97, 161)[: shape[0], : shape[1]]
    path = tmp_path / "Größe 映像.mp4"
    write_video(path, (image for _ in range(3)), fps=30000 / 1001)
    footage = read_video(path, size=None)
    read = footage.images[:, : shape[0], : shape[1]]
    assert footage.images.shape == (3, shape[0] + shape[0] % 2, shape[1] + shape[1] % 2, 3)
    assert footage.fps == pytest.approx(30000 / 1001, abs=1e-3)
    assert np.median(np.abs(read.astype(int) - image)) <= 3
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_written_files_say_what_they_are(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, noise(3), fps=25)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_writing_is_deterministic(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, noise(4), fps=25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no frames"):
        write_video(path, [], fps=25)
    with pytest.raises(ValueError, match="3 images and 2 times"):
        write_video(path, noise(3), fps=25, times=np.array([0.0, 0.1]))
    with pytest.raises(ValueError, match="2 images and 3 times"):
        write_video(path, noise(2), fps=25, times=np.array([0.0, 0.1, 0.2]))
    with pytest.raises(ValueError, match="do not increase"):
        write_video(path, noise(2), fps=25, times=np.array([0.1, 0.1]))
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


# ---- Real files


def test_real_full_hd_video(shared):
    footage = read_video(shared / "data/videos/single_cam01.mp4")
    assert footage.images.shape == (100, 384, 256, 3)
    assert footage.fps == pytest.approx(60, abs=0.01)
    assert footage.transform[0, 0] == pytest.approx(256 / 1080)


def test_real_small_videos(shared):
    for path in sorted((shared / "data/weizmann").glob("*.mp4")):
        footage = read_video(path, size=(96, 64))
        assert footage.fps == pytest.approx(25, abs=0.01)
        assert len(footage.images) >= 20
