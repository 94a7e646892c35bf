"""The base of every stage: a batch goes in, named losses come out; and the runs that a stage begins with."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Dataset, Split
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.networks.device import autocast
from posegen.samples import Batch, Samples
from posegen.stages.optimization import GradientAveraging, Losses

Metrics = dict[str, float]
Pictures = dict[str, np.ndarray]
Protocol = Literal["batches", "video", "motion", "behavior"]


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A trained run that a stage begins with, named by a field of the stage's configuration."""

    stage: str
    """Stage of that run."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the run was trained with."""
    agree: Mapping[str, str] = field(default_factory=dict)
    """Settings that must be equal: a field of the requiring stage, and the field of the required run."""
    optional: bool = False
    """True if the stage can be trained without it."""
    trained_first: bool = False
    """True if `posegen train` trains such a run itself when none is named."""

    def check(self, config: Stage.Config, name: str, run: str, other: Stage.Config) -> None:
        """Raise ConfigError where a run is not what a configuration requires.

        Args:
            config: The requiring stage's.
            name: Its field that names the run.
            run: The run.
            other: The run's configuration.
        """
        if other.stage.name != self.stage:
            raise ConfigError(f"{name}: {run} is a run of the stage {other.stage.name!r}, expected {self.stage!r}")
        expected = {**self.settings, **{theirs: config.value_of(own) for own, theirs in self.agree.items()}}
        wrong = {theirs: value for theirs, value in expected.items() if other.value_of(theirs) != value}
        if wrong:
            got = {theirs: other.value_of(theirs) for theirs in wrong}
            hint = _describe_preset(other, config)
            raise ConfigError(f"{name}: {run} has {_describe(got)}, expected {_describe(wrong)}{hint}")

    def describe_missing(self, name: str) -> str:
        """Say that a run is missing, and which command trains one."""
        options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in self.settings.items())
        return f"{name} is missing: name a run of `posegen train {self.stage}{options}`"


def _describe_preset(other: Stage.Config, config: Stage.Config) -> str:
    """Describe how to combine two runs of different presets; empty if they have the same."""
    theirs, own = (one.stage.nearest_preset(asdict(one)) for one in (other, config))
    if theirs == own:
        return ""
    here = f"say --preset {theirs} here, or " if theirs in config.stage.presets else ""
    return f"; it is of --preset {theirs}, and this is --preset {own}: {here}train it with --preset {own}"


def _describe(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in settings.items())


STAGES: dict[str, type[Stage]] = {}
"""Every stage by name. A subclass of `Stage` that sets `name` is in it from its definition on."""


