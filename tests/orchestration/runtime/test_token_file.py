"""Tokens come from files."""

from __future__ import annotations

import pytest

from orchestration.runtime.token_file import read_token
from posegen.errors import ConfigError


def test_a_token_is_read_without_its_line_end(tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    assert read_token(file) == "0123456789abcdef"
    assert read_token(None) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"short", "expected a token of 16 or more"), (b"\xff" * 20, "cannot be read"), (None, "cannot be read")],
)
def test_a_file_without_a_token_is_one_line(content, message, tmp_path):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_token(file)
