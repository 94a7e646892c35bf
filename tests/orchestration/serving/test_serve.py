"""`posegen serve` on Ray Serve: videos come by HTTP, also when a replica dies."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import threading
import time
import urllib.request

import pytest
from PIL import Image

from orchestration.serving.serve import start_serving
from orchestration.serving.settings import ServeSettings
from posegen.errors import ConfigError, PosegenError
from posegen.synthetic.studio import RenderSettings, render_action


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def renderer_processes() -> list[int]:
    """The processes of the replicas that render."""
    import ray
    from ray.util.state import list_actors

    own = ray.get_runtime_context().gcs_address  # other Rays may be there, or have left their address
    actors = list_actors(own, filters=[("state", "=", "ALIVE")], detail=True)
    return [actor.pid for actor in actors if "ServeReplica:posegen:renderer" in actor.class_name]


def status_of(address: str) -> str:
    """What `/ready` tells."""
    with urllib.request.urlopen(f"{address}/ready") as answer:
        return json.load(answer)["status"]


@pytest.mark.ray
@pytest.mark.timeout(280)
def test_videos_are_served_though_a_replica_dies(ray_session):
    from ray import serve

    file = io.BytesIO()
    Image.fromarray(render_action("bruno", "wave_one_hand", 1, RenderSettings(size=(192, 128))).images[0]).save(
        file, "PNG"
    )
    served = start_serving(ServeSettings(port=free_port(), replicas="1", cpus=0.5))
    try:
        assert status_of(served.address) == "ready"
        answers = []

        def ask(frames: int) -> None:
            url = f"{served.address}/videos?action=wave&upper=teal&size=96x64&frames={frames}"
            with urllib.request.urlopen(urllib.request.Request(url, data=file.getvalue()), timeout=240) as answer:
                answers.append(answer.read())

        ask(2)
        asking = threading.Thread(target=ask, args=(400,))
        asking.start()
        time.sleep(1.0)
        assert status_of(served.address) == "busy"  # its one replica renders
        [renderer] = renderer_processes()
        os.kill(renderer, signal.SIGKILL)
        asking.join(timeout=240)
        assert len(answers) == 2 and all(b"ftyp" in answer[:32] for answer in answers)
        assert renderer_processes() != [renderer]
    finally:
        serve.shutdown()


def test_a_port_that_is_taken_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="is taken or not allowed"):
            start_serving(ServeSettings(port=taken.getsockname()[1]))


def test_a_run_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(PosegenError, match="nowhere"):
        start_serving(ServeSettings(port=free_port(), run=str(tmp_path / "nowhere")))
