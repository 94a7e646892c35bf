"""A smooth step between two numbers."""

from __future__ import annotations

import numpy as np


def smoothstep(value: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """Return 0 up to `low`, 1 from `high` on, and a cubic with level ends between them; shape as `value`."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
