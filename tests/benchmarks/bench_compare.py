"""Comparing runs, against asking MLflow for them: ``python -m tests.benchmarks.bench_compare``, or with a number.

Prints seconds of the processor. One run is recorded by MLflow, the others are copies of its rows with other values.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from orchestration.evaluation.compare import compare_runs

PARAMETERS = 8
COPIES = "WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)"
RANDOM = {"metrics": "abs(random()) / 1e19", "latest_metrics": "abs(random()) / 1e19", "params": "random()"}


def write_runs(folder: Path, count: int) -> str:
    """Record runs in a store in a folder, as an experiment ``many``. Returns its address."""
    file = folder / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{file}")
    run = client.create_run(client.create_experiment("many"), tags={"mlflow.runName": "trial"})
    client.log_batch(
        run.info.run_id,
        metrics=[Metric("objective/lpips", 0.5, 0, 0)],
        params=[Param(f"video_generator.p{k}", "0.5") for k in range(PARAMETERS)],
        tags=[RunTag("posegen.state", "complete")],
    )
    with closing(sqlite3.connect(file)) as database, database:
        for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            other = {"run_uuid": "printf('%032x', n)", "value": RANDOM.get(table, "value")}
            copied = ", ".join(other.get(name, name) for name in names)
            insert = f"INSERT INTO {table} ({', '.join(names)}) SELECT {copied} FROM {table}, copies"
            database.execute(f"{COPIES} {insert}", [count - 1])
    return f"sqlite:///{file}"


def ask(uri: str) -> int:
    """Let MLflow answer with all runs of the experiment, as objects of its own. Returns their number."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("many").experiment_id
    token, answered = None, 0
    while token or not answered:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        answered, token = answered + len(page), page.token
    return answered


def main(count: int = 10_000) -> None:
    """Print how long the answer takes, and the comparison."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = uri = write_runs(Path(folder), count)
        start = time.process_time()
        answered = ask(uri)
        asked = time.process_time() - start
        start = time.process_time()
        found = compare_runs(["many"])
        compared = time.process_time() - start
    assert len(found.entries) == answered == count
    print(f"{count} runs: MLflow's answer {asked:.2f} s, the comparison {compared:.2f} s: {compared / asked:.2f} ×")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
