"""The names by which runs are found again: equal settings on equal data, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from orchestration.search import run_cache
from orchestration.search.run_cache import cached_name
from posegen.stages import ColorEncoder, EndToEnd, VideoGenerator

CONFIG = ColorEncoder.presets["tiny"]
GENERATOR = replace(VideoGenerator.presets["tiny"], upper_encoder="runs/a/upper", lower_encoder="runs/a/lower")


def test_equal_settings_on_equal_data_have_one_name():
    assert cached_name(replace(CONFIG), "data-1") == cached_name(CONFIG, "data-1")
    assert cached_name(CONFIG, "data-1").startswith("color_encoder-")


def test_other_data_has_another_name():
    assert cached_name(CONFIG, "data-2") != cached_name(CONFIG, "data-1")


def test_every_setting_counts():
    changed = [replace(CONFIG, **change) for change in ({"seed": 7}, {"lr": 5e-4}, {"region": "lower"})]
    names = {cached_name(config, "data-1") for config in [CONFIG, *changed]}
    assert len(names) == 4


def test_the_stage_counts_where_settings_are_the_same():
    other = EndToEnd.Config(**{name: x for name, x in vars(EndToEnd.presets["tiny"]).items()})
    assert cached_name(other, "data-1") != cached_name(VideoGenerator.presets["tiny"], "data-1")


def test_required_runs_count_by_their_names_and_not_by_where_they_lie():
    moved = replace(GENERATOR, upper_encoder="elsewhere/upper", lower_encoder="elsewhere/lower")
    assert cached_name(moved, "data-1") == cached_name(GENERATOR, "data-1")
    swapped = replace(GENERATOR, upper_encoder="runs/a/lower", lower_encoder="runs/a/upper")
    assert cached_name(swapped, "data-1") != cached_name(GENERATOR, "data-1")


def test_a_run_of_another_version_is_not_reused(monkeypatch):
    before = cached_name(CONFIG, "data-1")
    monkeypatch.setattr(run_cache, "version", lambda package: "9.9")
    assert cached_name(CONFIG, "data-1") != before
