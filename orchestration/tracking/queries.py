"""Reads runs back from MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.tracking.client import connect, shown_store, tracking_uri
from orchestration.tracking.mirror import KEY, PARENT
from orchestration.tracking.run_log import RunLog
from posegen.errors import TrackingError

_PAGE = 1000  # runs in one answer


@dataclass(frozen=True)
class Recorded:
    """A run in MLflow."""

    run_id: str
    name: str
    status: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    """The last value of each."""
    tags: Mapping[str, str]

    @property
    def parent(self) -> str:
        """Run under which it is filed; empty for none."""
        return self.tags.get(PARENT, "")


def find_runs(target: str) -> list[Recorded]:
    """Return the runs that a name stands for, newest first.

    Args:
        target: An experiment: all its runs. A run, by its folder, id or name: those filed under it, such as a
            search's trials, or else the run itself.

    Raises:
        TrackingError: MLflow has nothing of that name.
    """
    client = connect(tracking_uri())
    experiment = client.get_experiment_by_name(target)
    if experiment is not None:
        return _search_runs(client, [experiment.experiment_id], "")
    described = RunLog(target).description
    quoted = target.replace("'", "")
    if described:
        runs = _search_everywhere(f"tags.`{KEY}` = '{described.key}'")
    else:
        by_id, by_name = (f"attributes.{kind} = '{quoted}'" for kind in ("run_id", "run_name"))
        runs = _search_everywhere(by_id) or _search_everywhere(by_name)
    if not runs:
        raise TrackingError(f"MLflow at {shown_store()} has no experiment and no run {target!r}")
    return children_of(runs[0].run_id) or runs[:1]


def children_of(run_id: str) -> list[Recorded]:
    """Return the runs that are filed under one."""
    return _search_everywhere(f"tags.`{PARENT}` = '{run_id}'")


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """Return all values of a metric by step."""
    return {metric.step: metric.value for metric in connect(tracking_uri()).get_metric_history(run_id, name)}


def list_files(run_id: str, folder: str = "") -> list[str]:
    """Paths of the files in a folder of a run's artifacts, not of those in its folders."""
    found = connect(tracking_uri()).list_artifacts(run_id, folder or None)
    return [one.path for one in found if not one.is_dir]


def read_file(run_id: str, path: str) -> bytes:
    """Return the content of an artifact."""
    with tempfile.TemporaryDirectory() as name:
        return Path(connect(tracking_uri()).download_artifacts(run_id, path, name)).read_bytes()


def _search_everywhere(query: str) -> list[Recorded]:
    client = connect(tracking_uri())
    return _search_runs(client, [one.experiment_id for one in client.search_experiments()], query)


def _search_runs(client: Any, experiments: list[str], query: str) -> list[Recorded]:
    runs: list[Recorded] = []
    token = None
    while True:
        page = client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
        runs += [
            Recorded(
                run.info.run_id,
                run.info.run_name,
                run.info.status,
                run.data.params,
                run.data.metrics,
                run.data.tags,
            )
            for run in page
        ]
        token = page.token
        if not token:
            return runs
