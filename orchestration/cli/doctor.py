"""``posegen doctor``: what posegen finds on this machine, and what to do where something is missing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from posegen.errors import PosegenError, counted, in_one_line

State = Literal["ok", "note", "bad"]

_PACKAGES = ("torch", "torchvision", "ray", "mlflow", "optuna", "numpy", "opencv-python-headless", "av", "pyarrow")
_NEEDED = ("blazepose-detector", "blazepose-landmark", "selfie", "hed")  # weights that the first commands want
_LITTLE_DISK, _LITTLE_MEMORY = 5e9, 4e9  # bytes
_PATIENCE = 3.0  # seconds that an address has to answer
_LONGEST_TMPDIR = 60  # letters: Ray puts sockets below it, whose paths have 107 at most


@dataclass(frozen=True)
class MachineCheck:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    advice: str = ""
    """Advice; empty if nothing is to be done."""


def diagnose() -> Iterator[MachineCheck]:
    """Look at versions, devices, weights, disk, Ray and MLflow, one after the other."""
    for look in (_versions, _device, _memory, _disk, _weights, _ray, _mlflow):
        try:
            yield from look()
        except (PosegenError, OSError) as error:
            yield MachineCheck(look.__name__.strip("_"), "bad", in_one_line(error))


def _versions() -> Iterator[MachineCheck]:
    yield MachineCheck(
        "posegen", "ok", f"{version('posegen')} on Python {platform.python_version()}, {platform.platform()}"
    )
    yield MachineCheck(
        "packages", "ok", ", ".join(f"{name} {version(name)}" for name in _PACKAGES if _is_installed(name))
    )


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True


def _device() -> Iterator[MachineCheck]:
    import torch

    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        built = torch.version.cuda
        found = f"none, {counted(cores, 'CPU')}" + (
            f"; PyTorch is built for CUDA {built}" if built else "; PyTorch's CPU build"
        )
        advice = "check the driver with nvidia-smi" if built and shutil.which("nvidia-smi") else ""
        yield MachineCheck("GPU", "note", found, advice or "nothing for photos; train with --preset small or medium")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield MachineCheck("GPU", "ok", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {counted(cores, 'CPU')}")


def _memory() -> Iterator[MachineCheck]:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    is_little = memory.available < _LITTLE_MEMORY
    yield MachineCheck(
        "memory", "note" if is_little else "ok", found, "close programs, or train with fewer --workers" * is_little
    )


def _disk() -> Iterator[MachineCheck]:
    from posegen.io.cache import cache_folder

    for name, folder in (("disk here", Path.cwd()), ("disk of the cache", cache_folder())):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        is_little = free < _LITTLE_DISK
        yield MachineCheck(
            name,
            "note" if is_little else "ok",
            f"{free / 2**30:.0f} GiB free in {there}",
            "free some space" * is_little,
        )


def _weights() -> Iterator[MachineCheck]:
    from posegen.io.cache import cache_folder
    from posegen.weights.registry import is_cached

    missing = [name for name in _NEEDED if not is_cached(name)]
    found = f"{', '.join(missing)} not downloaded yet" if missing else f"{', '.join(_NEEDED)} in {cache_folder()}"
    advice = "posegen weights fetch, before working offline; otherwise the first use downloads them" if missing else ""
    yield MachineCheck("weights", "note" if missing else "ok", found, advice)


def _ray() -> Iterator[MachineCheck]:
    folder = os.environ.get("TMPDIR", "")
    if len(folder) > _LONGEST_TMPDIR:
        yield MachineCheck("TMPDIR", "bad", f"{folder} is too long for Ray's sockets", "set TMPDIR to a shorter path")
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "local", "auto"):
        yield MachineCheck("Ray", "ok", "starts on this machine when it is needed")
        return
    yield _reach("Ray", "RAY_ADDRESS", address)


def _mlflow() -> Iterator[MachineCheck]:
    from orchestration.tracking.client import shown_store, tracking_uri

    uri = tracking_uri()
    if uri.startswith("http"):
        yield _reach("MLflow", "MLFLOW_TRACKING_URI", uri, lambda found: f"{shown_store()} answers" if found else "")
        return
    yield MachineCheck("MLflow", "ok", f"runs are recorded in {shown_store()}; posegen ui shows them")


def _reach(name: str, variable: str, address: str, describe: Callable[[bool], str] | None = None) -> MachineCheck:
    """Check whether a server answers."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        host, _, port = where.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_PATIENCE):
            return MachineCheck(name, "ok", describe(True) if describe else f"{where} answers")
    except OSError as error:
        return MachineCheck(
            name, "bad", f"{where} of {variable} does not answer ({error})", f"start it, or unset {variable}"
        )
