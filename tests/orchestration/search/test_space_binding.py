"""Search spaces against the stages' configurations."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import search_spaces
from orchestration.search.settings import find_objectives
from orchestration.search.space_binding import Search, load_space
from orchestration.training.recipes import method_names, recipe
from posegen.stages import STAGES
from search_spaces.space import Space, Switched, When

SPACE = Space(
    summary="for tests",
    stage="video_generator",
    parameters={
        "color_encoder.lambda_kl": FloatDistribution(1e-5, 0.1, log=True),
        "video_generator.upper_latent_dim": IntDistribution(2, 16),
        "video_generator.lambda_fm": Switched(FloatDistribution(0.1, 30.0)),
        "video_generator.colors_per_pair": CategoricalDistribution((1, 2)),
        "video_generator.lambda_contrast": When(
            "video_generator.colors_per_pair", (2,), FloatDistribution(1.0, 60.0), otherwise=0.0
        ),
    },
)


def open_search(space: Space = SPACE, preset: str = "tiny", method: str = "no_restoration", **settings) -> Search:
    return Search(space, preset, method, settings)


def with_parameters(**parameters) -> Space:
    return replace(SPACE, parameters={key.replace("__", "."): value for key, value in parameters.items()})


SPACES = {name: search_spaces.load(name) for name in search_spaces.names()}


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name, space in SPACES.items() for preset in STAGES[space.stage].presets]
)
def test_every_space_fits_its_stages(name, preset):
    space = SPACES[name]
    assert space.summary
    for method in method_names(space.stage):
        search = Search(space, preset, method, {})
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for point in search.starts:
            study.enqueue_trial(point)
        for number in range(20 + len(search.starts)):
            trial = study.ask()
            search.suggest(trial)
            asked = search.starts[number] if number < len(search.starts) else {}
            assert asked.items() <= trial.params.items()
            configs = search.configs(trial.params)
            assert list(configs) == list(search.trainings)
            for need, run in search.trainings[method].needs.items():
                STAGES[space.stage].requires[need].check(configs[method], need, run, configs[run])


def test_a_start_that_its_range_lacks_is_sampled():
    """A preset's weight of 0 is in no logarithmic range; the other values stay."""
    lr = FloatDistribution(1e-5, 1.0, log=True)
    weight = FloatDistribution(1e-3, 1.0, log=True)
    parameters = {"motion_diffusion.lr": lr, "motion_diffusion.lambda_velocity": weight}
    search = Search(
        Space(summary="for tests", stage="motion_diffusion", parameters=parameters), "small", "motion_diffusion", {}
    )
    assert search.starts == [{"motion_diffusion.lr": STAGES["motion_diffusion"].presets["small"].lr}]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(search.starts[0])
    trial = study.ask()
    search.suggest(trial)
    assert 1e-3 <= search.configs(trial.params)["motion_diffusion"].lambda_velocity <= 1


@pytest.mark.parametrize("stage", list(STAGES))
def test_any_stage_can_be_searched(stage):
    """By its own settings, with the runs that it requires, and by each of its objectives."""
    space = Space(summary="for tests", stage=stage, parameters={f"{stage}.lr": FloatDistribution(1e-5, 1e-2, log=True)})
    search = Search(space, next(iter(STAGES[stage].presets)), method_names(stage)[0], {})
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    search.suggest(trial)
    configs = search.configs(trial.params)
    assert configs[search.method].stage is STAGES[stage] and configs[search.method].lr == trial.params[f"{stage}.lr"]
    objectives = find_objectives(STAGES[stage], ())
    assert objectives and all(objective.mode in ("min", "max") for objective in objectives)
    for name in STAGES[stage].objectives:
        assert find_objectives(STAGES[stage], (name,))[0].metric == STAGES[stage].objectives[name]


def test_unknown_space_is_named():
    with pytest.raises(ValueError, match=r"unknown search space 'nothing', expected one of .*codes_and_losses, joint"):
        load_space("nothing")


def test_the_first_point_is_the_preset():
    search = open_search(preset="paper")
    assert search.starts == [
        {
            "color_encoder.lambda_kl": 0.01,
            "video_generator.upper_latent_dim": 16,
            "video_generator.lambda_fm.on": True,
            "video_generator.lambda_fm": 10.0,
            "video_generator.colors_per_pair": 1,
        }
    ]


def test_a_point_becomes_the_configurations_of_all_runs():
    point = {
        "color_encoder.lambda_kl": 0.05,
        "video_generator.upper_latent_dim": 6,
        "video_generator.lambda_fm.on": False,
        "video_generator.colors_per_pair": 2,
        "video_generator.lambda_contrast": 7.0,
    }
    configs = open_search().configs(point)
    assert [configs[name].lambda_kl for name in ("upper_encoder", "lower_encoder")] == [0.05, 0.05]
    assert (configs["upper_encoder"].latent_dim, configs["lower_encoder"].latent_dim) == (6, 4)
    drawn = configs["no_restoration"]
    assert (drawn.upper_latent_dim, drawn.lambda_fm, drawn.lambda_contrast) == (6, 0.0, 7.0)
    alone = {key: value for key, value in point.items() if "contrast" not in key} | {
        "video_generator.colors_per_pair": 1
    }
    assert open_search().configs(alone)["no_restoration"].lambda_contrast == 0.0


def test_settings_hold_for_all_trials():
    search = open_search(**{"video_generator.num_epochs": 2, "video_generator.decay_epochs": 1})
    assert search.configs(search.starts[0])["no_restoration"].num_epochs == 2


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_presets_of_stages_fit_together(preset):
    """The networks that a run takes over have the widths that its own preset expects."""
    for method in ("proposed", "end_to_end"):
        runs = recipe([method])
        config = runs[method].config(preset)
        for need, run in runs[method].needs.items():
            config.stage.requires[need].check(config, need, run, runs[run].config(preset))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_searched(stage):
    """Also those that no method of the paper names."""
    declared = Space(summary="for tests", stage=stage, parameters={f"{stage}.lr": FloatDistribution(1e-5, 1e-2)})
    for preset in STAGES[stage].presets:
        for method in method_names(stage):
            search = Search(declared, preset, method, {})
            assert search.configs({f"{stage}.lr": 1e-3})[method].lr == 1e-3


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        (with_parameters(video_generator__lamda_fm=FloatDistribution(0, 1)), "did you mean video_generator.lambda_fm"),
        (with_parameters(actor__width=IntDistribution(1, 2)), "names no stage of a trial, expected one of color_enco"),
        (with_parameters(video_generator__lambda_fm=FloatDistribution(2, 2)), "single value"),
        (with_parameters(video_generator__batch_size=FloatDistribution(1, 8)), "whole number"),
        (with_parameters(color_encoder__latent_dim=IntDistribution(1, 8)), "follows video_generator.upper_latent_dim"),
        (
            with_parameters(
                video_generator__lambda_fm=When("video_generator.colors_per_pair", (2,), FloatDistribution(0, 1), 0.0)
            ),
            "must come before it",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(space, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        open_search(space)
    assert "\n" not in str(error.value)


def test_what_is_searched_cannot_be_set():
    with pytest.raises(ValueError, match="is searched by this space and cannot be set"):
        open_search(**{"video_generator.colors_per_pair": 1})


def test_values_that_a_configuration_refuses_are_its_error():
    with pytest.raises(ValueError, match="num_epochs must be at least 1"):
        open_search(**{"video_generator.num_epochs": 0})
