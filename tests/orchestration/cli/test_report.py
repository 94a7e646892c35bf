"""The demo and reports."""

from __future__ import annotations

from tests.support.command_line import refusals

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("report table1 nowhere", "no dataset in .*nowhere"),
    ("report figure2 nowhere", "no dataset in .*nowhere"),
    ("report figure4 nowhere", "no dataset in .*nowhere"),
    ("report table1 d --runs s3://bucket/runs", "expected --out: a local folder for the report"),
    ("report estimators --tracks", "got no tracks, expected --tracks ESTIMATOR=DIR"),
    ("report figure6 d", "unknown command 'figure6'"),
)
