"""Consoles that commands print to."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from posegen.errors import hide_credentials


class _DiscreetConsole(Console):
    """Prints addresses without user and password."""

    def print(self, *objects: Any, **options: Any) -> None:
        if not all(isinstance(one, str) for one in objects):  # tables fit the terminal, lines of text are not broken
            options.setdefault("soft_wrap", False)
        super().print(*(hide_credentials(one) if isinstance(one, str) else one for one in objects), **options)


console = _DiscreetConsole(soft_wrap=True, highlight=False)
errors = _DiscreetConsole(stderr=True, soft_wrap=True, highlight=False)
