"""Tables of records: every layout has the titles, units, directions and digits of the registry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from orchestration.evaluation.motion import MotionBasis
from orchestration.evaluation.records import Score
from orchestration.evaluation.tables import behavior_comparison, motion_tables, record_tables
from posegen.evaluation.published_results import MOTION_RESULTS
from tests.orchestration.evaluation.test_records import BATCHES, BEHAVIOR, MOTION, VIDEO, make_record

SEEDED = Score(0.5, (0.4, 0.6), 0.01)


def cells(table: Table) -> list[list[str]]:
    """The printed cells of a table, the heads first."""
    console = Console(width=400, record=True)
    with console.capture() as shown:
        console.print(table)
    lines = [line.replace("┃", "│") for line in shown.get().splitlines()]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_a_row_for_each_score_of_videos():
    scores = {"ssim": Score(0.91234, (0.9, 0.92)), "hit_upper": Score(3.21), "recolor_upper": Score(0.8, (0.7, 0.9))}
    (table,) = record_tables(make_record("runs/video", VIDEO, scores=scores))
    assert cells(table) == [
        ["metric", "better", "mean", "95 % interval", "unit"],
        ["structure", "", "", "", ""],
        ["SSIM", "↑", "0.9123", "0.9000 – 0.9200", "of 1"],
        ["colour", "", "", "", ""],
        ["distance to the target colour, upper garment", "↓", "3.2100", "", "ΔE2000"],
        ["colour reached with a swapped code, upper garment", "→ 1", "0.8000", "0.7000 – 0.9000", "of the way"],
    ]


def test_metrics_of_a_stage_that_nobody_registered_are_in_the_table():
    (table,) = record_tables(make_record("runs/own", BATCHES, scores={"charm": Score(123456.0), "l1": Score(0.0123)}))
    rows = {row[0]: row for row in cells(table)}
    assert rows["test/charm"][1:4] == ["", "1.235e+05", ""] and rows["mean absolute error"][1:3] == ["↓", "0.0123"]


ALIKE = {"split": "all", "learned_from_all": True, "num_motions": 1000, "seeds": 20, "recognizer": "gru-humanact12"}


def test_a_column_for_each_metric_of_motions():
    scores = {f"{source}{name}": SEEDED for source in ("", "real_") for name in ("fid", "accuracy", "amplitude")}
    record = make_record("runs/actor", replace(MOTION, **ALIKE), scores=scores)
    likeness, movement = map(cells, record_tables(record))
    heads, real, generated, *published = likeness
    assert heads == ["", "FID ↓", "accuracy, % ↑", "diversity → real", "multimodality → real"]
    assert [row[3] for row in movement] == ["amplitude, cm → real", "50.0 ± 10.0", "50.0 ± 10.0"]
    assert (real[0], generated[0]) == ("real", "generated")
    # A variance is scaled twice: 0.01 of a share are 100 of squared per cent.
    assert generated[1:3] == ["0.500 ± 0.100 [0.010]", "50.00 ± 10.00 [100.00]"]
    assert generated[3] == ""
    assert [row[0] for row in published] == [f"{row.title} (published)" for row in MOTION_RESULTS["gru-humanact12"]]
    assert published[0][1:] == ["0.02 [0.01]", "99.7 [0.1]", "6.85 [0.05]", "2.45 [0.04]"]


@pytest.mark.parametrize("change", [{"split": "test"}, {"learned_from_all": False}, {"num_motions": 999}, {"seeds": 5}])
def test_published_scores_stand_beside_scores_of_their_kind_alone(change):
    basis = replace(MOTION, **ALIKE | change)
    (table,) = record_tables(make_record("runs/actor", basis, scores={"fid": SEEDED}))
    assert [row[0] for row in cells(table)] == ["", "real", "generated"]
    assert any("no published scores beside these" in line for line in basis.describe("data"))


def test_people_that_a_run_learned_from_have_a_row():
    record = make_record("runs/actor", MOTION, scores={"fid": SEEDED, "learned_fid": SEEDED, "real_fid": SEEDED})
    assert [row[0] for row in cells(*record_tables(record))] == ["", "real", "real people it learned from", "generated"]


def test_motion_tables_of_several_runs():
    rows = [(name, make_record(name, MOTION, scores={"fid": SEEDED}), "generated") for name in ("a", "b")]
    (table,) = motion_tables(rows, title="two")
    assert [row[0] for row in cells(table)] == ["", "a", "b"] and table.title == "two"


def test_how_motions_move_is_beside_real_ones_where_it_was_measured():
    scores = {"fid": SEEDED, "jerk": SEEDED, "real_jerk": SEEDED, "nearest": SEEDED}
    _, movement = map(cells, record_tables(make_record("runs/actor", MOTION, scores=scores)))
    assert movement[0][:3] == ["", "coverage, % ↑", "nearest training motion, mm → real"]
    assert [row[2] for row in movement[1:]] == ["", "500 ± 100"]
    assert [row[4] for row in movement[1:]] == ["0 ± 0", "0 ± 0"]


BEHAVIOR_SCORES = {
    "real_accuracy": SEEDED,
    "chance_accuracy": Score(0.5, (0.5, 0.5), 0.0),
    "transfer_accuracy": SEEDED,
    "transfer_target_accuracy": SEEDED,
    "prior_ade": SEEDED,
    "prior_realism_accuracy": SEEDED,
    "code_posture_r2": SEEDED,
    "code_posture_error": SEEDED,
    "chance_posture_error": SEEDED,
    "code_posture_r2_11": SEEDED,
}


def test_sources_beside_each_other():
    tables = record_tables(make_record("n", BEHAVIOR, scores=BEHAVIOR_SCORES))
    judges, transfers, realism, postures = map(cells, tables)
    assert judges[:2] == [["", "real", "chance"], ["action of the code, % ↑", "50.0 ± 10.0", "50.0"]]
    assert transfers[0] == ["", "real", "chance", "transfer"]
    assert transfers[1] == ["action of the code, % ↑", "50.0 ± 10.0", "50.0", "50.0 ± 10.0"]
    assert transfers[2] == ["action of the target, % ↓", "", "", "50.0 ± 10.0"]
    assert realism[0] == ["", "prior"]
    rows = dict(realism[1:])
    assert rows["discriminator accuracy, % → 50"] == "50.0 ± 10.0" and rows["ADE, m ↓"] == "0.50 ± 0.10"
    heads, whole, *frames = postures
    assert heads == [
        *("", "posture read from codes, R² ↓", "error of postures read from codes, σ ↑", "of the mean posture, σ")
    ]
    assert whole == ["all frames", *["0.50 ± 0.10"] * 3]
    assert [row[0] for row in frames] == ["frame 0", "frame 2", "frame 4", "frame 7", "frame 9", "frame 11"]
    assert frames[-1] == ["frame 11", "0.50 ± 0.10", "", ""]


def test_runs_of_behaviour_beside_each_other():
    ours = make_record("runs/net", BEHAVIOR, scores=BEHAVIOR_SCORES)
    theirs = make_record("runs/flow", BEHAVIOR, scores={**BEHAVIOR_SCORES, "flow_ade": Score(0.25, (0.2, 0.3))})
    heads, *rows = cells(behavior_comparison([ours, theirs]))
    assert heads == ["", "real", "chance", "net", "flow"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["transfer: action of the code, % ↑"][:2] == ["50.0 ± 10.0", "50.0"]
    assert by_name["flow: ADE, m ↓"] == ["", "", "", "0.25 ± 0.05"]
    assert "reconstruction: joint error, cm ↓" not in by_name  # which nobody measured


@pytest.mark.parametrize("basis", [MOTION, BEHAVIOR, VIDEO, BATCHES], ids=lambda basis: basis.kind)
def test_every_protocol_has_tables_and_notes(basis):
    record = make_record("run", basis, scores={"accuracy": SEEDED})
    assert record_tables(record) and all(record.notes)
    assert isinstance(basis, MotionBasis) == (len(basis.tags) == 1)
