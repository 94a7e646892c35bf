"""Commands, as people give them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestration.cli import main as cli


class Said(NamedTuple):
    """What came of a command."""

    code: int
    """Its exit code."""
    out: str
    err: str


def run(line: str, capsys: pytest.CaptureFixture[str]) -> Said:
    """Give ``posegen LINE``."""
    code = 0
    try:
        cli.main(shlex.split(line))
    except SystemExit as stop:
        code = int(stop.code or 0)
    return Said(code, *capsys.readouterr())


def refuse(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Give ``posegen LINE``, which cannot work, and return the one line that says why."""
    code, out, error = run(line, capsys)
    assert (code, out, error.count("\n")) == (2, "", 1), (code, out, error)
    assert error.startswith("posegen: ") and "tyro" not in error
    return error


def refusals(*cases: tuple[str, str]) -> Callable[..., None]:
    """A test that commands which cannot work print one line, end with code 2 and write nothing.

    Args:
        cases: A command line without ``posegen``, and a pattern for what is printed.
    """

    @pytest.mark.parametrize(("line", "message"), cases)
    def test(
        line: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        error = refuse(line, capsys)
        assert re.search(message, error), error
        written = list(tmp_path.iterdir())
        assert not written, written

    return test
