"""The HTTP interface of `posegen serve`: what is asked reaches a replica, and what is wrong is said."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from orchestration.serving.gateway import Gateway
from orchestration.serving.settings import ServeSettings
from posegen.errors import ConfigError

TOKEN = "0123456789abcdef"


class LostError(Exception):
    """A replica died."""


class FullError(Exception):
    """Too many wait."""


class Replicas:
    """Answer what was asked of them, after some failures."""

    def __init__(self, *failures: Exception, idle: int = 1, busy: int = 0):
        self.failures, self.asked, self.idle, self.busy = list(failures), [], idle, busy

    async def render(self, content, suffix, options):
        self.asked.append((content, suffix, options))
        if self.failures:
            raise self.failures.pop(0)
        return "unknown action" if options.get("action") == "fly" else b"an MP4"

    async def stream(self, content, suffix, options):
        yield b"unknown action" if options.get("action") == "fly" else b""
        yield b"--frame first"
        yield b"--frame--"

    async def ping(self):
        if self.failures:
            raise self.failures.pop(0)
        if not self.idle:
            await asyncio.sleep(60)

    async def count_running(self):
        return self.idle + self.busy

    def is_lost(self, error):
        return isinstance(error, LostError)

    def is_full(self, error):
        return isinstance(error, FullError)


def client(replicas: Replicas, **options) -> TestClient:
    return TestClient(Gateway(replicas, **options).build(), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((64, 48, 3), 90, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def test_a_photo_and_what_it_shows_reach_a_replica(photo):
    replicas = Replicas()
    answer = client(replicas).post("/videos", params={"action": "wave", "upper": "teal", "frames": 5}, content=photo)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "video/mp4", b"an MP4")
    assert replicas.asked == [(photo, ".jpg", {"action": "wave", "upper": "teal", "frames": 5})]


def test_frames_are_streamed(photo):
    answer = client(Replicas()).post("/frames", params={"action": "wave"}, content=photo)
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace") and answer.content.startswith(
        b"--frame"
    )


@pytest.mark.parametrize("path", ["/videos", "/frames"])
def test_what_cannot_be_rendered_is_said(path, photo):
    answer = client(Replicas()).post(path, params={"action": "fly"}, content=photo)
    assert answer.status_code == 422 and answer.json()["detail"] == "unknown action"


@pytest.mark.parametrize(
    ("asked", "content", "code", "reason"),
    [
        ({"action": "wave"}, b"<svg><script/></svg>", 415, "not a photo"),
        ({"action": "wave"}, b"MZ\0", 415, "a program"),
        ({"action": "wave"}, b"", 415, "empty"),
        ({"action": "wave", "uper": "teal"}, None, 422, "uper"),
        ({"action": "wave", "frames": 10**6}, None, 422, "600"),
        ({"action": "wave", "upper": "../secret.png"}, None, 422, "not as a file"),
        ({"action": "wave", "lower_to": "C:\\secret"}, None, 422, "not as a file"),
        ({"action": "wave", "clip": "../../etc"}, b"", 422, "clip"),
        ({"action": "wave", "clip": "/etc/passwd"}, b"", 422, "clip"),
        ({"action": "wave", "clip": "ann/photo.jpg"}, b"", 422, "clip"),
        ({"action": "wave", "clip": "ann/bow"}, b"", 422, "no run renders here"),
        ({"action": "wave", "size": "9x9"}, None, 422, "size"),
    ],
)
def test_bad_requests_reach_no_replica(asked, content, code, reason, photo):
    replicas = Replicas()
    answer = client(replicas).post("/videos", params=asked, content=photo if content is None else content)
    assert answer.status_code == code and reason in answer.text and not replicas.asked


def test_a_clip_is_named_where_a_run_renders(photo):
    replicas = Replicas()
    http = client(replicas, knows_clips=True)
    assert http.post("/videos", params={"action": "wave", "clip": "ann/bow/2"}).status_code == 200
    assert replicas.asked == [(b"ann/bow/2", "", {"action": "wave"})]
    assert http.post("/videos", params={"action": "wave", "clip": "ann/bow"}, content=photo).status_code == 422


def test_a_request_whose_replica_dies_is_asked_again(photo):
    replicas = Replicas(LostError(), LostError())
    assert client(replicas).post("/videos", params={"action": "wave"}, content=photo).status_code == 200
    assert len(replicas.asked) == 3
    replicas = Replicas(*[LostError() for _ in range(5)])
    assert client(replicas).post("/videos", params={"action": "wave"}, content=photo).status_code == 500
    assert len(replicas.asked) == 3


def test_too_many_requests_are_told_to_come_back(photo):
    answer = client(Replicas(FullError())).post("/videos", params={"action": "wave"}, content=photo)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("replicas", "code", "status"),
    [
        (Replicas(), 200, "ready"),
        (Replicas(LostError()), 200, "ready"),  # another replica answers
        (Replicas(idle=0, busy=2), 200, "busy"),
        (Replicas(idle=0), 503, "no replica runs"),
        (Replicas(FullError()), 503, "too many requests wait"),
    ],
)
def test_readiness_asks_a_replica(replicas, code, status, monkeypatch):
    monkeypatch.setattr("orchestration.serving.gateway._READY_SECONDS", 0.1)
    answer = client(replicas).get("/ready")
    assert answer.status_code == code and status in answer.text
    assert client(replicas).get("/health").status_code == 200


def test_a_token_is_wanted_where_there_is_one(photo):
    replicas = Replicas()
    http = client(replicas, token=TOKEN)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}):
        assert http.post("/videos", params={"action": "wave"}, content=photo, headers=headers).status_code == 401
    assert not replicas.asked and http.get("/health").status_code == 200 == http.get("/ready").status_code
    assert http.get("/openapi.json").status_code == 401
    right = {"authorization": f"Bearer {TOKEN}"}
    assert http.post("/videos", params={"action": "wave"}, content=photo, headers=right).status_code == 200


def test_a_photo_beyond_the_limit_is_not_read(photo):
    replicas = Replicas()
    headers = {"content-length": str(10**9)}
    answer = client(replicas).post("/videos", params={"action": "wave"}, content=photo, headers=headers)
    assert answer.status_code == 413 and not replicas.asked


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicas": "4:2"}, "expected a number, or MIN:MAX"),
        ({"replicas": "0"}, "expected a number"),
        ({"host": "0.0.0.0"}, "give a token with --token-file"),
        ({"port": 0}, "expected 1 to 65535"),
        ({"queue": 0}, "expected 1 or more"),
    ],
)
def test_wrong_settings_are_one_line(changes, message):
    with pytest.raises(ConfigError, match=message):
        ServeSettings(**changes)
