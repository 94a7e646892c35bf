"""Commands for pretrained weights."""

from __future__ import annotations

import sys

import pytest

from tests.support.command_line import refusals, run


class Reached(Exception):  # noqa: N818
    """The command was run."""


def test_weights_are_listed(capsys):
    code, out, _ = run("weights list", capsys)
    assert code == 0 and "hed" in out and "licence" in out


def test_errors_of_a_command_are_printed_while_it_runs(monkeypatch, capsys):
    """They do not wait for its end."""

    def fail() -> list[dict[str, str]]:
        print("no network", file=sys.stderr)
        raise Reached(capsys.readouterr().err)

    monkeypatch.setattr("posegen.weights.registry.listing", fail)
    with pytest.raises(Reached, match="no network"):
        run("weights list", capsys)


test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("weights fetch unheard-of", "unheard-of"),
    ("weights provide hed nowhere.h5", "nowhere.h5"),
)
