"""Comparing runs, against asking MLflow for them: ``python -m tests.benchmarks.bench_compare``, or with a number.

A thousand runs take half a minute to write, ten thousand five; the times printed are the processor's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from orchestration.evaluation.compare import compare_runs

PARAMETERS = 8


def write_runs(client: MlflowClient, count: int) -> str:
    experiment = client.create_experiment("many")
    rng = np.random.default_rng(0)
    for number in range(count):
        run = client.create_run(experiment, tags={"mlflow.runName": f"trial-{number:04d}"})
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("objective/lpips", float(rng.random()), 0, 0)],
            params=[Param(f"video_generator.p{k}", str(rng.random())) for k in range(PARAMETERS)],
            tags=[RunTag("posegen.state", "complete")],
        )
    return experiment


def main(count: int = 1000) -> None:
    """Print how long the answer takes, and the comparison."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = uri = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(tracking_uri=uri)
        experiment = write_runs(client, count)
        start, token, answered = time.process_time(), None, 0
        while token or not answered:
            page = client.search_runs([experiment], max_results=1000, page_token=token)
            answered, token = answered + len(page), page.token
        asked = time.process_time() - start
        start = time.process_time()
        found = compare_runs(["many"])
        compared = time.process_time() - start
    assert len(found.entries) == answered == count
    print(f"{count} runs: MLflow's answer {asked:.2f} s, the comparison {compared:.2f} s: {compared / asked:.2f} ×")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
