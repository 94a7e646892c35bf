"""Recipes: the runs that a method takes, each with those that it needs, and training them in order.

Which runs a stage needs is declared by the stage (`Stage.requires`); a method adds what differs from the presets. Runs
of a recipe have fixed names, so that a report finds what is trained and trains what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, fields, replace
from graphlib import TopologicalSorter
from typing import Any, Literal

from orchestration.runtime.progress import ProgressListener
from orchestration.training.job import TrainSettings
from orchestration.training.preflight import check
from orchestration.training.train import named, train
from posegen.checkpoints.run_record import find_moved, find_record
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES, DeformableGAN, EndToEnd, Stage, VideoGenerator
from posegen.stages.stage import Requirement

MethodName = Literal["proposed", "no_restoration", "no_augmentation", "end_to_end", "deformable_gan"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to train a stage, together with the runs that it needs."""

    title: str
    stage: str
    """The stage that is trained last."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings of that stage that differ from the preset."""
    options: tuple[str, ...] = ()
    """Optional requirements that are trained, too."""
    shared: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ in every run that has them; required runs of that kind have names of their own."""


METHODS: dict[MethodName, Method] = {
    "proposed": Method(title="Proposed", stage=VideoGenerator.name, options=("restoration",)),
    "no_restoration": Method(title="No restoration of maps", stage=VideoGenerator.name),
    "no_augmentation": Method(
        title="No colour augmentation",
        stage=VideoGenerator.name,
        # With one colour of each clip there are no two to be compared.
        changes={"colors_per_pair": 1, "lambda_contrast": 0.0},
        options=("restoration",),
        shared={"recolored": False},
    ),
    "end_to_end": Method(title="End to end", stage=EndToEnd.name, options=("restoration",)),
    "deformable_gan": Method(title="Deformable GAN", stage=DeformableGAN.name),
}
"""The methods that the paper compares (Yang et al., 2020, Section 4)."""
_METHODS_BY_NAME: dict[str, Method] = {**METHODS}  # type: ignore[dict-item]  # a Literal is a str


@dataclass(frozen=True)
class Training:
    """One run of a recipe."""

    stage: type[Stage]
    """The stage itself and not its name: a worker that gets a recipe imports what defines it."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the preset."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Fields that name other runs of the recipe, and which."""

    def config(self, preset: str) -> Stage.Config:
        """Return the configuration by a preset, before the runs that it needs have places."""
        presets = self.stage.presets
        if preset not in presets:
            raise ConfigError(f"unknown preset {preset!r} of {self.stage.name}, expected one of {', '.join(presets)}")
        return replace(presets[preset], **self.changes)

    def with_runs(self, config: Stage.Config, runs: Mapping[str, str]) -> Stage.Config:
        """Return the configuration with the places of the runs that it needs; `runs` has them by name."""
        places: dict[str, Any] = {name: runs[need] for name, need in self.needs.items()}
        return replace(config, **places)


Recipe = Mapping[str, Training]
"""Runs by name, those first that others need."""


def method_names(stage: str) -> list[str]:
    """Return the methods that train a stage as it is meant, the cheapest first; a stage that no method names is its
    own."""
    named: list[str] = [name for name, method in METHODS.items() if method.stage == stage and not method.shared]
    return sorted(named, key=lambda name: len(recipe([name]))) or [stage]


def recipe(methods: Sequence[str]) -> dict[str, Training]:
    """Return every run that methods, or stages by their names, take; the last run of each has its name."""
    runs: dict[str, Training] = {}
    for name in methods:
        method = _METHODS_BY_NAME.get(name) or Method(title=name, stage=name)
        _add(runs, name, method.stage, method, {**method.changes})
    return runs


def _add(runs: dict[str, Training], name: str, stage: str, method: Method, changes: dict[str, Any]) -> None:
    """Add a run to a recipe, those that it requires first."""
    shared = _shared_settings(stage, method)
    needs = {}
    for need, requirement in STAGES[stage].requires.items():
        if requirement.optional and need not in method.options:
            continue
        needs[need] = _required_name(need, requirement, method)
        _add(runs, needs[need], requirement.stage, method, {**requirement.settings})
    runs[name] = Training(STAGES[stage], {**changes, **shared}, needs)


def _required_name(need: str, requirement: Requirement, method: Method) -> str:
    """The name of a required run: its stage's, or that of the field where runs of one stage differ."""
    name = need if requirement.settings else requirement.stage
    return f"{name}_plain" if _shared_settings(requirement.stage, method) else name


