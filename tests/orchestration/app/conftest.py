"""A server of the page, and people to give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from orchestration.app.server import create_app
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.stages import Actor
from posegen.synthetic.studio import RenderSettings, render_action


@pytest.fixture(scope="session")
def bruno() -> bytes:
    """A photo of one of the studio's people, PNG."""
    return encode_png(render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(384, 256))).images[0])


@pytest.fixture(scope="session")
def actor(tmp_path_factory) -> str:
    """A run of actor that knows two actions and was not trained."""
    stage = Actor(replace(Actor.presets["tiny"], actions=("wave", "tai chi"), fps=20.0))
    folder = tmp_path_factory.mktemp("runs") / "two-actions"
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None)
    save_checkpoint(StorageFolder(folder) / "checkpoints" / "epoch-0001", stage, progress)
    return str(folder)


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
