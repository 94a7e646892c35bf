"""Makes torchvision importable beside a PyTorch build that it was not compiled for."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch


def import_torchvision() -> ModuleType:
    """Import torchvision, and return it.

    With a CPU build of PyTorch the compiled operators of PyPI's torchvision do not load, and the import fails on
    the first Python function that names one. Declaring the two that it names lets everything else work; calling
    them would still fail.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")
