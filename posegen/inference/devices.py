"""The device on which a trained stage runs."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """Return a GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
