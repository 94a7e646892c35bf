"""Searches the settings of a method with Ray Tune and Optuna.

A search is a folder::

    RUNS/NAME/study.db         the Optuna study, unless a storage is given
    RUNS/NAME/trial-0003/      the run of a trial that is compared, as `train` makes it
    RUNS/stages/STAGE-HASH/    runs that trials need before, shared by all searches with these RUNS

The same name goes on with the same search: what is decided is in the study, what is trained in the runs.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from orchestration.evaluation.previews import preview_run
from orchestration.runtime.folder_lock import hold_folder
from orchestration.runtime.ray_session import start_ray
from orchestration.search.plan import Capacity, Costs, SearchPlan, check_point, find_capacity, plan_search
from orchestration.search.results import OnTrial, SearchRecorder, SearchResult
from orchestration.search.run_cache import open_cache
from orchestration.search.settings import TuneSettings, find_constraints, find_objectives
from orchestration.search.space_binding import Search, load_space, space_name
from orchestration.search.study import (
    StudyPruner,
    StudySearch,
    StudySettings,
    is_database,
    open_study,
)
from orchestration.search.trial import TrialJob, run_trial
from orchestration.tracking.client import require_store
from orchestration.tracking.database import require_database
from orchestration.tracking.mirror import BackgroundMirror, sync_pending
from orchestration.training.job import TrainSettings
from orchestration.training.preflight import check
from orchestration.training.recipes import method_names
from posegen.datasets.dataset import Dataset
from posegen.errors import SearchError
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES
from posegen.weights import download as weights
from search_spaces.space import Value

_FUNCTION_MEMORY = 200 * 2**20
"""Bytes that a trial's own process reserves. Tune wants it to reserve something; the CPUs are for its workers and for
the runs that it waits for, which one that held them would wait for in vain."""
_MAX_FAILURES = 3  # how often a trial whose process died is taken up again


def tune(
    space: str,
    dataset: str,
    settings: TuneSettings,
    *,
    on_trial: OnTrial = lambda trial, best: None,
) -> SearchResult:
    """Search a space, or continue a search, and return the trials.

    Args:
        space: Name of a module in `search_spaces`, or a file of one's own, see `read_space_file`.
        dataset: Folder of a dataset of the kind that the space's stage reads.
        settings: How to search.
        on_trial: Called with every trial that ended, and with the best ones by now.

    Raises:
        PosegenError: Before anything is written, if space, data, stages and settings do not fit.
    """
    begin = time.monotonic()
    settings = complete(space, settings)
    search = open_search(space, settings)
    data = STAGES[search.space.stage].reads(dataset)
    _check_starts(search, data, settings)
    if settings.track:
        require_store()
        sync_pending()
    folder = StorageFolder(settings.runs) / settings.name
    if is_database(settings.storage):
        try:
            require_database(settings.storage, "--storage")
        except OSError as error:
            raise SearchError(f"the study's storage {settings.storage} does not work: {error}") from None
    study_settings = _study_settings(search, space, data, settings, _storage(settings, folder))
    start_ray()
    capacity, costs = find_capacity(settings), Costs(data)
    with hold_folder(folder, "take another --name"):
        opened = open_study(search, study_settings)
        recorder = SearchRecorder(
            opened,
            folder,
            settings,
            check=lambda point: check_point(search, point, costs, capacity),
            on_trial=on_trial,
        )
        recorder.open(space, data)
        with mirrored(folder, settings):
            searcher = StudySearch(opened, settings.trials, recorder)
            if searcher.has_more():
                _run_tuner(searcher, data, folder, settings, capacity)
            result = recorder.result(time.monotonic() - begin)
            if result.best:
                preview_run(result.best[0].run, str(data.folder))
            recorder.close(result)
    return result


@contextmanager
def mirrored(folder: StorageFolder, settings: TuneSettings) -> Iterator[None]:
    """Keep MLflow up to date with a search, its trials, and the runs that they share."""
    if not settings.track:
        yield
        return
    with BackgroundMirror([folder], watched=[folder, StorageFolder(settings.runs) / "stages"]):
        yield


def plan(space: str, dataset: str, settings: TuneSettings) -> SearchPlan:
    """See what a search would do and cost on the cluster at RAY_ADDRESS or on this machine, and start nothing.

    Raises PosegenError as `tune`.
    """
    settings = complete(space, settings)
    search = open_search(space, settings)
    data = STAGES[search.space.stage].reads(dataset)
    _check_starts(search, data, settings)
    how = _study_settings(search, space, data, settings, "sqlite://")
    if os.environ.get("RAY_ADDRESS"):
        start_ray()  # joins the cluster
    return plan_search(search, how, data, settings.trials, find_capacity(settings))


def complete(space: str, settings: TuneSettings) -> TuneSettings:
    """Return the settings with what they leave to the space's stage."""
    stage = load_space(space).stage
    return replace(
        settings,
        name=settings.name or space_name(space),
        preset=settings.preset or next(iter(STAGES[stage].presets)),
        method=settings.method or method_names(stage)[0],
        objectives=tuple(objective.name for objective in find_objectives(STAGES[stage], settings.objectives)),
    )


