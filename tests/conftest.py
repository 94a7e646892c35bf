"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and footage that developers have beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"real weights and footage are not here: no folder {SHARED.name!r} beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of parity numbers."""
    return Path(__file__).parent / "fixtures"
