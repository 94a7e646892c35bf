"""Commands that train stages."""

from __future__ import annotations

import pytest

from posegen.stages import STAGES
from tests.support.command_line import refusals, run


@pytest.mark.parametrize(("stage", "preset"), [(name, preset) for name in STAGES for preset in STAGES[name].presets])
def test_preset_decides_the_defaults(stage, preset, capsys):
    _, out, _ = run(f"train {stage} --preset {preset} --help", capsys)
    config = STAGES[stage].presets[preset]
    assert f"(default: {config.num_epochs})" in out and f"--preset {preset}" in out


def test_a_stage_that_needs_a_run_takes_it_by_from(capsys):
    _, out, _ = run("train behavior_flow --help", capsys)
    assert "The same as --behavior." in " ".join(out.replace("│", " ").split())
    assert "--from" not in run("train behavior --help", capsys).out


test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("train color_encoder nowhere", "no dataset in .*nowhere.*posegen prepare"),
    (
        "train color_encoder data --preset huge",
        "unknown preset 'huge', expected one of medium, paper, small, tiny; see posegen train",
    ),
    (
        "train behavior_flow a --from runs/a --behavior runs/b",
        "--from and --behavior are the same: give one of them",
    ),
    ("train actor nowhere --workers -1", "workers must be 0 or more, got -1"),
    ("import-checkpoint behavior nowhere.pth motions --name a", "nowhere"),
    ("import-checkpoint actor a.pth motions --name a", "'actor' for argument 'stage', expected one of behavior"),
)
