"""Pictures of every kind come out as opaque sRGB, and what cannot is named in one line."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from posegen.errors import VideoError
from posegen.io.picture_reader import decode_picture

COLORS = np.array([(200, 40, 60), (40, 160, 70), (50, 80, 190), (128, 128, 128)], np.uint8)


def patches() -> Image.Image:
    """Four columns of colour, 64 × 80."""
    return Image.fromarray(np.repeat(np.tile(COLORS, (64, 1, 1)), 20, axis=1))


def encode(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def decode(content: bytes) -> np.ndarray:
    return decode_picture(content, "a").image


def colors_of(image: np.ndarray) -> np.ndarray:
    return image[32, 10::20].astype(int)


def display_p3() -> bytes:
    """A profile with the primaries of Display P3, adapted to D50, and a gamma of 2.2 (ICC.1:2001-04)."""
    columns = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419), b"bXYZ": (0.1571, 0.0666, 0.7841)}
    columns[b"wtpt"] = (0.9642, 1.0, 0.8249)
    tags = {name: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(x * 65536) for x in v)) for name, v in columns.items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 3) + b"P3\0" + bytes(79)
    tags |= {name: curve for name in (b"rTRC", b"gTRC", b"bTRC")} | {b"desc": text + b"\0\0"}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("profile", [None, srgb()])
@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_plain_pictures_keep_their_pixels(format, profile):
    options = {} if profile is None or format == "BMP" else {"icc_profile": profile}
    picture = decode_picture(encode(patches(), format, **options), "a")
    assert np.array_equal(picture.image, np.array(patches())) and picture.notes == ()


@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpegs_are_decoded_as_by_opencv(subsampling):
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (67, 91, 3), np.uint8), (0, 0), 2)
    content = encode(Image.fromarray(noise), "JPEG", quality=80, subsampling=subsampling)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decode(content).astype(int) - expected).max() <= 1


def test_a_wide_profile_is_converted():
    """In Display P3 the same numbers are more colourful: as sRGB, reds are redder. Gray stays gray."""
    picture = decode_picture(encode(patches(), icc_profile=display_p3()), "a")
    red, green, _, gray = colors_of(picture.image)
    assert red[0] > 210 and red[1] < 30 and green[0] < 20 and np.ptp(gray) <= 2 and picture.notes == ()
    jpeg = encode(patches(), "JPEG", quality=100, subsampling=0, icc_profile=display_p3())
    assert np.abs(colors_of(decode(jpeg)) - colors_of(picture.image)).max() <= 8


@pytest.mark.parametrize("profile", [b"nonsense", display_p3()[:200]])
def test_a_damaged_profile_is_named(profile):
    picture = decode_picture(encode(patches(), icc_profile=profile), "a.png")
    assert np.array_equal(picture.image, np.array(patches()))
    (note,) = picture.notes
    assert note.startswith("a.png: its colour profile cannot be used")


def test_a_profile_of_other_channels_is_named():
    picture = decode_picture(encode(patches().convert("L"), icc_profile=display_p3()), "a.png")
    assert np.ptp(picture.image, axis=-1).max() == 0 and "cannot be used" in picture.notes[0]


def test_cmyk_is_approximate():
    picture = decode_picture(encode(patches().convert("CMYK"), "JPEG", quality=100), "a.jpg")
    assert np.abs(colors_of(picture.image) - COLORS).max() < 12
    assert "CMYK" in picture.notes[0] and "save it in sRGB" in picture.notes[0]


def test_transparency_is_laid_on_white():
    picture = patches()
    picture.putalpha(Image.fromarray(np.repeat(np.array([255, 128, 0, 255], np.uint8), 20)[None].repeat(64, 0)))
    made = decode_picture(encode(picture), "a.png")
    first, second, third, _ = colors_of(made.image)
    assert (first == COLORS[0]).all() and (third == 255).all() and np.abs(second - (COLORS[1] + 255.0) / 2).max() < 2
    assert "shown on white" in made.notes[0]
    picture.putalpha(255)
    opaque = decode_picture(encode(picture), "a.png")
    assert np.array_equal(opaque.image, np.array(patches())) and opaque.notes == ()


def test_gray_with_transparency():
    picture = patches().convert("L")
    expected = np.array(picture)
    picture.putalpha(255)
    assert np.array_equal(decode(encode(picture)), np.repeat(expected[..., None], 3, axis=2))


def test_palettes_and_gray():
    assert np.array_equal(decode(encode(patches().quantize(8))), np.array(patches().quantize(8).convert("RGB")))
    see_through = encode(patches().quantize(8), transparency=0)
    assert "shown on white" in decode_picture(see_through, "a").notes[0]
    gray = decode(encode(patches().convert("L")))
    assert gray.shape == (64, 80, 3) and np.ptp(gray, axis=-1).max() == 0
    assert set(np.unique(decode(encode(patches().convert("1"))))) <= {0, 255}


def test_of_16_bits_the_upper_8_are_kept():
    deep = np.array(patches()).astype(np.uint16) * 256 + 77
    assert np.array_equal(decode(cv2.imencode(".png", deep[..., ::-1])[1].tobytes()), np.array(patches()))
    gray = decode(cv2.imencode(".png", deep[..., 0])[1].tobytes())
    assert np.array_equal(gray, np.array(patches())[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_turned_as_their_camera_says(format, orientation):
    """The corner that EXIF calls the first is at the upper left, and the side that it calls the first is the upper."""
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[:32, :48], picture[:32, 48:] = (220, 30, 30), (30, 30, 220)
    undo = {
        **{1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1]},
        **{5: lambda x: x.transpose(1, 0, 2), 6: lambda x: np.rot90(x)},
        **{7: lambda x: x[::-1, ::-1].transpose(1, 0, 2), 8: lambda x: np.rot90(x, -1)},
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(picture)))
    image = decode(encode(stored, format, exif=exif, **({"quality": 95} if format != "PNG" else {})))
    assert image.shape == picture.shape
    assert np.abs(image[8:24, 8:40].astype(int) - (220, 30, 30)).mean() < 12
    assert np.abs(image[8:24, 56:88].astype(int) - (30, 30, 220)).mean() < 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "zero bytes"),
        (b"hello " * 20, "not a picture, expected JPEG, PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which is not read: save it as JPEG or PNG first"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not a picture, but a video"),
        (b"II*\0" + bytes(40), "TIFF of a kind that is not read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (encode(patches(), "JPEG")[:700], "damaged or cut off"),
        (encode(patches())[:-40], "damaged or cut off"),
        (encode(Image.fromarray(np.full((40, 40), 0.5, np.float32)), "TIFF"), "32 bits a pixel"),
    ],
)
def test_what_is_not_decoded_is_named(content, message):
    with pytest.raises(VideoError, match=message) as error:
        decode_picture(content, "a.jpg")
    assert str(error.value).startswith("a.jpg: ") and "\n" not in str(error.value)
