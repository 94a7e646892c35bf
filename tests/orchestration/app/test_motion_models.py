"""Actions of trained models on the page."""

from __future__ import annotations

import io
import shlex

import pytest
from PIL import Image
from starlette.testclient import TestClient

from orchestration.app.motion_models import open_models
from orchestration.app.server import create_app
from posegen.errors import PosegenError
from tests.support.command_line import refuse

MODEL = "model1"


@pytest.fixture
def client(actor, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = create_app(open_models([actor]))
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as browser:
        yield browser


def test_the_page_lists_the_actions_of_each_model(client):
    built_in, learned = client.post("/api/sessions").json()["models"]
    assert built_in["id"] == "" and len(built_in["actions"]) == 30 and built_in["fps"] == 25
    assert (learned["id"], learned["label"], learned["fps"]) == (MODEL, "two-actions", 20)
    assert [one["id"] for one in learned["actions"]] == ["wave", "tai chi"]


def test_an_action_of_a_model_has_a_thumbnail(client):
    strip = Image.open(io.BytesIO(client.get("/api/actions/tai%20chi.webp", params={"model": MODEL}).content))
    assert strip.width == 12 * strip.height
    assert client.get("/api/actions/tai%20chi.webp").status_code == 422
    assert client.get("/api/actions/wave.webp", params={"model": "../runs"}).status_code == 422


def test_a_model_moves_the_person_and_the_command_names_it(client, actor, bruno):
    session = f"/api/sessions/{client.post('/api/sessions').json()['session']}"
    client.post(f"{session}/person", content=bruno)
    scene = {"actions": ["tai chi"], "frames": 8}
    answer = client.post(f"{session}/still", json={**scene, "model": MODEL}).json()
    words = shlex.split(answer["command"])
    assert answer["frames"] == 8 and words[words.index("--actor") + 1] == actor
    assert f"actor={actor!r}" in answer["python"]
    assert "no action 'tai chi'" in client.post(f"{session}/still", json=scene).json()["error"]
    unknown = client.post(f"{session}/still", json={**scene, "model": "model9"})
    assert unknown.status_code == 422 and "Reload the page" in unknown.json()["error"]


def test_a_run_that_generates_no_motions_is_refused(untrained_run, capsys):
    with pytest.raises(PosegenError):
        open_models([untrained_run])
    assert "nowhere" in refuse("app --no-browser --port 0 --actors nowhere", capsys)
