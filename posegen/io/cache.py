"""The folder in which posegen keeps what can be fetched or made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder, which need not exist: ``POSEGEN_CACHE``, or ``~/.cache/posegen``."""
    return Path(os.environ.get("POSEGEN_CACHE") or Path.home() / ".cache" / "posegen")
