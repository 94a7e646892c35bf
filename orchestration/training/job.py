"""Training settings of a stage, and the job that a worker runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from orchestration.option_types import WorkerCount, Workers, format_workers, require_name
from posegen.errors import ConfigError
from posegen.io.storage import StorageFolder
from posegen.networks.device import Precision
from posegen.stages import Stage

_CHECKPOINT_INTERVAL = 20  # steps; the losses are brought together as often, which must cost nothing
_CHECKPOINT_SHARE = 0.015  # from a checkpoint's beginning to its end: what it slows down may last a little longer


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Training settings of a run: processes, checkpoints and tracking."""

    name: str = ""
    """Name of the run. A run of this name that exists is continued; empty makes a new name."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    workers: Workers = 1
    """Training processes, on as many CPUs or GPUs of the cluster; MIN:MAX takes what there is, and goes on with more
    or fewer from the last checkpoint as machines come and go; 0 trains in this process, without Ray."""
    cpus: int = 0
    """CPUs of each worker; 0 splits the cluster's CPUs evenly over the workers (with --workers 0: no limit)."""
    gpus: float = 0.0
    """GPUs of each worker, may be a fraction; 0 takes one each if the cluster has enough now. An autoscaling cluster
    has none at first: set 1 there, and --cpus."""
    precision: Precision = "fp32"
    """Numbers in the passes through networks: bf16 takes half the memory, and on GPUs and some CPUs less time."""
    compile: bool = False
    """Compile the networks of fixed shapes, on GPUs: the first step takes minutes, the others less time."""
    accumulate: int = 1
    """Parts in which each worker takes its share of a batch, one after another, where it does not fit into memory."""
    accelerator: str = ""
    """Kind of GPU that workers want, by Ray's name of it, such as H100, A100-80G or L4; empty takes any."""
    loader_processes: int = -1
    """Processes per worker that load data; -1 takes one per spare CPU, up to 4."""
    keep: int = 2
    """Number of checkpoints to keep: the newest, and of two or more one is the best by the metric of validation."""
    checkpoint_steps: int = -1
    """Steps between checkpoints within an epoch; 0 writes them only at the end of an epoch, -1 as often as takes at
    most 2 % of the time."""
    max_failures: int = 3
    """Restarts from the last checkpoint after a worker is lost, at most."""
    patience: float = 600.0
    """Seconds without progress after which a Ray worker is restarted; 0 waits for ever."""
    experiment: str = "posegen"
    """Experiment in MLflow."""
    track: bool = True
    """Record the run in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, got {self.workers}")
        if self.accumulate < 1:
            raise ConfigError(f"accumulate must be at least 1, got {self.accumulate}")
        if self.accelerator and not self.gpus:
            raise ConfigError(f"accelerator {self.accelerator} is a kind of GPU: set gpus, too")
        if self.checkpoint_steps < -1:
            raise ConfigError(f"checkpoint_steps must be -1 or more, got {self.checkpoint_steps}")
        if self.patience < 0:
            raise ConfigError(f"patience must be 0 or more seconds, got {self.patience}")
        require_name(self.name, "a run's")

    @property
    def checkpoint_interval(self) -> int:
        """Steps after which a checkpoint may be due; 0 if none is."""
        return _CHECKPOINT_INTERVAL if self.checkpoint_steps < 0 else self.checkpoint_steps

    @property
    def checkpoint_share(self) -> float:
        """Share of the time for checkpoints within an epoch, at most."""
        return _CHECKPOINT_SHARE if self.checkpoint_steps < 0 else 1.0

    @property
    def most_workers(self) -> int:
        """Workers that there may be."""
        return self.workers.most if isinstance(self.workers, WorkerCount) else self.workers

    def launch(self, config: Stage.Config) -> dict[str, Any]:
        """Return the launch settings of a run for its record: two runs that agree in all else are equal to rounding."""
        workers = max(self.workers, 1)
        return {
            "workers": format_workers(self.workers) if self.most_workers > self.workers else self.workers,
            "cpus": self.cpus,
            "gpus": self.gpus,
            "precision": self.precision,
            "compile": self.compile,
            "accumulate": self.accumulate,
            "batch_size": config.batch_size,
            "batch_per_worker": config.batch_size // workers,
        }


LrScaling = Literal["none", "linear", "sqrt"]


def scale_lr(config: Stage.Config, rule: LrScaling, usual_batch: int) -> Stage.Config:
    """Fit the learning rate to the batch.

    Args:
        config: With the rate for batches of the usual size.
        rule: In proportion to the batch (Goyal et al., 2017, arXiv:1706.02677) or to its square root (Krizhevsky, 2014,
            arXiv:1404.5997, Section 5), or not at all.
        usual_batch: Samples for which the rate is meant.
    """
    ratio = config.batch_size / usual_batch
    return replace(config, lr=config.lr * {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[rule])


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a worker needs to know. Picklable."""

    config: Stage.Config
    dataset: StorageFolder
    run: StorageFolder
    settings: TrainSettings
