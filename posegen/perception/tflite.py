"""Runs the small networks that are published as TensorFlow Lite files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

_one_at_a_time = threading.Lock()


class TFLite:
    """A network of one image, loaded once. Not to be shared between threads."""

    def __init__(self, file: Path):
        # One thread: a pipeline runs a backend per core, and threads inside such small networks gain little.
        with _quiet_stderr():
            self._interpreter = Interpreter(str(file), num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {output["name"]: output["index"] for output in self._interpreter.get_output_details()}

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run on one image (H, W, 3) of the network's size and range; return its outputs by name, unbatched."""
        self._interpreter.set_tensor(self._input, image[None].astype(np.float32))
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what libraries in C++ write to standard error: LiteRT announces its CPU kernels, and has no option for it.

    Its errors are exceptions, which are raised as usual.
    """
    with _one_at_a_time:
        try:
            kept = os.dup(2)
        except OSError:  # the process has no standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
