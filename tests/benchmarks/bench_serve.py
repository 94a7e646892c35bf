"""Latency and throughput of ``posegen serve`` with one and two replicas, and with one that is killed under load.

``python -m tests.benchmarks.bench_serve``: four clients ask for three videos of 20 frames each, on a Ray of its own.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import statistics
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from ray.util.state import list_actors

from orchestration.serving.serve import start_serving
from orchestration.serving.settings import ServeSettings
from posegen.io.images import encode_png
from posegen.synthetic.studio import RenderSettings, render_action

CLIENTS, VIDEOS, FRAMES = 4, 12, 20
SIZE = "384x256"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def renderers() -> list[int]:
    """The processes that render."""
    found = list_actors(ray.get_runtime_context().gcs_address, filters=[("state", "=", "ALIVE")], detail=True)
    return [one.pid for one in found if "ServeReplica:posegen:renderer" in one.class_name]


def ask(address: str, photo: bytes, seed: int) -> float:
    """Seconds to a whole video."""
    url = f"{address}/videos?action=wave&upper=teal&size={SIZE}&frames={FRAMES}&seed={seed}"
    start = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, data=photo), timeout=600) as answer:
        assert b"ftyp" in answer.read()[:32]
    return time.perf_counter() - start


def kill_one(after: float) -> None:
    time.sleep(after)
    os.kill(random.choice(renderers()), signal.SIGKILL)


def measure(address: str, photo: bytes, killed_after: float = 0.0) -> str:
    killer = threading.Thread(target=kill_one, args=(killed_after,))
    start = time.perf_counter()
    if killed_after:
        killer.start()
    with ThreadPoolExecutor(CLIENTS) as clients:
        seconds = sorted(clients.map(lambda seed: ask(address, photo, seed), range(VIDEOS)))
    wall = time.perf_counter() - start
    figures = (
        f"median {statistics.median(seconds):.1f} s, longest {seconds[-1]:.1f} s, {60 * VIDEOS / wall:.1f} videos/min"
    )
    return f"{len(seconds)} of {VIDEOS} answered, {figures}"


def main() -> None:
    photo = encode_png(render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(576, 384))).images[0])
    ray.init("local", num_cpus=4, include_dashboard=True, log_to_driver=False)
    for replicas in (1, 2):
        served = start_serving(ServeSettings(port=free_port(), replicas=str(replicas), cpus=1))
        while len(renderers()) < replicas:
            time.sleep(0.5)
        for seed in range(2 * replicas):  # networks are loaded
            ask(served.address, photo, seed)
        print(f"{replicas} replica(s): {measure(served.address, photo)}", flush=True)
        if replicas == 2:
            print(f"one of them killed: {measure(served.address, photo, killed_after=2.0)}", flush=True)
            while len(renderers()) < replicas:
                time.sleep(0.5)
            print(f"{len(renderers())} replicas again", flush=True)
        serve.shutdown()


if __name__ == "__main__":
    main()
