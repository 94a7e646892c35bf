"""One Ray for the whole process."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from orchestration.runtime.termination import keep_sigterm
from posegen.errors import ConfigError, PosegenError, first_line

_PATIENCE = 5.0  # seconds for a cluster's answer
_LONGEST_SOCKET = 107 if sys.platform == "linux" else 103  # letters of a socket's path, of which the last is 0
_NATIVE_NOTE = re.compile(rb"Set ray log level from environment variable|Failed to get cluster ID from GCS server")
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # of HTTP/2, with no settings
_SETTINGS = 4  # type of the frame with which a server of HTTP/2 answers, at byte 3
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker that reserves no GPU sees none
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # says "E" on our console of an actor pool's arguments, which is no error
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new tables are printed even where none are asked for
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed has a reason, and no metric
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # prints an error at each start where nothing preempts
}


def start_ray(num_cpus: int | None = None) -> None:
    """Connect to the cluster at ``RAY_ADDRESS``, which jobs have, or else start a Ray of this process alone.

    Does nothing where Ray runs already. A private Ray listens on every network interface, whatever it is told,
    and runs the code of whoever connects. So it asks for a token, which is made here and never leaves the
    environment of its processes; ``RAY_AUTH_MODE=disabled`` turns that off.

    Args:
        num_cpus: CPUs of a private Ray; None takes those of the machine.

    Raises ConfigError where no cluster answers at ``RAY_ADDRESS``, or ``TMPDIR`` is too long a path.
    """
    private = not os.environ.get("RAY_ADDRESS")
    # With RAY_AUTH_MODE unset Ray asks for a token by default, and would leave one of its own in ~/.ray.
    token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)} if private else {}
    for name, value in (_ENVIRONMENT | token).items():
        os.environ.setdefault(name, value)
    import ray

    if is_ray_running():
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if private:
        _require_short_folder()
        with _known_address(), _without_native_notes():
            # Train and Tune ask the dashboard whether a run's driver is alive, to free what a dead one held.
            _start(partial(ray.init, "local", num_cpus=num_cpus, include_dashboard=True, **options))
    else:
        address = os.environ["RAY_ADDRESS"]
        _require_answer(address)
        with _without_native_notes():
            _start(partial(ray.init, **options), address)


def is_ray_running() -> bool:
    """Return True if this process has started Ray, or joined a cluster. Does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def count_resources() -> dict[str, float]:
    """Count what the cluster has, or what a Ray of this machine has at most: it may be allowed fewer CPUs."""
    if is_ray_running():
        return dict(sys.modules["ray"].cluster_resources())
    import torch

    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def _start(start: Callable[[], object], address: str = "") -> None:
    """Start Ray, or join that of an address.

    Raises ConfigError where it gives up, which it does by a bare exception: on a machine that is busy, or where what
    answers is no cluster of this version.
    """
    try:
        keep_sigterm(start)
    except PosegenError:
        raise
    except Exception as error:
        if address:
            raise ConfigError(_no_cluster(address, first_line(error))) from error
        raise ConfigError(
            f"Ray did not start ({first_line(error)}): the machine may be busy, try again, or work without Ray where a "
            "command has --workers 0"
        ) from error


def _no_cluster(address: str, reason: str) -> str:
    return (
        f"no cluster answers at {address}, which RAY_ADDRESS names ({reason}): "
        "start it, or unset RAY_ADDRESS to use this machine alone"
    )


def _require_answer(address: str) -> None:
    """Raise ConfigError where no server of HTTP/2, as those of Ray are, answers at a cluster's address.

    Ray would wait a quarter of an hour for it.
    """
    match = re.fullmatch(r"(?:ray://)?\[?(?P<host>[^/]+?)\]?:(?P<port>\d+)", address)
    if not match:
        return
    try:
        with socket.create_connection((match["host"], int(match["port"])), timeout=_PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
                return
            connection.sendall(_GREETING)
            answer = connection.recv(9, socket.MSG_WAITALL)
    except OSError as error:
        raise ConfigError(_no_cluster(address, first_line(error))) from None
    if answer[3:4] != bytes((_SETTINGS,)):
        raise ConfigError(_no_cluster(address, "what listens there is not Ray"))


def _require_short_folder() -> None:
    """Raise ConfigError where the paths of Ray's sockets would be longer than the system allows."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    folder = os.environ.get(name, "/tmp")
    most = _LONGEST_SOCKET - len(f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    if len(os.fsencode(folder)) > most:
        raise ConfigError(
            f"{name} is {folder}, too long a path for Ray's sockets, which allow {most} letters: set RAY_TMPDIR=/tmp"
        )


@contextmanager
def _without_native_notes() -> Iterator[None]:
    """Leave out what Ray's native code writes to standard error of its own settings, and keep everything else."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not _NATIVE_NOTE.search(line)))


@contextmanager
def _known_address() -> Iterator[None]:
    """Let the processes of a Ray that starts in this context know its address.

    Without one they look for a Ray on the machine, and give up where several run: what a stopped trial held would then
    never be freed, and a search would wait for it for ever.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"RAY_GCS_SERVER_PORT": str(port), "RAY_ADDRESS": f"127.0.0.1:{port}"}
    os.environ.update(known)
    try:
        yield
    finally:
        for name in known:
            del os.environ[name]
