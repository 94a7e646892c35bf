"""The device on which networks run unless another one is asked for."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """Return a GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
