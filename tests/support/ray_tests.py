"""Tests that share the Ray of the fixture `ray_session`, which takes ten seconds of a core to start."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

FIXTURE = "ray_session"


def uses_ray(item: pytest.Item) -> bool:
    """Whether a test runs on the Ray that tests share."""
    return isinstance(item, pytest.Function) and FIXTURE in item.fixturenames


@cache
def names_ray(file: Path) -> bool:
    """Whether a file has tests on Ray, as far as its text tells."""
    return FIXTURE in file.read_text(encoding="utf-8")


def make_scheduler(config: pytest.Config, log: object) -> object:
    """A scheduler of pytest-xdist for which all files with tests on Ray are one."""
    from xdist.scheduler import LoadFileScheduling

    class RayIsOneFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return FIXTURE if names_ray(config.rootpath / file) else file

    return RayIsOneFile(config, log)
