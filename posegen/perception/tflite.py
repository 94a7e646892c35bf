"""Runs the small networks that are published as TensorFlow Lite files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class TFLite:
    """A network of one image, loaded once. Not to be shared between threads."""

    def __init__(self, file: Path):
        # One thread: a pipeline runs a backend per core, and threads inside such small networks gain little.
        self._interpreter = Interpreter(str(file), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {output["name"]: output["index"] for output in self._interpreter.get_output_details()}

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run on one image (H, W, 3) of the network's size and range; return its outputs by name, unbatched."""
        self._interpreter.set_tensor(self._input, image[None].astype(np.float32))
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index)[0] for name, index in self._outputs.items()}
