"""Keeps a second process out of a folder in which one works, on local disks, shared mounts and object stores alike.

Who works in FOLDER has a claim, ``FOLDER/lock-TOKEN.json``, which a thread renews. An object store has no file that
only one can make, but shows each claim to whoever looks after it was written: everybody writes a claim and then looks
for others. Of two who begin at once both may give way, and try again after a moment.
"""

from __future__ import annotations

import os
import platform
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime

import psutil

from posegen.errors import PosegenError, RunError
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder, leaving_no_empty_folder

_PREFIX = "lock-"
_RENEWAL = 10.0  # seconds
_STALE = 60.0  # seconds without a renewal after which a process on another machine counts as dead
_HANDOVER = 5.0  # seconds in which a process that was just killed is gone, or another that began at once gives way


@dataclass(frozen=True)
class _Claim:
    """Process that works in a folder."""

    host: str
    pid: int
    started: float
    """Start time of the process, since another one may get its number."""
    since: str

    @classmethod
    def own(cls) -> _Claim:
        started = psutil.Process().create_time()
        return cls(platform.node(), os.getpid(), started, f"{datetime.now():%Y-%m-%d %H:%M:%S}")

    @property
    def is_dead(self) -> bool:
        """Return True if the process was on this machine and has ended."""
        if self.host != platform.node():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > 1
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@contextmanager
def hold_folder(folder: StorageFolder, remedy: str) -> Iterator[None]:
    """Keep others out of a folder. Claims of processes that were killed are taken over.

    Whether a process on another machine is alive shows within a minute, by its renewals.

    Raises RunError, with the remedy, where another process works in it, or another thread of this one.
    """
    name = f"{_PREFIX}{uuid.uuid4().hex}.json"
    own = asdict(_Claim.own())
    with leaving_no_empty_folder(folder):
        yield from _hold(folder, name, own, remedy)


def _hold(folder: StorageFolder, name: str, own: dict[str, object], remedy: str) -> Iterator[None]:
    try:
        deadline = time.monotonic() + _HANDOVER
        while True:
            folder.write_json(name, own)
            other = _find_other(folder, name)
            if other is None:
                break
            _delete(folder, name)
            if time.monotonic() > deadline:
                raise RunError(f"{folder} is in use by {other}: wait for it or stop it, or {remedy}")
            time.sleep(random.uniform(0.1, 0.5))
        stop = threading.Event()
        thread = threading.Thread(target=_renew, args=(folder, name, own, stop), daemon=True, name="folder-lock")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    finally:
        _delete(folder, name)


def is_abandoned(folder: StorageFolder) -> bool:
    """Return True if a process of this machine worked in a folder and ended without a word, and none does now."""
    claims = [claim for _, claim in _claims(folder) if claim is not None]
    return bool(claims) and all(claim.is_dead for claim in claims)


def _claims(folder: StorageFolder) -> Iterator[tuple[str, _Claim | None]]:
    """Return the claims by their files; None for what none of ours has written."""
    for file in folder.files(".json"):
        if not file.startswith(_PREFIX):
            continue
        try:
            yield file, parse_json(_Claim, folder.read(file), f"{folder}/{file}", RunError)
        except FileNotFoundError:
            continue
        except PosegenError:
            yield file, None


def _find_other(folder: StorageFolder, name: str) -> _Claim | None:
    """Somebody else's claim that counts; those that do not are deleted."""
    for file, claim in _claims(folder):
        if file == name:
            continue
        if claim is not None and not claim.is_dead and (claim.host == platform.node() or _is_renewed(folder, file)):
            return claim
        _delete(folder, file)
    return None


def _is_renewed(folder: StorageFolder, file: str) -> bool:
    """Wait until it is clear whether a process on another machine renews its claim; return True if it does."""
    first, begin = _written_at(folder, file), time.monotonic()
    while time.monotonic() - begin < _STALE:
        now = _written_at(folder, file)
        if now is None:
            return False
        if now != first:
            return True
        time.sleep(min(1.0, _STALE / 10))
    return False


def _written_at(folder: StorageFolder, file: str) -> int | None:
    filesystem, path = folder.resolve(file)
    return filesystem.get_file_info(path).mtime_ns


def _renew(folder: StorageFolder, name: str, own: dict[str, object], stop: threading.Event) -> None:
    while not stop.wait(_RENEWAL):
        with suppress(OSError):  # an object store that is away for a moment
            folder.write_json(name, own)


def _delete(folder: StorageFolder, name: str) -> None:
    with suppress(OSError):
        folder.delete(name)
