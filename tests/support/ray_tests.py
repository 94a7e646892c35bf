"""Which tests share the Ray of the fixture `ray_session`."""

from __future__ import annotations

import pytest


def uses_ray(item: pytest.Item) -> bool:
    """Whether a test runs on the Ray that tests share."""
    return isinstance(item, pytest.Function) and "ray_session" in item.fixturenames
