"""The page's server: a photo in, a still and a video out, for this machine's browsers alone."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image

from orchestration.app.render_queue import RenderQueue
from orchestration.app.sessions import SessionStore, remove_abandoned
from orchestration.cli import main as cli
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.color.palette import parse_color
from tests.support.command_line import refuse

WAVE = {"actions": ["wave"], "frames": 8, "upper": "teal"}


def picture(address: str) -> np.ndarray:
    """A picture of a data URL, (H, W, 3)."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def watch(client, session: str, video: str) -> list[tuple[str, bytes]]:
    """All records of a video."""
    content, records = client.get(f"{session}/videos/{video}/frames").content, []
    while content:
        size = int.from_bytes(content[1:5], "big")
        records.append((content[:1].decode(), content[5 : 5 + size]))
        content = content[5 + size :]
    return records


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_photo_a_colour_and_an_action_become_the_video_of_the_command(client, session, bruno, tmp_path, monkeypatch):
    seen = client.post(f"{session}/person", params={"name": "bruno.png"}, content=bruno).json()
    assert [one["label"] for one in seen["garments"]] == ["Top", "Bottom"] and len(seen["skeleton"]) > 10
    assert all(one["outlines"] and one["color"].startswith("#") for one in seen["garments"])
    still = client.post(f"{session}/still", json={**WAVE, "moment": 1.0}).json()
    assert (still["frame"], still["frames"], still["size"]) == (7, 8, [384, 256])
    [color] = still["colors"]
    assert color["difference"] < 1 and color["asked"] == "#008080"
    video = client.post(f"{session}/videos", json=WAVE).json()["video"]
    kinds = [kind for kind, _ in watch(client, session, video)]
    assert kinds == ["M", *"F" * 8, "Z"]
    mp4 = client.get(f"{session}/videos/{video}.mp4")
    assert "posegen-wave-teal.mp4" in mp4.headers["content-disposition"]
    (tmp_path / "bruno.png").write_bytes(bruno)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(still["command"])
    assert words[0] == "posegen"
    cli.main(words[1:])
    assert Path("posegen-wave-teal.mp4").read_bytes() == mp4.content
    exec(still["python"].replace("posegen-wave-teal", "python"), {})
    assert Path("python.mp4").read_bytes() == mp4.content


