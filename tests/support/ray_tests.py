"""Tests that share the Ray of the fixture `ray_session`, which takes ten seconds of a core to start."""

from __future__ import annotations

import pytest

FIXTURE = "ray_session"


def uses_ray(item: pytest.Item) -> bool:
    """Whether a test runs on the Ray that tests share."""
    return isinstance(item, pytest.Function) and FIXTURE in item.fixturenames


def group_tests(items: list[pytest.Item]) -> None:
    """Put the tests on Ray first, and give each to a process with the others; the rest stay together by file."""
    items.sort(key=lambda item: not uses_ray(item))
    for item in items:
        group = FIXTURE if uses_ray(item) else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
