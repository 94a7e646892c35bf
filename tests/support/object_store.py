"""An S3 of this machine: moto, told to stop in the middle of an upload where a test wants that.

gunicorn serves it, and not moto's own server: that one closes every connection, where S3 keeps them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FOLDER = "POSEGEN_OBJECT_STORE"
_THREADS = 16


class ObjectStore:
    """A server in processes of its own, and the file by which it is told what to hold."""

    def __init__(self, folder: Path, port: int):
        self._folder = folder
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",  # what a machine in the cloud would answer
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextmanager
    def holding(self, key: str) -> Iterator[Callable[[], bool]]:
        """Stop every upload of a key that ends so, in the middle, until the context is left.

        Gives a function that says whether one is stopped.
        """
        (self._folder / "hold").write_text(key)
        try:
            yield (self._folder / "held").exists
        finally:
            for name in ("hold", "held"):
                (self._folder / name).unlink(missing_ok=True)


@contextmanager
def serve_objects(folder: Path) -> Iterator[ObjectStore]:
    """Start a server, and stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", str(_THREADS)]
    options += ["--keep-alive", "60", "--worker-tmp-dir", str(folder), "--chdir", str(Path(__file__).parent)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, f"{Path(__file__).stem}:app()"],
            env={**os.environ, _FOLDER: str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port, server)
        yield ObjectStore(folder, port)
    finally:
        server.send_signal(signal.SIGINT)  # now, whatever connections are kept
        server.wait(30)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the object store does not start")


def app() -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """What gunicorn runs."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    moto, folder = DomainDispatcherApplication(create_backend_app), Path(os.environ[_FOLDER])

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            _hold(folder, environ["PATH_INFO"])
        return moto(environ, start_response)

    return answer


def _hold(folder: Path, key: str) -> None:
    """Wait while a part of this key, whose upload has begun, is not to arrive."""
    try:
        while key.endswith((folder / "hold").read_text()):
            (folder / "held").touch()
            time.sleep(0.02)
    except FileNotFoundError:
        return