def test_a_still_shows_the_colour_and_keeps_the_rest(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    still = client.post(f"{session}/still", json={"upper": "#c0272d"}).json()
    before, after = picture(still["before"]), picture(still["after"])
    changed = delta_e_2000(rgb_to_lab(before), rgb_to_lab(after)) > 5
    assert 0.02 < changed.mean() < 0.5
    near = delta_e_2000(rgb_to_lab(after[changed]), np.array(parse_color("#c0272d")))
    assert np.quantile(near, 0.2) < 8
    own = client.post(f"{session}/still", json={}).json()
    assert own["before"] == own["after"] and own["colors"] == [] and own["command"] == ""


def test_a_colour_change_draws_and_does_not_look_again(client, session, bruno, monkeypatch):
    client.post(f"{session}/person", content=bruno)
    client.post(f"{session}/still", json=WAVE)
    monkeypatch.setattr("orchestration.app.designer.prepare_person", None)  # would be called
    assert client.post(f"{session}/still", json={**WAVE, "upper": "red"}).status_code == 200
    monkeypatch.setattr("orchestration.app.designer.find_subject", None)
    assert client.post(f"{session}/still", json={**WAVE, "actions": ["kick"]}).status_code == 500  # needs to


def test_a_colour_fades_along_the_video(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    fade = {**WAVE, "upper": "white", "upper_to": "black"}
    first, last = (
        picture(client.post(f"{session}/still", json={**fade, "moment": at}).json()["after"]) for at in (0, 1)
    )
    assert first[..., 0].mean() > last[..., 0].mean() + 5


def test_downloads(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    png = client.post(f"{session}/still.png", json=WAVE)
    assert Image.open(io.BytesIO(png.content)).size == (256, 384)
    video = client.post(f"{session}/videos", json=WAVE).json()["video"]
    watch(client, session, video)
    gif = Image.open(io.BytesIO(client.get(f"{session}/videos/{video}.gif").content))
    assert gif.n_frames == 4 and gif.info["duration"] == 80  # every second of 25 frames a second
    sheet = client.post(f"{session}/sheet.png", json={"upper_colors": ["keep", "teal"], "lower_colors": ["navy"]})
    assert sheet.headers["content-type"] == "image/png" and Image.open(io.BytesIO(sheet.content)).width > 256


def test_a_video_that_is_cancelled_ends_and_leaves_no_file(client, session, bruno, tmp_path):
    client.post(f"{session}/person", content=bruno)
    video = client.post(f"{session}/videos", json={**WAVE, "frames": 700}).json()["video"]
    assert client.get(f"{session}/videos/{video}.mp4").status_code == 422
    client.post(f"{session}/videos/cancel")
    kind, content = watch(client, session, video)[-1]
    assert kind == "E" and "cancelled" in json.loads(content)["error"]
    wait_until(lambda: not list(tmp_path.rglob("*.mp4")))


def test_a_video_that_is_cancelled_before_it_begins_says_so(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    gate = threading.Event()

    def hold():
        gate.wait(30)
        return None
        yield

    client.app.state.queue.submit("another", hold(), kind="")
    video = client.post(f"{session}/videos", json=WAVE).json()["video"]
    client.post(f"{session}/videos/cancel")
    gate.set()
    [(kind, _)] = watch(client, session, video)
    assert kind == "E"


def test_what_cannot_be_drawn_is_said_where_frames_are_awaited(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    video = client.post(f"{session}/videos", json={"upper": "teal"}).json()["video"]
    [(kind, content)] = watch(client, session, video)
    assert kind == "E" and json.loads(content)["error"] == "Choose an action first."


def test_a_session_that_ends_takes_its_files_along(client, session, bruno, tmp_path):
    client.post(f"{session}/person", content=bruno)
    video = client.post(f"{session}/videos", json={**WAVE, "frames": 700}).json()["video"]
    assert list(tmp_path.rglob("*.png"))
    assert client.post(f"{session}/end").status_code == 204
    wait_until(lambda: not list(tmp_path.rglob("*.png")) and not list(tmp_path.rglob("*.mp4")))
    for answer in (client.post(f"{session}/still", json={}), client.get(f"{session}/videos/{video}.mp4")):
        assert answer.status_code == 410 and "deleted" in answer.json()["error"]


def test_another_session_sees_nothing(client, session, bruno):
    client.post(f"{session}/person", content=bruno)
    video = client.post(f"{session}/videos", json=WAVE).json()["video"]
    other = f"/api/sessions/{client.post('/api/sessions').json()['session']}"
    assert client.get(f"{other}/videos/{video}.mp4").status_code == 410
    assert client.post(f"{other}/still", json={}).status_code == 422


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path, monkeypatch, clock):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    queue = RenderQueue()
    yield SessionStore(queue, seconds=60, most=2, clock=clock)
    queue.close()


def test_idle_sessions_end_and_those_in_use_stay(store, clock):
    used, idle = store.create(), store.create()
    clock.now = 50.0
    store.get(used.name)
    clock.now = 70.0
    store.end_idle()
    wait_until(lambda: not idle.folder.exists())
    assert store.get(used.name) is used and used.folder.exists()


def test_there_is_a_most_of_sessions(store):
    store.create(), store.create()
    with pytest.raises(ValueError, match="Many people"):
        store.create()


def test_what_a_killed_server_left_is_deleted_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name, process in (("dead", ended.pid), ("alive", 1)):
        (tmp_path / f"posegen-app-{name}").mkdir()
        (tmp_path / f"posegen-app-{name}" / "process").write_text(str(process))
    (tmp_path / "posegen-app-other").mkdir()
    remove_abandoned()
    assert {path.name for path in tmp_path.iterdir()} == {"posegen-app-alive", "posegen-app-other"}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8765"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"host": "127.0.0.1.evil.example:8765"},
        {"host": ""},
    ],
    ids=str,
)
def test_other_pages_are_refused(client, headers):
    for answer in (client.post("/api/sessions", headers=headers), client.get("/", headers=headers)):
        assert answer.status_code == 403 and "error" in answer.json()


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_the_page_itself_is_served(client, host):
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert client.post("/api/sessions", headers=headers).status_code == 200


def test_the_page_loads_from_nowhere_else(client):
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    static = Path(cli.__file__).parents[1] / "app" / "static"
    for file in static.iterdir():
        text = file.read_text()
        assert "//" not in text.replace("// ", "").replace("http://www.w3.org/", ""), file  # no address
        assert "innerHTML" not in text and "eval(" not in text and " style=" not in text, file
        assert client.get(f"/{file.name}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "//etc/passwd", "/api/actions/../../x.webp",
             "/api/actions/nothing.webp", "/docs", "/openapi.json"],
)  # fmt: skip
def test_no_other_file_is_served(client, path):
    assert client.get(path).status_code in (404, 422)


def test_strips_of_actions_are_pictures(client):
    strip = Image.open(io.BytesIO(client.get("/api/actions/wave.webp").content))
    assert strip.width == 12 * strip.height


def test_a_request_that_is_too_long_is_refused(client, session):
    assert client.post(f"{session}/still", json={"actions": ["x" * 100_000]}).status_code == 413


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ({"actions": ["swim"]}, "no action 'swim'"),
        ({"size": "9999x9999"}, "no size"),
        ({"actions": ["wave"], "motion": "x"}, "one of them"),
        ({"frames": 10**9}, "does not fit"),
        ({"unknown": 1}, "does not fit"),
        ({"upper": "no colour"}, "is not a colour"),
        ({"driving": "nothing"}, "no longer here"),
    ],
)
def test_a_scene_that_does_not_fit_is_refused_in_words(client, session, bruno, scene, words):
    answer = client.post(f"{session}/still", json=scene)
    assert answer.status_code == 422 and words in answer.json()["error"]


