"""Commands that search and compare."""

from __future__ import annotations

import re

import pytest

from tests.support.command_line import refuse


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tune latent_sizes d --set a.b=1 --set c.d=2", "got --set twice: give it once, with all its values"),
        ("tune nowhere d", "nowhere"),
        ("tune latent_sizes nowhere --preset tiny --plan", "no dataset in .*nowhere"),
        ("tune latent_sizes d --trials 0", "trials must be 1 or more, got 0"),
        ("compare", "say what to compare: posegen compare RUN …"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, refuse(line, capsys))
    assert not list(tmp_path.iterdir())
