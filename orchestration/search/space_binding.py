"""Bind search spaces to stages, by the names of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import search_spaces
from orchestration.search.space_files import SPACE_SUFFIXES, read_space_file
from orchestration.training.recipes import Training, recipe
from posegen.errors import ConfigError, SearchError
from posegen.stages import STAGES, Stage
from search_spaces.space import Distribution, Parameter, Space, Switched, Value, When

ON = ".on"
"""Follows the key of a `Switched` weight in the name of its switch."""


def load_space(name: str) -> Space:
    """Load a space by the name of its declaration, or by its file. Raises SearchError where there is none."""
    if is_space_file(name):
        space = read_space_file(Path(name))
        if space.stage not in STAGES:
            raise SearchError(f"{name} is of the stage {space.stage!r}, expected one of {', '.join(sorted(STAGES))}")
        return space
    if name not in search_spaces.names():
        known = ", ".join(search_spaces.names())
        raise SearchError(f"unknown search space {name!r}, expected one of {known}, or a file of yours, .py or .yaml")
    return search_spaces.load(name)


def is_space_file(name: str) -> bool:
    """Return whether a space is named by its file."""
    return Path(name).suffix in SPACE_SUFFIXES


def space_name(name: str) -> str:
    """Return what a space is called: of a file, its stem."""
    return Path(name).stem if is_space_file(name) else name


@dataclass(frozen=True)
class Search:
    """A space over the runs of one method.

    Raises PosegenError, with what would be right, if a key is no field, a range has one value, or a configuration
    refuses the point that the search begins with.
    """

    space: Space
    preset: str
    method: str
    settings: Mapping[str, Value]
    """Fixed values, which override the space's own settings."""

    def __post_init__(self) -> None:
        for training in self.trainings.values():
            training.config(self.preset)
        for key in (*self.space.parameters, *self.fixed):
            self._default(key)
        for key in self.space.parameters:
            if key in self.settings:
                raise ConfigError(f"{key} is searched by this space and cannot be set")
            self._check_range(key)
        for point in self._starting_points():
            self.configs(point)

    @cached_property
    def trainings(self) -> dict[str, Training]:
        """Every run that a trial needs, by name, those that others need first; the last one is compared."""
        return recipe([self.method])

    @property
    def fixed(self) -> dict[str, Value]:
        """The value of every field that is set and not searched."""
        return {**self.space.settings, **self.settings}

    @property
    def starts(self) -> list[dict[str, Value]]:
        """Points to try first: the preset's own, then the space's. A value that its range lacks is left to the
        sampler."""
        return [self._in_range(point) for point in self._starting_points()]

    def suggest(self, trial: optuna.Trial) -> None:
        """Sample a point: every parameter under its key, and whether a `Switched` one is on under ``KEY.on``."""
        chosen: dict[str, Value | None] = {}
        for key, parameter in self.space.parameters.items():
            match parameter:
                case Switched(weight):
                    if trial.suggest_categorical(key + ON, (True, False)):
                        _sample(trial, key, weight)
                case When(other, values, distribution):
                    if chosen[other] in values:
                        _sample(trial, key, distribution)
                case _:
                    chosen[key] = _sample(trial, key, parameter)

    def values(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """Return the value of every searched field at a point."""
        absent = {
            key: parameter.otherwise if isinstance(parameter, When) else 0.0
            for key, parameter in self.space.parameters.items()
        }
        return {key: point.get(key, absent[key]) for key in self.space.parameters}

    def configs(self, point: Mapping[str, Value]) -> dict[str, Stage.Config]:
        """Return the configuration of every run at a point, in the order of `trainings`.

        Fields that name other runs are empty. Raises PosegenError where a configuration refuses a value.
        """
        chosen = {**self.fixed, **self.values(point)}
        configs: dict[str, Stage.Config] = {}
        for name, training in self.trainings.items():
            changes: dict[str, Any] = {
                _field(key): x for key, x in chosen.items() if _stage(key) == training.stage.name
            }
            configs[name] = replace(training.config(self.preset), **changes)
        for name, run, own, theirs in self._agreements():
            configs[run] = replace(configs[run], **{theirs: getattr(configs[name], own)})
        return configs

    def _agreements(self) -> Iterator[tuple[str, str, str, str]]:
        """List settings that must be equal: a run, a run that it needs, and the field in each of them."""
        for name, training in self.trainings.items():
            for need, run in training.needs.items():
                for own, theirs in training.stage.requires[need].agree.items():
                    yield name, run, own, theirs

    def _starting_points(self) -> list[dict[str, Value]]:
        own = {key: self._default(key) for key in self.space.parameters}
        return [self._point({**own, **start}) for start in ({}, *self.space.starts)]

    def _in_range(self, point: Mapping[str, Value]) -> dict[str, Value]:
        ranges = {key: distribution_of(parameter) for key, parameter in self.space.parameters.items()}
        return {key: value for key, value in point.items() if key not in ranges or _contains(ranges[key], value)}

    def _point(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The point at which the searched fields have these values."""
        point: dict[str, Value] = {}
        for key, parameter in self.space.parameters.items():
            match parameter:
                case Switched():
                    point[key + ON] = bool(values[key])
                    if values[key]:
                        point[key] = values[key]
                case When(other, when):
                    if values[other] in when:
                        point[key] = values[key]
                case _:
                    point[key] = values[key]
        return point

    def _preset(self, stage: str) -> Stage.Config:
        return STAGES[stage].presets[self.preset]

    def _default(self, key: str) -> Value:
        """The preset's value of a key. Raises SearchError where a trial has no such field."""
        stages = sorted({training.stage.name for training in self.trainings.values()})
        if _stage(key) not in stages:
            raise SearchError(f"{key!r} names no stage of a trial, expected one of {', '.join(stages)} before the dot")
        known = [field.name for field in fields(self._preset(_stage(key)))]
        if _field(key) not in known:
            near = get_close_matches(_field(key), known, n=1)
            meant = f" (did you mean {_stage(key)}.{near[0]}?)" if near else ""
            raise SearchError(f"{key!r} is no setting of {_stage(key)}{meant}")
        for name, run, own, theirs in self._agreements():
            if (self.trainings[run].stage.name, theirs) == (_stage(key), _field(key)):
                raise SearchError(f"{key} follows {self.trainings[name].stage.name}.{own}: name that")
        last = self.trainings[self.method]
        values = {**vars(self._preset(_stage(key))), **(last.changes if _stage(key) == last.stage.name else {})}
        return self.fixed.get(key, values[_field(key)])

    def _check_range(self, key: str) -> None:
        parameter, keys = self.space.parameters[key], list(self.space.parameters)
        if isinstance(parameter, When) and parameter.key not in keys[: keys.index(key)]:
            raise SearchError(f"{key} is searched when {parameter.key} has certain values, which must come before it")
        distribution = distribution_of(parameter)
        if distribution.single():
            raise SearchError(f"{key} has a single value in {distribution}: set it instead")
        default = self._default(key)
        whole = isinstance(default, int) and not isinstance(default, bool)
        if whole and isinstance(distribution, FloatDistribution):
            raise SearchError(f"{key} is a whole number and cannot be searched in {distribution}")


def _stage(key: str) -> str:
    return key.partition(".")[0]


def _field(key: str) -> str:
    return key.partition(".")[2]


def distribution_of(parameter: Parameter) -> Distribution:
    """Return the range of a parameter while it is active."""
    match parameter:
        case Switched(weight):
            return weight
        case When():
            return parameter.distribution
        case _:
            return parameter


def _contains(distribution: Distribution, value: Value) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return distribution.low <= float(value) <= distribution.high


def _sample(trial: optuna.Trial, key: str, distribution: Distribution) -> Value | None:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(
                key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case IntDistribution():
            return trial.suggest_int(
                key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case _:
            return trial.suggest_categorical(key, distribution.choices)
