"""Videos of the page that a `posegen serve` draws."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from orchestration.app.server import create_app
from orchestration.app.video_server import VideoServer, open_video_server
from orchestration.serving.gateway import Gateway
from orchestration.serving.renderer import BOUNDARY
from posegen.errors import ConfigError
from posegen.io.images import encode_jpeg
from posegen.motion.motion import encode_motion
from posegen.synthetic.motions import make_subject, perform
from tests.orchestration.app.test_server import watch
from tests.support.command_line import refuse

TOKEN = "0123456789abcdef"
BLUE = np.full((384, 256, 3), (20, 40, 200), np.uint8)


class FullError(Exception):
    """Too many wait."""


@dataclass
class Replicas:
    """Draw blue frames."""

    frames: int = 3
    is_cut_off: bool = False
    is_busy: bool = False
    asked: list[dict] = field(default_factory=list)

    async def render(self, content, suffix, options):
        raise NotImplementedError

    async def stream(self, content, suffix, options):
        self.asked.append(options)
        if self.is_busy:
            raise FullError
        yield b"the photo shows nobody" if options["action"] == "kick" else b""
        picture = encode_jpeg(BLUE, 90)
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
        for _ in range(self.frames):
            yield head + picture + b"\r\n"
        yield head + picture[:50] if self.is_cut_off else f"--{BOUNDARY}--\r\n".encode()

    async def ping(self):
        pass

    async def count_running(self):
        return 1

    def is_lost(self, error):
        return False

    def is_full(self, error):
        return isinstance(error, FullError)


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


@pytest.fixture
def address(replicas) -> Iterator[str]:
    """A server of videos on this machine, which wants a token."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        app = Gateway(replicas, token=TOKEN).build()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(address, tmp_path, monkeypatch) -> Iterator[TestClient]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = create_app(server=VideoServer(address, TOKEN))
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as browser:
        yield browser


def draw(client, photo: bytes, **scene) -> list[tuple[str, bytes]]:
    """The records of a video."""
    session = f"/api/sessions/{client.post('/api/sessions').json()['session']}"
    client.post(f"{session}/person", content=photo)
    video = client.post(f"{session}/videos", json={"actions": ["wave"], "frames": 8, **scene}).json()["video"]
    return watch(client, session, video)


def test_the_page_says_where_photos_are_sent(client, address):
    assert client.post("/api/sessions").json()["server"] == address


def test_the_server_draws_the_frames(client, replicas, bruno):
    records = draw(client, bruno, upper="teal")
    assert [kind for kind, _ in records] == ["M", "F", "F", "F", "Z"]
    assert replicas.asked == [{"action": "wave", "frames": 8, "upper": "teal"}]


def test_a_motion_file_is_drawn_here(client, replicas, bruno):
    session = f"/api/sessions/{client.post('/api/sessions').json()['session']}"
    client.post(f"{session}/person", content=bruno)
    content = encode_motion(perform("wave", make_subject(0), frames=8))
    token = client.post(f"{session}/files/motion", params={"name": "own.npz"}, content=content).json()["file"]
    video = client.post(f"{session}/videos", json={"motion": token}).json()["video"]
    assert [kind for kind, _ in watch(client, session, video)] == ["M", *"F" * 8, "Z"] and not replicas.asked


@pytest.mark.parametrize(
    ("changes", "action", "message"),
    [
        ({}, "kick", b"The photo shows nobody."),
        ({"is_cut_off": True}, "wave", b"does not answer"),
        ({"is_busy": True}, "wave", b"is busy"),
    ],
)
def test_what_the_server_refuses_is_said(client, replicas, bruno, changes, action, message):
    vars(replicas).update(changes)
    kind, content = draw(client, bruno, actions=[action])[-1]
    assert kind == "E" and message in content


def test_a_server_that_is_none_is_one_line(address, tmp_path, capsys):
    assert "no posegen serve answers" in refuse("app --no-browser --port 0 --server http://127.0.0.1:9", capsys)
    assert "expected an address" in refuse("app --server gpu-box", capsys)
    assert "is the token of a --server" in refuse("app --token-file token", capsys)
    wrong = tmp_path / "token"
    wrong.write_text("another token of letters")
    with pytest.raises(ConfigError, match="the token is missing or wrong"):
        open_video_server(address, wrong)
    wrong.write_text(TOKEN)
    assert open_video_server(address, wrong).address == address
