"""Commands that search and compare."""

from __future__ import annotations

from tests.support.command_line import refusals

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("tune latent_sizes d --set a.b=1 --set c.d=2", "got --set twice: give it once, with all its values"),
    ("tune nowhere d", "nowhere"),
    ("tune latent_sizes nowhere --preset tiny --plan", "no dataset in .*nowhere"),
    ("tune latent_sizes d --trials 0", "trials must be 1 or more, got 0"),
    ("compare", "no runs given, expected posegen compare RUN …"),
)
