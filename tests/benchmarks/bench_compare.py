"""Comparing a thousand runs, against merely asking MLflow for them."""

from __future__ import annotations

import os
import tempfile
import time

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from orchestration.evaluation.compare import compare_runs

RUNS, PARAMETERS = 1000, 8


def write_runs(client: MlflowClient) -> str:
    experiment = client.create_experiment("many")
    rng = np.random.default_rng(0)
    for number in range(RUNS):
        run = client.create_run(experiment, tags={"mlflow.runName": f"trial-{number:04d}"})
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("objective/lpips", float(rng.random()), 0, 0)],
            params=[Param(f"video_generator.p{k}", str(rng.random())) for k in range(PARAMETERS)],
            tags=[RunTag("posegen.state", "complete")],
        )
    return experiment


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = uri = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(tracking_uri=uri)
        experiment = write_runs(client)
        start = time.perf_counter()
        client.search_runs([experiment], max_results=RUNS)
        asked = time.perf_counter() - start
        start = time.perf_counter()
        found = compare_runs(["many"])
        compared = time.perf_counter() - start
    assert len(found.entries) == RUNS
    print(f"{RUNS} runs: MLflow's answer {asked:.2f} s, the comparison {compared:.2f} s: {compared / asked:.2f} ×")


if __name__ == "__main__":
    main()
