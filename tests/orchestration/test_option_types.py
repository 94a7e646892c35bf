"""Types of options."""

from __future__ import annotations

import pytest

from orchestration.option_types import format_size, parse_size


def test_sizes():
    assert parse_size("384x256") == (384, 256) and format_size((96, 64)) == "96x64"
    with pytest.raises(ValueError, match="got '384', expected HEIGHTxWIDTH"):
        parse_size("384")
