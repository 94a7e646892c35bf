"""Runs that several trials need, each trained once: a run's name is a hash of its settings and data."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orchestration.tracking.run_log import RunLog
from orchestration.training.job import TrainSettings
from orchestration.training.runs import is_finished
from orchestration.training.train import Recording, train
from posegen.io.storage import StorageFolder
from posegen.stages import Stage

if TYPE_CHECKING:
    from ray.actor import ActorHandle


@dataclass(frozen=True)
class CachedRun:
    """A run that is trained."""

    run: str
    """Its folder."""
    reused: bool
    """True if it existed, or was being trained, when it was requested."""


def cached_name(config: Stage.Config, data: str) -> str:
    """Return the name of a run: equal for equal settings on equal data, and for no others.

    Args:
        config: With the places of the runs that it needs, which count by their names, not by where they lie.
        data: Fingerprint of all that it is trained on.
    """
    settings = {
        name: StorageFolder(value).name if isinstance(value, str) and "/" in value else value
        for name, value in asdict(config).items()
    }
    content = json.dumps([version("posegen"), config.stage.name, settings, data], sort_keys=True)
    return f"{config.stage.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


class RunCache:
    """Trains runs on request, each once. An actor: all trials of a search use the same one.

    A run is trained in a task of its own and not by the trial that asks first: that one may be stopped, and the
    others still want it. What a killed search left half trained is continued.

    Args:
        dataset: Folder of the dataset.
        data: Its fingerprint, recolorings included.
        settings: Of every run, but for its name; workers are 0, the task itself trains, on as many CPUs as it has.
        resources: Of a task, as Ray's options name them.
    """

    def __init__(self, dataset: str, data: str, settings: TrainSettings, resources: Mapping[str, float]):
        self._dataset, self._data, self._settings = dataset, data, settings
        self._resources = dict(resources)
        self._in_training: dict[str, asyncio.Future[str]] = {}

    async def make(self, config: Stage.Config, trial: str) -> CachedRun:
        """Return the run, trained. In MLflow it is filed under the trial, by its folder, that asks first.

        Raises RunError where it cannot be trained; the next request tries again.
        """
        name = cached_name(config, self._data)
        run = StorageFolder(self._settings.runs) / name
        if name not in self._in_training and is_finished(run, config):
            return CachedRun(str(run), reused=True)
        reused = name in self._in_training
        if not reused:
            settings = replace(self._settings, name=name)
            self._in_training[name] = asyncio.ensure_future(
                _train_task(self._resources).remote(config, self._dataset, settings, trial)
            )
        try:
            await asyncio.shield(self._in_training[name])
        except BaseException:
            self._in_training.pop(name, None)
            raise
        return CachedRun(str(run), reused)


@contextmanager
def open_cache(
    dataset: str, data: str, settings: TrainSettings, resources: Mapping[str, float]
) -> Iterator[ActorHandle[Any]]:
    """Start the actor, and end it afterwards, with what is still in training: the next search continues that."""
    import ray

    actor: Any = ray.remote(RunCache)
    # Its node may be lost: it starts on another, gets the requests again, and finds on disk what was made.
    cache = actor.options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote(dataset, data, settings, resources)
    try:
        yield cache
    finally:
        ray.kill(cache)


def _train_task(resources: Mapping[str, float]) -> Any:
    import ray

    # A node that is lost takes its task with it: it is tried again, and goes on from the last checkpoint.
    return ray.remote(_train).options(max_retries=3, **resources)


def _train(config: Stage.Config, dataset: str, settings: TrainSettings, trial: str) -> str:
    recording = Recording(parent=RunLog(trial), mirrored=False)
    return str(train(config, dataset, settings, recording=recording))
