"""A server of the page, and people to give it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orchestration.app.server import create_app
from posegen.io.images import encode_png
from posegen.synthetic.studio import RenderSettings, render_action


@pytest.fixture(scope="session")
def bruno() -> bytes:
    """A photo of one of the studio's people, PNG."""
    return encode_png(render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(384, 256))).images[0])


@pytest.fixture
def client(tmp_path, monkeypatch) -> Iterator[TestClient]:
    """A browser on this machine; folders of sessions lie below the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TestClient(create_app(), base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as browser:
        yield browser


@pytest.fixture
def session(client) -> str:
    """The address of a session."""
    return f"/api/sessions/{client.post('/api/sessions').json()['session']}"
