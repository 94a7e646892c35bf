"""A smooth step between two numbers."""

from __future__ import annotations

import numpy as np

_Values = np.ndarray | float


def smoothstep(value: _Values, low: _Values, high: _Values) -> np.ndarray:
    """Return 0 up to `low`, 1 from `high` on, and a cubic with level ends between them; shape as `value`."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