def open_search(space: str, settings: TuneSettings) -> Search:
    """Return the space over the runs of the method, with settings from `complete`. Raises SearchError if they do not
    fit."""
    declared = load_space(space)
    methods = method_names(declared.stage)
    if settings.method not in methods:
        raise SearchError(f"space {space} is of {declared.stage}, expected the method {' or '.join(methods)}")
    return Search(declared, settings.preset, settings.method, dict(map(_parse_setting, settings.set)))


def _parse_setting(text: str) -> tuple[str, Value]:
    """Read ``STAGE.FIELD=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise SearchError(f"got the setting {text!r}, expected STAGE.FIELD=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _check_starts(search: Search, data: Dataset, settings: TuneSettings) -> None:
    """Raise SearchError if the runs of the first trial cannot work on this data."""
    for name, config in search.configs(search.starts[0]).items():
        check(config, data, workers=settings.workers)
        if name == search.method:
            for objective in find_objectives(config.stage, settings.objectives):
                config.check_reports(objective.metric)
            for constraint in find_constraints(config.stage, settings.constraint):
                config.check_reports(constraint.metric)
    if "lpips" in settings.objectives:
        weights.path("st_lpips")


def _storage(settings: TuneSettings, folder: StorageFolder) -> str:
    """Return the address of the study: the given one, or a file beside the runs."""
    if settings.storage:
        return settings.storage
    if not folder.is_local:
        raise SearchError(f"a file in {folder} cannot be the study's database: give its address with --storage")
    return f"sqlite:///{folder.uri}/study.db"


def _study_settings(search: Search, space: str, data: Dataset, settings: TuneSettings, storage: str) -> StudySettings:
    return StudySettings(
        name=settings.name,
        storage=storage,
        objectives=find_objectives(STAGES[search.space.stage], settings.objectives),
        constraints=find_constraints(STAGES[search.space.stage], settings.constraint),
        sampler=settings.sampler,
        pruning=settings.pruning,
        grace=settings.grace,
        reduction=settings.reduction,
        seed=settings.seed,
        identity={
            "space": space_name(space),
            "parameters": {key: repr(parameter) for key, parameter in search.space.parameters.items()},
            "settings": search.fixed,
            "data": data.fingerprint,
            "preset": settings.preset,
            "method": search.method,
            "objectives": settings.objectives,
            **({"constraints": sorted(settings.constraint)} if settings.constraint else {}),
            "sampler": settings.sampler,
            "pruning": [settings.pruning, settings.grace, settings.reduction],
            "seed": settings.seed,
        },
    )


def _run_tuner(
    searcher: StudySearch, data: Dataset, folder: StorageFolder, settings: TuneSettings, capacity: Capacity
) -> None:
    """Have Ray Tune try points until there are no more, or the time is over."""
    from ray import tune as ray_tune

    shared = TrainSettings(
        runs=str(StorageFolder(settings.runs) / "stages"),
        workers=0,
        cpus=settings.cpus_per_trial,
        experiment=settings.experiment,
        track=settings.track,
    )
    resources = {"num_cpus": settings.cpus_per_trial, "num_gpus": settings.gpus_per_trial}
    dataset = str(data.folder)
    filesystem, path = (folder / "ray").resolve()
    with open_cache(dataset, data.full_fingerprint, shared, resources) as cache:
        job = TrialJob(
            search=searcher.opened.search,
            dataset=data.folder,
            folder=str(folder),
            settings=replace(settings, storage=""),  # the study is the driver's, and Ray writes down what it is given
            cache=cache,
        )
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(ray_tune.with_parameters(run_trial, job=job), {"memory": _FUNCTION_MEMORY}),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher,
                scheduler=StudyPruner(searcher),
                num_samples=-1,
                max_concurrent_trials=capacity.trials,
                time_budget_s=settings.budget * 3600 or None,
            ),
            # The runs' own folders hold all that counts; Tune's book-keeping of each start is of no later use.
            run_config=ray_tune.RunConfig(
                name=f"start-{uuid.uuid4().hex[:8]}",
                storage_path=path,
                storage_filesystem=filesystem,
                verbose=0,
                failure_config=ray_tune.FailureConfig(max_failures=_MAX_FAILURES),
            ),
        )
        tuner.fit()
