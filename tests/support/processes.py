"""Processes that have the product imported when they start.

Importing takes seconds: a first process does it, and all others are forked from it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mlflow", "orchestration.data.prepare", "orchestration.training.train", "pytest"])


def start(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Call a function in another process, with the environment and the working directory of this one.

    Args:
        function: Of a module, by whose name the process finds it.
        arguments: Picklable.
    """
    process = _CONTEXT.Process(target=_call, args=(dict(os.environ), Path.cwd(), function, arguments))
    process.start()
    return process


def _call(
    environment: dict[str, str], folder: Path, function: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    function(*arguments)
