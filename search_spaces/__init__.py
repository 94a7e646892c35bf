"""Search spaces: plain declarations over the fields of the stages' configurations, a file for each space.

A new file with a `SPACE` in it is a new space: ``posegen tune NAME`` finds it by the file's name.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from search_spaces.space import Space


def names() -> list[str]:
    """Return the names of all spaces."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "space")


def load(name: str) -> Space:
    """Load a space by its name, one of `names`."""
    return import_module(f"search_spaces.{name}").SPACE