class Stage(nn.Module, ABC):
    """Something that is trained: its networks, its optimizers, its losses and its view of the data.

    A stage does not depend on workers, runs or trackers. ``for batch in batches: stage.step(batch)`` trains it.

    A subclass sets `name` and `presets`, has a `Config` of its own, builds its networks and `optimizers` in
    ``__init__(config)``, and defines `open_samples`, `step`, `evaluate` and `preview`. All that training, searching,
    evaluating and the command line know of a stage they know from the class variables and methods below.
    """

    name: ClassVar[str]
    reads: ClassVar[type[Dataset]] = ClipDataset
    """Kind of dataset that it learns from."""
    requires: ClassVar[Mapping[str, Requirement]] = {}
    """Runs that it begins with, by the field of its configuration that names each."""
    presets: ClassVar[dict[str, Stage.Config]]
    """Presets by name; the first one has the defaults."""
    protocol: ClassVar[Protocol] = "batches"
    """Evaluation of its runs by `posegen evaluate`: the mean of `evaluate` over batches, or a protocol of videos,
    motions or behaviour in `posegen.evaluation`."""
    objectives: ClassVar[Mapping[str, str]] = {}
    """Objectives of a search: short names and their metrics, such as ``val/psnr``; the first is the default. The
    registry of metrics has the direction of each; a metric that is not in it is minimized."""
    validation_samples: ClassVar[int] = 16
    """Samples that are measured after every epoch."""
    accumulates: ClassVar[bool] = True
    """True if a step can be taken in parts, see `step_in_parts`; False if an optimizer steps several times in it."""
    optimizers: dict[str, torch.optim.Optimizer]

    @classmethod
    def nearest_preset(cls, settings: Mapping[str, Any]) -> str:
        """Return the preset that settings, by field, have most of; of equal ones the first."""

        def distance(name: str) -> int:
            preset = asdict(cls.presets[name])
            return sum(json.dumps(settings.get(key)) != json.dumps(value) for key, value in preset.items())

        return min(cls.presets, key=distance)

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Every setting of a stage, defined once."""

        stage: ClassVar[type[Stage]]
        """The stage that it configures."""
        renamed: ClassVar[Mapping[str, str]] = {}
        """Fields that earlier versions called otherwise: the earlier name, and the field."""

        num_epochs: int = 200
        """Passes over the data."""
        epoch_size: int = 0
        """Samples in an epoch; 0 takes every frame or pair once."""
        batch_size: int = 4
        """Samples in a step, over all workers together."""
        lr: float = 2e-4
        """Initial learning rate of every optimizer."""
        seed: int = 0
        """Decides initial weights, order of the samples and noise."""

        def __post_init__(self) -> None:
            for name in ("num_epochs", "batch_size"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
            if not self.lr > 0:
                raise ConfigError(f"lr must be positive, got {self.lr}")
            for name in self.stage.requires:  # a worker has another working directory
                if getattr(self, name):
                    object.__setattr__(self, name, str(StorageFolder(getattr(self, name))))

        @property
        def samples_together(self) -> int:
            """Samples of a batch that follow one another and must be in the same step of the same worker."""
            return 1

        def value_of(self, name: str) -> Any:
            """Return the value of a field, with what it leaves to other fields filled in."""
            return getattr(self, name)

        @classmethod
        def upgrade(cls, values: Mapping[str, Any]) -> dict[str, Any]:
            """Return the fields of a configuration that an earlier version wrote, by their names of today."""
            return {cls.renamed.get(name, name): value for name, value in values.items()}

        def check_reports(self, metric: str) -> None:
            """Raise ConfigError where training with these settings does not report a metric, and say what would."""

        def required_runs(self) -> dict[str, str]:
            """Return the runs that are named, by field. Raises ConfigError where one that is not optional is
            missing."""
            runs = {name: getattr(self, name) for name in self.stage.requires}
            for name, requirement in self.stage.requires.items():
                if not runs[name] and not requirement.optional:
                    raise ConfigError(requirement.describe_missing(name))
            return {name: run for name, run in runs.items() if run}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "Config" in vars(cls):
            cls.Config.stage = cls
        if "name" in vars(cls):
            if STAGES.get(cls.name, cls).__qualname__ != cls.__qualname__:
                raise TypeError(f"two stages have the name {cls.name!r}: {STAGES[cls.name]} and {cls}")
            STAGES[cls.name] = cls

    def __init__(self, config: Stage.Config):
        super().__init__()
        self.config = config
        self.optimizers = {}
        self._part, self._num_parts = 0, 1

    @classmethod
    def adapt(cls, config: Stage.Config, dataset: Dataset) -> Stage.Config:
        """Return the configuration with what it leaves to the data. Raises DatasetError where the data is not for
        it."""
        return config

    @classmethod
    @abstractmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        """Return the samples that `step` and `evaluate` take. Raises DatasetError where the dataset lacks something."""

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise PosegenError if the networks cannot take images of this height and width."""

    def initialize(self, load: Callable[[str], Stage]) -> None:
        """Take over what the runs in `requires` trained, with `load(run)` to read them.

        Called once, when a run begins: a checkpoint holds it already. Raises ConfigError where one does not fit.
        """
        for name, run in self.config.required_runs().items():
            trained = load(run)
            self.requires[name].check(self.config, name, run, trained.config)
            self.take_over(name, trained)

    def leave_untrained(self) -> None:
        """Use random weights where training compares with a network of published ones, which would be fetched.

        Called where a step is only measured: what it costs does not depend on weights.
        """

    def take_over(self, name: str, trained: Stage) -> None:
        """Copy from the run that the field `name` names what this stage begins with."""
        raise NotImplementedError(f"{type(self).__name__} requires {name!r} and takes nothing over from it")

    def begin(self, samples: Samples) -> None:
        """Take from the samples what training begins with, the scale of its numbers for example.

        Called once, when a run begins, after `initialize`; equal on all workers. A checkpoint holds it already.
        """

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of an epoch: a function of the epoch, so that a resumed run has the same."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr * self.lr_factor(epoch)

    def lr_factor(self, epoch: int) -> float:
        """Return the learning rate of an epoch (counted from 0) as a share of the initial one."""
        return 1.0

    @abstractmethod
    def step(self, batch: Batch) -> Losses:
        """Train on one batch and return its losses, detached, each as it enters the objective."""

    def step_in_parts(self, batch: Batch, num_parts: int) -> Losses:
        """Train on one batch in equal parts, one after another, in the memory that one of them takes.

        Gradients are summed, and each optimizer steps once, with the last part. Where losses are means over samples,
        and nothing is normalized over the batch, that is the step of `step` on the whole batch, to rounding.
        """
        sums: Losses = {}
        parts = {name: values.chunk(num_parts) for name, values in batch.items()}
        self._num_parts = num_parts
        try:
            for self._part in range(num_parts):
                losses = self.step({name: values[self._part] for name, values in parts.items()})
                sums = {name: sums.get(name, 0.0) + loss / num_parts for name, loss in losses.items()}
        finally:
            self._part, self._num_parts = 0, 1
        return sums

    @abstractmethod
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure one batch of the validation split."""

    def validate(self, data: Dataset, split: Split) -> Metrics:
        """Measure after an epoch what single batches cannot show; by default nothing.

        Called on one worker, in evaluation mode; equal data at every call.
        """
        return {}

    @abstractmethod
    def preview(self, batch: Batch) -> Pictures:
        """Pictures of one batch that people look at: name to uint8 (H, W, 3)."""

    @property
    def best_metric(self) -> str:
        """The metric of a validation, ``val/name``, whose best value marks the best epoch; empty for none."""
        return next(iter(self.objectives.values()), "")

    def after_validation(self, metrics: Metrics) -> None:
        """Use the metrics of an epoch's validation, ``val/name``, which are equal on all workers."""

    def finish_epoch(self, samples: Samples) -> None:
        """Derive what a checkpoint carries besides trained weights. Called after each epoch, before its validation."""

    def shipped_weights(self) -> dict[str, Tensor]:
        """Return the weights that come with the package once it is trained. Raises ConfigError where none of a stage
        do."""
        raise ConfigError(f"no weights of the stage {self.name!r} come with posegen")

    def compile_networks(self) -> None:
        """Compile the networks that training runs most, whose inputs have the same shapes in every step."""
        # A step goes back twice through a graph; buffers that a first pass gave away would be lost to the second.
        setattr(importlib.import_module("torch._functorch.config"), "donated_buffer", False)  # noqa: B010
        for network in self.compiled_networks():
            network.compile()

    def compiled_networks(self) -> list[nn.Module]:
        """Return the networks that `compile_networks` compiles."""
        return []

    def update(self, name: str, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Take one step of one optimizer, with the gradients averaged over all workers.

        Gradients reach the optimizer's own parameters and no others, so a discriminator needs no freezing while
        the generator learns from it, and one forward pass of it serves both.

        Args:
            name: Key in `optimizers`.
            loss: Minimized over all parameters of the optimizer.
            retain_graph: Keep the graph of `loss` for another update.
        """
        optimizer = self.optimizers[name]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if self._part == 0:
            optimizer.zero_grad(set_to_none=True)
        share = loss / self._num_parts if self._num_parts > 1 else loss
        is_last = self._part == self._num_parts - 1
        averaging = GradientAveraging(parameters) if is_last else nullcontext()
        # Whatever the forward pass ran in, each operation's gradient has the precision that it had itself.
        with averaging, autocast("fp32", loss.device):
            share.backward(inputs=parameters, retain_graph=retain_graph)
        if is_last:
            optimizer.step()


Stage.Config.stage = Stage  # of configurations without a stage
