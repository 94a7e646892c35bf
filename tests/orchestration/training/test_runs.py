"""What is recorded of a run: it goes on as it began, wherever it lies."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestration.tracking.run_log import RunLog
from posegen.checkpoints.run_record import RunRecord, dataset_of, save_record
from posegen.errors import ConfigError, RunError
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, ColorEncoder, VideoGenerator

TINY = VideoGenerator.presets["tiny"]


def write_encoder(folder: Path, **changes) -> str:
    config = replace(ColorEncoder.presets["tiny"], **changes)
    save_record(StorageFolder(folder), RunRecord.of(config, "data", "its data"))
    return str(folder)


def write_generator(project: Path) -> RunRecord:
    """A project with a dataset, two encoders and a generator, whose record is returned."""
    (project / "data").mkdir(parents=True)
    encoders = {
        f"{region}_encoder": write_encoder(project / "runs" / region, region=region) for region in ("upper", "lower")
    }
    run = project / "runs" / "video"
    record = RunRecord.of(replace(TINY, **encoders), str(project / "data"), "its data", str(run))
    save_record(StorageFolder(run), record)
    return record


def test_a_run_goes_on_after_its_folder_was_moved(tmp_path):
    known = write_generator(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    runs = tmp_path / "after" / "runs"
    (runs / "upper").rename(runs / "another-name")
    moved = {"upper_encoder": str(runs / "another-name"), "lower_encoder": str(runs / "lower")}
    asked = RunRecord.of(replace(TINY, **moved), str(tmp_path / "after" / "data"), "its data", str(runs / "video"))
    known.check_continued_by(asked, StorageFolder(runs / "video"))
    assert dataset_of(str(runs / "video")) == str(tmp_path / "after" / "data")


def test_another_run_in_the_place_of_a_required_one_is_refused(tmp_path):
    known = write_generator(tmp_path)
    write_encoder(tmp_path / "elsewhere" / "upper", lr=0.5)
    other = {"upper_encoder": str(tmp_path / "elsewhere" / "upper"), "lower_encoder": str(tmp_path / "runs" / "lower")}
    with pytest.raises(RunError, match=r"other settings \(upper_encoder .*take another --name"):
        known.check_continued_by(RunRecord.of(replace(TINY, **other), "data", "its data"), StorageFolder(tmp_path))


@pytest.mark.parametrize(("stage", "name"), [("color_encoder", "small"), ("behavior", "tiny")])
def test_a_preset_that_was_forgotten_is_named(stage, name):
    presets = STAGES[stage].presets
    began = RunRecord.of(replace(presets[name], num_epochs=3), "data", "its data")
    asked = RunRecord.of(next(iter(presets.values())), "data", "its data")
    with pytest.raises(RunError, match=f"of --preset {name}: say so to continue it, or take another --name"):
        began.check_continued_by(asked, StorageFolder("runs/mine"))
    assert STAGES[stage].nearest_preset(asdict(presets[name])) == name


def test_encoders_of_another_preset_are_named_with_it():
    requirement = VideoGenerator.requires["upper_encoder"]
    other = replace(ColorEncoder.presets["tiny"], region="upper")
    with pytest.raises(
        ConfigError, match="it is of --preset tiny, and this is --preset paper: say --preset tiny here, or"
    ):
        requirement.check(next(iter(VideoGenerator.presets.values())), "upper_encoder", "runs/upper", other)


def test_a_trial_that_its_search_ended_is_not_failed_by_its_process(tmp_path):
    log = RunLog(StorageFolder(tmp_path))
    log.set_status("RUNNING")
    log.finish(RunError("its workers are gone"))
    assert log.status.status == "FAILED"
    log.set_status("FINISHED")  # as a search does with a trial that it prunes
    log.finish(RunError("its workers are gone"))
    log.finish(SystemExit())
    assert log.status.status == "FINISHED"
