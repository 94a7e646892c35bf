"""One Ray for the whole process."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a worker that reserves no GPU may still use one that is there
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
    """
    private = not os.environ.get("RAY_ADDRESS")
    # With RAY_AUTH_MODE unset Ray asks for a token by default, and would leave one of its own in ~/.ray.
    token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)} if private else {}
    for name, value in (_ENVIRONMENT | token).items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return
    if private:
        with _known_address():
            # Train and Tune ask the dashboard whether a run's driver is alive, to free what a dead one held.
            ray.init(
                "local", num_cpus=num_cpus, include_dashboard=True, log_to_driver=False, logging_level=logging.ERROR
            )
    else:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)


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