def test_a_port_that_is_taken_is_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = refuse(f"app --no-browser --port {taken.getsockname()[1]}", capsys)
    assert "is taken" in error
    assert "expected 0 to 65535" in refuse("app --port 70000", capsys)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_is_served_until_it_is_stopped_and_leaves_nothing(tmp_path, stop):
    command = [
        sys.executable,
        "-c",
        "from orchestration.cli.main import main; main()",
        "app",
        "--port",
        "0",
        "--no-browser",
    ]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(tmp_path)
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("the page: http://127.0.0.1:")
    assert list(tmp_path.glob("posegen-app-*"))
    server.send_signal(stop)
    _, errors = server.communicate(timeout=60)
    assert server.returncode == 0 and not errors.count("stopped"), errors
    assert not list(tmp_path.glob("posegen-app-*"))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_requests_under_way_are_broken_off_without_a_word(tmp_path, bruno, stop):
    """Two readers of a video that is being drawn."""
    command = [sys.executable, "-c", "from orchestration.cli.main import main; main()"]
    command += ["app", "--port", "0", "--no-browser"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(tmp_path)
    )
    assert server.stdout is not None
    address = server.stdout.readline().removeprefix("the page: ").partition(";")[0].rstrip("/")
    with httpx.Client(base_url=address, timeout=120) as browser:
        session = f"/api/sessions/{browser.post('/api/sessions').json()['session']}"
        browser.post(f"{session}/person", params={"name": "bruno.png"}, content=bruno)
        video = browser.post(f"{session}/videos", json={"actions": ["wave"], "frames": 600}).json()["video"]
        with browser.stream("GET", f"{session}/videos/{video}/frames") as watched:
            next(watched.iter_bytes())
            asking = threading.Thread(target=_ask_in_vain, args=(address, f"{session}/videos/{video}/frames"))
            asking.start()
            time.sleep(0.5)
            server.send_signal(stop)
            _, errors = server.communicate(timeout=60)
            asking.join()
    assert (server.returncode, errors) == (0, "")
    assert not list(tmp_path.glob("posegen-app-*"))


def _ask_in_vain(address: str, path: str) -> None:
    with suppress(httpx.HTTPError):
        httpx.get(f"{address}{path}", timeout=60)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
