"""Commands for clusters."""

from __future__ import annotations

from tests.support.command_line import refusals

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("cluster check nowhere.yaml", "nowhere.yaml"),
    ("submit", "no command given, expected posegen submit -- COMMAND"),
    ("submit --attach job -- weights list", "or --attach JOB to show a job"),
    ("submit -- weights list", "not a git working tree"),
    ("submit -- train color_encoder data", "a job's own folder is deleted with the job, got runs in 'runs'"),
    ("submit -- train color_encoder data --runs $POSEGEN_STORAGE/runs", "not a git working tree"),
    ("submit -- tune latent_sizes data", "name a place that every machine reaches"),
)
