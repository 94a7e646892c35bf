"""Runs that several trials need, trained once: a run's name says what it is of, so who wants the same finds it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orchestration.tracking.tracker import Tracker
from orchestration.training.runs import is_finished
from orchestration.training.train import TrainSettings, train
from posegen.io.storage import StorageFolder
from posegen.stages import Stage

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class Needed:
    """A run that a trial needs."""

    stage: str
    config: Stage.Config
    """With the addresses of the runs that it needs in turn."""


@dataclass(frozen=True)
class Made:
    """A run that is there now."""

    run: str
    reused: bool
    """Whether it was there, or in the making, when it was asked for."""


def address(needed: Needed, data: str) -> str:
    """The name of a run: equal for equal settings on equal data, and for no others.

    Args:
        needed: The run. The runs that it needs count by their names, not by where they lie.
        data: Fingerprint of all that it is trained on.
    """
    config = {
        name: StorageFolder(value).name if isinstance(value, str) and "/" in value else value
        for name, value in asdict(needed.config).items()
    }
    content = json.dumps([version("posegen"), needed.stage, config, data], sort_keys=True)
    return f"{needed.stage}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class StageStore:
    """Trains runs for those who ask, each once. An actor: all trials of a search ask the same one.

    A run is trained in a task of its own and not by the trial that asks first: that one may be stopped, and the
    others still want it. What a killed search left half trained is taken up where it stood.

    Args:
        dataset: Folder of the clip dataset.
        data: Its fingerprint, colours included.
        settings: Of every run, but for its name; workers are 0, the task itself trains, on as many CPUs as it has.
        resources: Of a task, as Ray's options name them.
    """

    def __init__(self, dataset: str, data: str, settings: TrainSettings, resources: Mapping[str, float]):
        self._dataset, self._data, self._settings = dataset, data, settings
        self._resources = dict(resources)
        self._making: dict[str, asyncio.Future[str]] = {}

    async def make(self, needed: Needed, asker: Tracker) -> Made:
        """Return the run, trained. It is filed in MLflow under the one who asks first.

        Raises RunError where it cannot be trained; the next one who asks finds out again.
        """
        name = address(needed, self._data)
        run = StorageFolder(self._settings.runs) / name
        if name not in self._making and is_finished(run, needed.config):
            return Made(str(run), reused=True)
        reused = name in self._making
        if not reused:
            settings = replace(self._settings, name=name)
            self._making[name] = asyncio.ensure_future(
                _train_task(self._resources).remote(needed, self._dataset, settings, asker)
            )
        try:
            await asyncio.shield(self._making[name])
        except BaseException:
            self._making.pop(name, None)
            raise
        return Made(str(run), reused)


def open_store(dataset: str, data: str, settings: TrainSettings, resources: Mapping[str, float]) -> ActorHandle[Any]:
    """Start the actor."""
    import ray

    actor: Any = ray.remote(StageStore)
    # Its node may be lost: it starts on another, asks again what was asked, and finds on disk what was made.
    return actor.options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(dataset, data, settings, resources)


def _train_task(resources: Mapping[str, float]) -> Any:
    import ray

    # A node that is lost takes its task with it: it is tried again, and goes on from the last checkpoint.
    return ray.remote(_train).options(max_retries=3, **resources)


def _train(needed: Needed, dataset: str, settings: TrainSettings, asker: Tracker) -> str:
    return str(train(needed.stage, needed.config, dataset, settings, parent=asker))
