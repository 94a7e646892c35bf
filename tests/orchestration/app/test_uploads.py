"""What people give the page by mistake, or to do harm: refused in words, and nothing of it kept."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestration.app import uploads
from orchestration.app.uploads import plain_file_name
from posegen.io.images import encode_png
from posegen.io.video_writer import write_video
from tests.support.bvh_files import STYLES, write_style

CALM = np.full((96, 96, 3), 180, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)


def jpeg(image: np.ndarray = CALM) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred bytes that claims 50,000 × 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "process"]


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', 415, "drawing or a page"),
        ("a.jpg", b'\xef\xbb\xbf <?xml version="1.0"?><svg onload="alert(1)"/>', 415, "drawing or a page"),
        ("holiday.jpg", b"MZ\x90\0" + b"\0" * 500, 415, "This is a program, not a photo"),
        ("holiday.png", b"\x7fELF" + b"\0" * 500, 415, "This is a program, not a photo"),
        ("script.png", b"#!/bin/sh\nrm -rf /\n", 415, "This is a program, not a photo"),
        ("bomb.png", bomb(), 413, "more than 40 megapixels"),
        ("half.jpg", jpeg(NOISE)[:-2000], 422, "damaged or cut off"),
        ("iphone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 415, "iPhone photo in HEIC"),
        ("empty.jpg", b"", 415, "This file is empty"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:\nfile:///etc/passwd\n", 415, "neither a photo nor a video"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "neither a photo nor a video"),
        ("book.pdf", b"%PDF-1.7\n", 415, "This is a PDF"),
        ("half.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 300, 415, "damaged or cut off"),
        ("dance.bvh", b"HIERARCHY\nROOT Hips", 415, "not what is needed here"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_file_is_refused_in_words_and_deleted(client, session, tmp_path, name, content, status, words):
    answer = client.post(f"{session}/person", params={"name": name}, content=content)
    assert answer.status_code == status and words in answer.json()["error"], answer.text
    assert str(tmp_path) not in answer.text and "--" not in answer.text
    assert not files_of(tmp_path)


def test_a_photo_of_nobody_is_refused_and_deleted(client, session, tmp_path):
    answer = client.post(f"{session}/person", content=encode_png(CALM))
    assert answer.status_code == 422 and "could not find a person" in answer.json()["error"]
    assert not files_of(tmp_path)
    assert "Choose a photo" in client.post(f"{session}/still", json={}).json()["error"]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(client, session, tmp_path):
    announced = client.post(f"{session}/person", content=b"", headers={"content-length": str(2 * 2**30)})
    assert announced.status_code == 413 and "2,048 MB" in announced.json()["error"]
    assert not files_of(tmp_path)


def test_a_file_that_does_not_say_its_size_is_refused_at_the_limit(client, session, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "_LARGEST", {"picture": 5000, "video": 5000, "motion": 5000})
    taken = []

    def endless():
        for number in range(1000):
            taken.append(number)
            yield b"\xff\xd8\xff" + b"\0" * 997

    answer = client.post(f"{session}/person", content=endless())
    assert answer.status_code == 413 and "too large" in answer.json()["error"]
    assert not files_of(tmp_path)


def test_a_picture_has_a_limit_of_its_own(client, session, monkeypatch):
    monkeypatch.setattr(uploads, "_LARGEST", {"picture": 500, "video": 5000, "motion": 5000})
    answer = client.post(f"{session}/person", content=jpeg(NOISE))
    assert answer.status_code == 413


def test_a_long_video_is_refused(client, session, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "_LONGEST_VIDEO", 0.5)
    write_video(tmp_path / "long.mp4", [CALM] * 25, fps=25)
    content = (tmp_path / "long.mp4").read_bytes()
    (tmp_path / "long.mp4").unlink()
    answer = client.post(f"{session}/files/driving", content=content)
    assert answer.status_code == 413 and "Cut it" in answer.json()["error"]
    assert not files_of(tmp_path)


def test_names_are_shown_and_never_paths(client, session, tmp_path):
    answer = client.post(f"{session}/files/cloth", params={"name": "../../etc/../red silk.jpg"}, content=jpeg())
    assert answer.status_code == 200 and answer.json()["name"] == "red silk.jpg"
    [kept] = files_of(tmp_path)
    assert kept.suffix == ".jpg" and "silk" not in kept.name and kept.parent.parent.parent == tmp_path


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../a.png", "a.png"),
        ("C:\\me\\a.png", "a.png"),
        ("--out.png", "out.png"),
        ("a;rm -rf `x`$y.png", "arm -rf xy.png"),
        ("<b>.jpg", "b.jpg"),
        ("..", "photo.jpg"),
        ("", "photo.jpg"),
        ("\x1b[31mred.png", "[31mred.png"),
        ("a" * 200 + ".jpeg", "a" * 80 + ".jpeg"),
    ],
)
def test_a_name_becomes_plain(name, plain):
    assert plain_file_name(name) == plain


def test_no_path_is_reachable_by_a_colour(client, session, bruno):
    assert client.post(f"{session}/person", content=bruno).status_code == 200
    for color in ("/etc/passwd", "../../photo.png", "file.png", "cloth:../../etc/passwd", "cloth:nothing"):
        answer = client.post(f"{session}/still", json={"upper": color})
        assert answer.status_code == 422
        assert "not a colour" in answer.json()["error"] or "no longer here" in answer.json()["error"]
        sheet = client.post(f"{session}/sheet.png", json={"upper_colors": [color]})
        assert sheet.status_code == 422


def test_a_motion_file_moves_the_person(client, session, bruno):
    kept = client.post(
        f"{session}/files/motion", params={"name": "my dance.bvh"}, content=write_style(STYLES["cmu"])[0].encode()
    )
    assert kept.status_code == 200, kept.text
    client.post(f"{session}/person", content=bruno)
    still = client.post(f"{session}/still", json={"motion": kept.json()["file"]})
    assert still.status_code == 200, still.text
    assert "--motion 'my dance.bvh'" in still.json()["command"]
