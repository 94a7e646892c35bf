"""A Ray of several nodes on this machine. Its processes are found by their parents: other Rays go on.

A node is a process of its own, in a session of its own, in which `ray start --block` runs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_BIN = Path(sys.executable).parent
_PATIENCE = 120.0  # seconds


class RayCluster:
    """A head, and nodes that come and go."""

    def __init__(self, folder: Path, head_cpus: int):
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {"RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "disabled"}
        self._nodes: list[subprocess.Popen[bytes]] = []
        port, dashboard = self.address.rpartition(":")[2], free_port()
        self._start(f"--head --port={port} --dashboard-port={dashboard} --num-cpus={head_cpus}")

    def add_node(self, cpus: int) -> subprocess.Popen[bytes]:
        """Start another node."""
        return self._start(f"--address={self.address} --num-cpus={cpus}")

    def kill_node(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a node at once, as when a machine is lost."""
        family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        node.wait(30)
        self._nodes.remove(node)

    def _start(self, options: str) -> subprocess.Popen[bytes]:
        command = [_BIN / "ray", "start", "--block", "--node-ip-address=127.0.0.1", *options.split()]
        command += ["--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
        log = self.folder / f"node-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            node = subprocess.Popen(
                command,
                env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._nodes.append(node)
        deadline = time.monotonic() + _PATIENCE
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return node

    def stop(self) -> None:
        """Stop all nodes, the head last."""
        for node in reversed(self._nodes.copy()):
            self.kill_node(node)


@contextmanager
def start_cluster(folder: Path, head_cpus: int = 0) -> Iterator[RayCluster]:
    """A cluster of a head alone, for as long as the context lasts; the environment must not name another."""
    cluster = RayCluster(folder, head_cpus)
    try:
        yield cluster
    finally:
        cluster.stop()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
