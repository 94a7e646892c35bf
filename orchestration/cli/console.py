"""Where commands print, and how they are declared."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

from rich.console import Console

from posegen.errors import UsageError

console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def deferred(command: Callable[..., None]) -> Callable[..., partial[None]]:
    """Return a command with the same options that does nothing yet, but returns the call that does it.

    So what is printed while arguments are parsed can be told from what the command prints.
    """

    @wraps(command)
    def defer(*values: Any, **options: Any) -> partial[None]:
        for value in (*values, *options.values()):
            if isinstance(value, Path) and re.match(r"\w{2,}:/", str(value)):  # a path has one slash of an address left
                raise UsageError(f"got {value}, expected a local file or folder: only datasets and runs lie elsewhere")
        return partial(command, *values, **options)

    return defer
