"""What would be waited for in vain is named within seconds, with the variable that leads there."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from orchestration.cli import main as cli
from orchestration.runtime import ray_session, watchdog
from orchestration.runtime.ray_session import _require_answer, _require_short_folder
from orchestration.runtime.termination import call_interruptibly, exiting_on_sigterm, keep_sigterm
from orchestration.runtime.watchdog import Heartbeat, Watchdog
from orchestration.training import ray_trainer
from orchestration.training.job import TrainSettings
from orchestration.training.ray_trainer import _require_fitting, find_scaling, num_places
from posegen.errors import ConfigError, StorageError
from posegen.io import storage
from posegen.io.storage import StorageFolder
from tests.support import command_line

MACHINES = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0}]


def answering(reply: bytes) -> Iterator[str]:
    """The address of a server that says one thing to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(reply)
                    connections.append(connection)

        connections: list[socket.socket] = []
        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)  # for the thread that waits in it
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_gone_is_named_with_its_variable(scheme):
    for address in answering(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))):
        _require_answer(scheme + address)
    with pytest.raises(ConfigError, match=rf"at {scheme}{address}, which RAY_ADDRESS names .*unset RAY_ADDRESS"):
        _require_answer(scheme + address)
    _require_answer("auto")


@pytest.mark.parametrize(
    ("reply", "reason"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "what listens there is not Ray"), (b"", "timed out")]
)
def test_what_is_no_cluster_is_named_with_its_variable(reply, reason, monkeypatch):
    """Another port of the cluster, another service, or one that never answers."""
    monkeypatch.setattr(ray_session, "_PATIENCE", 0.3)
    for address in answering(reply):
        with pytest.raises(
            ConfigError, match=rf"at {address}, which RAY_ADDRESS names \({reason}\): start it, or unset"
        ):
            _require_answer(address)


def test_a_temporary_folder_too_deep_for_sockets_is_named(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/scratch/" + "a" * 60)
    with pytest.raises(ConfigError, match=r"^TMPDIR is /scratch/a+, too long .*set RAY_TMPDIR=/tmp$"):
        _require_short_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    _require_short_folder()


def test_an_object_store_that_never_answers_is_named(monkeypatch):
    monkeypatch.setattr(storage, "_PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        with pytest.raises(StorageError, match=r"no object store answers .*, which AWS_ENDPOINT_URL names .*or change"):
            StorageFolder("s3://silence/data").exists()
    assert time.monotonic() - begin < 5


def test_what_workers_wait_for_is_told_until_one_begins(monkeypatch):
    monkeypatch.setattr(watchdog, "_REMINDER", 0.0)
    told: list[str] = []
    watch = Watchdog(0.0, told.append, waits_for="{'GPU': 1} × 2")
    watch.check()
    watch.check()
    watch.record(Heartbeat(0, 1, "node", "opening the data"))
    watch.check()
    assert told == ["waiting for {'GPU': 1} × 2"] * 2


def test_workers_that_do_not_fit_are_refused():
    assert num_places(MACHINES, 2, 0) == 3 and num_places(MACHINES, 1, 0.5) == 2
    _require_fitting(TrainSettings(workers=3), MACHINES, 2)
    with pytest.raises(
        ConfigError, match=r"no room for 3 workers with 4 CPUs and 0 GPUs each .* has 6 CPUs, 1 GPU: ask"
    ):
        _require_fitting(TrainSettings(workers=3), MACHINES, 4)
    with pytest.raises(ConfigError, match="no room for 2 workers with 1 CPU and 1 GPU each"):
        _require_fitting(TrainSettings(workers=2, gpus=1), MACHINES, 1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (TrainSettings(workers=4000), "no room for 4,000 workers with 1 CPU and 0 GPUs each on this machine"),
        (TrainSettings(workers=1, gpus=1), "no room for 1 worker with 1 CPU and 1 GPU each on this machine"),
        (TrainSettings(workers=1, gpus=1, accelerator="H100"), "--accelerator H100: this machine has no GPUs"),
    ],
)
def test_workers_that_cannot_fit_are_refused_before_ray_starts(settings, reason, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_trainer, "is_ray_running", lambda: False)
    monkeypatch.setattr(ray_trainer, "start_ray", pytest.fail)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=reason):
        find_scaling(settings)


@pytest.fixture
def signals() -> Iterator[None]:
    """Those of a command at a terminal, for a test; what is started behind & ignores Ctrl-C."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_says_how_it_goes_on(number, code, signals, monkeypatch, capsys):
    class Stopped:
        def parse(self, path, arguments):
            return lambda: signal.raise_signal(number)

    monkeypatch.setattr(cli, "build_app", Stopped)
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == code
    assert capsys.readouterr().err == "posegen: stopped; the same command goes on from what is finished\n"


def test_rays_handler_does_not_stay_in_place_of_ours(signals):
    with exiting_on_sigterm():
        keep_sigterm(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
        with pytest.raises(SystemExit) as stop:
            signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 143


@pytest.mark.parametrize("line", ["weights list", "no-such-command", "--help"])
def test_a_command_leaves_the_handlers_of_its_process(line, signals, capsys):
    def own(number, frame):
        raise AssertionError

    signal.signal(signal.SIGTERM, own)
    command_line.run(line, capsys)
    assert signal.getsignal(signal.SIGTERM) is own


def test_a_signal_reaches_who_waits_for_a_thread(signals):
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        call_interruptibly(lambda: time.sleep(3))
    with pytest.raises(ZeroDivisionError):
        call_interruptibly(lambda: 1 / 0)
    assert call_interruptibly(lambda: 3) == 3
