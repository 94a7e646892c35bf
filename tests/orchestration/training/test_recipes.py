"""Recipes: which runs a method takes, and in which order they are made."""

from __future__ import annotations

import threading
from dataclasses import fields

import pytest

from orchestration.training.recipes import METHODS, Training, make_runs, method_names, recipe
from posegen.errors import ConfigError, RunError
from posegen.stages import Colorizer, Recognition


@pytest.mark.parametrize("parallel", [1, 3])
def test_runs_are_made_when_those_that_they_need_are_there(parallel):
    runs = recipe(["proposed"])
    started: list[str] = []

    def make(name, places):
        started.append(name)
        assert set(runs[name].needs.values()) <= places.keys()
        return f"runs/{name}"

    places = make_runs(runs, make, parallel=parallel)
    assert sorted(started) == sorted(runs) and places == {name: f"runs/{name}" for name in runs}


def test_runs_that_do_not_need_each_other_are_made_side_by_side():
    meeting = threading.Barrier(2, timeout=30)
    runs = {"a": Training(Colorizer), "b": Training(Colorizer)}
    assert make_runs(runs, lambda name, places: str(meeting.wait() >= 0), parallel=2) == {"a": "True", "b": "True"}


def test_a_run_that_fails_ends_the_recipe():
    def make(name, places):
        if name == "upper_encoder":
            raise RunError("no weights here")
        assert name != "proposed"
        return name

    for parallel in (1, 2):
        with pytest.raises(RunError, match="no weights here"):
            make_runs(recipe(["proposed"]), make, parallel=parallel)


@pytest.mark.parametrize("preset", ["paper", "medium", "small", "tiny"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_made_of_runs_that_fit_each_other(method, preset):
    runs = recipe([method])
    for name, training in runs.items():
        config = training.with_runs(training.config(preset), {run: f"runs/{run}" for run in runs})
        for field, run in training.needs.items():
            assert getattr(config, field).endswith(run)
            training.stage.requires[field].check(config, field, run, runs[run].config(preset))
        required = {field for field, one in training.stage.requires.items() if not one.optional}
        assert required <= training.needs.keys(), name


def test_of_several_runs_that_could_start_the_first_does():
    """What is needed, then the methods that need it; the short one that needs nothing fills what is left."""
    runs = recipe(["proposed", "end_to_end", "deformable_gan"])
    started: list[str] = []
    make_runs(runs, lambda name, places: started.append(name) or name)
    assert started[:3] == ["upper_encoder", "lower_encoder", "feature_restoration"]
    assert started[3:] == ["proposed", "end_to_end", "deformable_gan"]


def test_methods_differ_in_what_they_say():
    """No augmentation is none in either stage; end to end has the method's restoration and no encoders to take."""
    runs = recipe(["no_augmentation", "end_to_end"])
    assert runs.keys() == {
        "upper_encoder_plain",
        "lower_encoder_plain",
        "feature_restoration",
        "end_to_end",
        "no_augmentation",
    }
    for name in ("upper_encoder_plain", "lower_encoder_plain", "no_augmentation"):
        assert runs[name].changes["recolored"] is False
    assert set(runs["end_to_end"].needs) == {"restoration"}
    assert [runs[f"{region}_encoder_plain"].changes["region"] for region in ("upper", "lower")] == ["upper", "lower"]


def test_a_stage_is_a_method_of_its_own_where_none_names_it():
    assert method_names("video_generator") == ["no_restoration", "proposed"]
    assert method_names("behavior_flow") == ["behavior_flow"]
    assert list(recipe(["behavior_flow"])) == ["behavior", "behavior_flow"]
    assert recipe(["recognition"]) == {"recognition": Training(Recognition)}


def test_changes_are_settings_of_their_stages():
    for name, training in recipe(list(METHODS)).items():
        known = {field.name for field in fields(training.stage.Config)}
        assert training.changes.keys() <= known and training.needs.keys() <= known, name


def test_unknown_presets_are_named():
    with pytest.raises(ConfigError, match="unknown preset 'huge' of colorizer, expected one of paper"):
        Training(Colorizer).config("huge")
