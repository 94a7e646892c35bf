"""Who works in a folder keeps others out of it, until it ends or is killed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time

import psutil
import pytest

import orchestration.runtime.folder_lock as module
from orchestration.runtime.folder_lock import hold_folder
from posegen.errors import RunError
from posegen.io.storage import StorageFolder


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "_HANDOVER", 0.2)
    monkeypatch.setattr(module, "_STALE", 0.5)


def claim(folder: StorageFolder, host: str, pid: int, started: float) -> None:
    folder.write_json("lock-other.json", {"host": host, "pid": pid, "started": started, "since": "2026-01-01 10:00:00"})


def test_the_second_is_refused_with_the_others_process_and_host(tmp_path):
    folder = StorageFolder(tmp_path / "run")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    claim(folder, platform.node(), other.pid, psutil.Process(other.pid).create_time())
    message = rf"in use by process {other.pid} on {platform.node()}, since 2026.*another"
    with pytest.raises(RunError, match=message), hold_folder(folder, "take another --name"):
        pytest.fail("two in one folder")
    other.kill()
    other.wait()
    with hold_folder(folder, "take another --name"):  # and what the killed one left is taken over
        assert [json.loads(folder.read(name))["pid"] for name in folder.files()] == [os.getpid()]
    assert not folder.files()


def test_a_process_with_the_number_of_a_killed_one_is_another_one(tmp_path):
    folder = StorageFolder(tmp_path)
    claim(folder, platform.node(), os.getpid(), psutil.Process().create_time() - 1000)
    with hold_folder(folder, ""):
        pass


def test_a_process_elsewhere_is_alive_as_long_as_it_renews_its_claim(tmp_path):
    folder, stop = StorageFolder(tmp_path), threading.Event()

    def renew() -> None:
        while not stop.wait(0.05):
            claim(folder, "elsewhere", 1, 0.0)

    claim(folder, "elsewhere", 1, 0.0)
    thread = threading.Thread(target=renew)
    thread.start()
    with pytest.raises(RunError, match="process 1 on elsewhere"), hold_folder(folder, ""):
        pytest.fail("two in one folder")
    stop.set()
    thread.join()
    begin = time.monotonic()
    with hold_folder(folder, ""):
        assert time.monotonic() - begin >= 0.5


def test_of_two_who_begin_at_once_one_at_most_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_HANDOVER", 10.0)
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with hold_folder(StorageFolder(tmp_path / "run"), ""):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.1)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