def _shared_settings(stage: str, method: Method) -> dict[str, Any]:
    known = {one.name for one in fields(STAGES[stage].Config)}
    return {name: value for name, value in method.shared.items() if name in known}


def make_runs(runs: Recipe, make: Callable[[str, Mapping[str, str]], str], *, parallel: int = 1) -> dict[str, str]:
    """Make every run of a recipe when those that it needs are there, and return the place of each.

    Args:
        runs: The recipe. Of several runs that could start, the first one in it does: with the longest methods first,
            no worker is left with a long run while others have none.
        make: Called with a run's name and the places of all runs that are there; returns the run's place.
        parallel: Calls at a time. Small networks use one core better than two.

    Raises:
        PosegenError: What a call raises; no further run is begun.
    """
    places: dict[str, str] = {}
    order = TopologicalSorter({name: training.needs.values() for name, training in runs.items()})
    order.prepare()
    ready: list[str] = []
    with ThreadPoolExecutor(parallel) as pool:
        pending: dict[Future[str], str] = {}
        while order.is_active():
            ready = sorted([*ready, *order.get_ready()], key=list(runs).index)
            if parallel == 1:  # in this thread: the random numbers of one process are one sequence
                name = ready.pop(0)
                places[name] = make(name, places)
                order.done(name)
                continue
            while ready and len(pending) < parallel:
                name = ready.pop(0)
                pending[pool.submit(make, name, dict(places))] = name
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                name = pending.pop(future)
                places[name] = future.result()
                order.done(name)
    return places


def train_with_requirements(
    config: Stage.Config,
    dataset: str,
    settings: TrainSettings,
    preset: str,
    *,
    listener: ProgressListener | None = None,
) -> StorageFolder:
    """Train a stage, and before it the runs that it requires and that none is named for, where the stage says so.

    A run that is trained first is called NAME-FIELD. It has the preset's settings and those of the configuration that
    both stages have, but for the length and the learning rate. A run that goes on keeps those that it began with.

    Args:
        config: Of the stage.
        dataset: Folder of its dataset.
        settings: How to train all runs.
        preset: Of the runs that are trained first.
        listener: Called with the progress.

    Raises:
        PosegenError: As `train`; before the first run is trained if the last could not be.
    """
    settings = named(config.stage.name, settings)
    requires = config.stage.requires
    missing = [name for name, one in requires.items() if one.trained_first and not getattr(config, name)]
    known = find_record(StorageFolder(settings.runs) / settings.name)
    if missing and known is not None:
        run = StorageFolder(settings.runs) / settings.name
        named_before: dict[str, Any] = {name: find_moved(known.config.get(name, ""), known, run) for name in missing}
        config = replace(config, **named_before)
        missing = []
    if missing:
        data = config.stage.reads(dataset)
        check(config, data, workers=settings.workers, accumulate=settings.accumulate)
    needs = {name: f"{settings.name}-{name}" for name in missing}
    runs = {
        run: Training(STAGES[requires[name].stage], _settings_in_common(config, requires[name]))
        for name, run in needs.items()
    }
    runs[settings.name] = Training(config.stage, needs=needs)

    def make(name: str, places: Mapping[str, str]) -> str:
        own = config if name == settings.name else runs[name].config(preset)
        own = runs[name].with_runs(own, places)
        return str(train(own, dataset, replace(settings, name=name), listener=listener))

    return StorageFolder(make_runs(runs, make)[settings.name])


def _settings_in_common(config: Stage.Config, requirement: Requirement) -> dict[str, Any]:
    """The settings of a configuration that the required stage has, too, but for how long and how fast each learns."""
    theirs = {one.name for one in fields(STAGES[requirement.stage].Config)} - {"num_epochs", "lr"}
    return {one.name: getattr(config, one.name) for one in fields(config) if one.name in theirs}
