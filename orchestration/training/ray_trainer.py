"""Runs the training loop on workers of Ray Train."""

from __future__ import annotations

import math
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from orchestration.runtime.progress import ProgressListener
from orchestration.runtime.ray_session import count_resources, is_ray_running, start_ray
from orchestration.runtime.remote_debugging import open_breakpoints, passing_prints
from orchestration.runtime.remote_progress import RemoteProgress
from orchestration.runtime.termination import call_interruptibly
from orchestration.runtime.watchdog import Watchdog
from orchestration.runtime.worker import Worker
from orchestration.training.job import Job, TrainSettings
from orchestration.training.loop import TrainingLoop
from orchestration.training.preflight import is_out_of_memory, naming_memory, suggest_less_memory
from posegen.errors import ConfigError, DivergenceError, RunError, counted
from posegen.parallel import set_threads
from posegen.stages import Stage

_NO_CUDA = ("doesn't have NCCL built in", "ProcessGroupNCCL is only supported with GPUs")


def train_on_ray(job: Job, listener: ProgressListener) -> None:
    """Train on the cluster's workers, again from the last checkpoint if one is lost. Raises RunError."""
    import ray.train
    from ray.train.torch import TorchTrainer

    from orchestration.runtime.process_group import NodeNetwork

    scaling = find_scaling(job.settings)
    wanted = f"{scaling.resources_per_worker} × {scaling.num_workers}"
    watchdog = Watchdog(
        job.settings.patience,
        lambda message: listener.on_warning(job.run.name, None, message),
        waits_for=wanted if os.environ.get("RAY_ADDRESS") else "",
    )
    filesystem, path = (job.run / "ray").resolve()
    with _stopping_ray(), RemoteProgress(listener, watchdog) as remote:
        trainer = TorchTrainer(
            _run_worker,
            train_loop_config={"job": job, "listener": remote},
            torch_config=NodeNetwork(),
            scaling_config=scaling,
            # The run's own folder holds the checkpoints; Ray's book-keeping of each start is of no later use.
            run_config=ray.train.RunConfig(
                name=f"start-{uuid.uuid4().hex[:8]}",
                storage_path=path,
                storage_filesystem=filesystem,
                failure_config=ray.train.FailureConfig(max_failures=job.settings.max_failures),
            ),
        )
        try:
            result: Any = call_interruptibly(trainer.fit)
        except ray.train.TrainingFailedError as error:
            raise RunError(f"run {job.run.name} failed: {_reason(error, job.config)}") from error
    if result.return_value:
        raise DivergenceError(f"run {job.run.name} failed: {result.return_value}")


@contextmanager
def _stopping_ray() -> Iterator[None]:
    """Stop Ray where the command is stopped: the workers would go on as long as it lives."""
    import ray

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if threading.current_thread() is threading.main_thread():  # in a worker of Ray's, somebody else's trial
            ray.shutdown()
        raise


def find_scaling(settings: TrainSettings) -> Any:
    """Ray's scaling configuration: the workers, and the CPUs and GPUs of each. Starts Ray.

    Raises ConfigError where this machine has less. A cluster may start machines for work that waits.
    """
    if not os.environ.get("RAY_ADDRESS") and not is_ray_running():
        _require_fitting(settings, [count_resources()], settings.cpus or 1)  # before Ray starts, which takes seconds
    start_ray()
    import ray.train

    use_gpu = takes_gpus(settings, ray.cluster_resources().get("GPU", 0))
    gpus = (settings.gpus or 1) if use_gpu else 0
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = settings.cpus or cpus_each(machines, settings.most_workers, gpus)
    if not os.environ.get("RAY_ADDRESS"):
        _require_fitting(settings, machines, cpus)
    is_elastic = settings.most_workers > settings.workers
    return ray.train.ScalingConfig(
        num_workers=(int(settings.workers), settings.most_workers)  # type: ignore[arg-type]  # a range is documented
        if is_elastic
        else int(settings.workers),
        use_gpu=use_gpu,
        accelerator_type=settings.accelerator or None,
        resources_per_worker={"CPU": cpus, **({"GPU": gpus} if use_gpu else {})},
    )


def _require_fitting(settings: TrainSettings, machines: Sequence[Mapping[str, float]], cpus: int) -> None:
    """Raise ConfigError where the workers that are asked for do not fit the machines that there are."""
    if settings.accelerator:
        _require_kind(settings.accelerator, machines)
    if num_places(machines, cpus, settings.gpus) < settings.workers:
        has = ", ".join(counted(sum(one.get(name, 0) for one in machines), name) for name in ("CPU", "GPU"))
        raise ConfigError(
            f"there is no room for {counted(settings.workers, 'worker')} with {counted(cpus, 'CPU')} and "
            f"{counted(settings.gpus, 'GPU')} each on this machine, which has {has}: "
            "ask for fewer --workers, --cpus or --gpus"
        )


def _require_kind(accelerator: str, machines: Sequence[Mapping[str, float]]) -> None:
    """Raise ConfigError where no machine has GPUs, or has them of known kinds and not of this one."""
    prefix = "accelerator_type:"
    kinds = sorted({name.removeprefix(prefix) for one in machines for name in one if name.startswith(prefix)})
    if not any(one.get("GPU") for one in machines):
        raise ConfigError(f"--accelerator {accelerator}: this machine has no GPUs")
    if kinds and accelerator not in kinds:
        raise ConfigError(f"--accelerator {accelerator}: this machine has GPUs of the kind {', '.join(kinds)}")


def num_places(machines: Sequence[Mapping[str, float]], cpus: int, gpus: float) -> float:
    """Count the workers with the given CPUs and GPUs that fit into machines with the given resources."""
    places = ((one.get("CPU", 0) // cpus, one.get("GPU", 0) // gpus if gpus else math.inf) for one in machines)
    return sum(map(min, places))


def cpus_each(machines: Sequence[Mapping[str, float]], workers: int, gpus: float = 0) -> int:
    """Return the most CPUs that all workers can have on some machines, given by their resources; 1 where they are too
    few.

    A worker is on one machine: it would wait for ever for a share of all CPUs that none of them has.
    """
    most = int(max((machine.get("CPU", 0) for machine in machines), default=1))
    return next((cpus for cpus in range(most, 1, -1) if num_places(machines, cpus, gpus) >= workers), 1)


def takes_gpus(settings: TrainSettings, gpus_now: float) -> bool:
    """Return True if workers get GPUs: those that exist or, on an autoscaling cluster, those that are requested."""
    asked = settings.gpus > 0 and bool(os.environ.get("RAY_ADDRESS"))
    return asked or gpus_now >= settings.workers * (settings.gpus or 1)


def _run_worker(config: dict[str, Any]) -> Any:
    """The function that Ray Train runs in each worker process; returns how the training diverged, if it did.

    All workers find that out in the same step. Ray would start them again on an error, to the same end.
    """
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
    set_threads(max(cpus, 1))  # Ray sets OMP_NUM_THREADS too late for a torch that is imported already
    job, listener, rank = config["job"], config["listener"], context.get_world_rank()
    worker = Worker(
        rank=rank,
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device() if torch.cuda.is_available() else torch.device("cpu"),
        listener=listener,
        report=ray.train.report,
    )
    try:
        with ExitStack() as stack:
            stack.enter_context(naming_memory(job.config))
            if worker.leads:
                stack.enter_context(passing_prints(partial(listener.on_print, job.run.name)))
            say = partial(listener.on_warning, job.run.name, None)
            stack.enter_context(open_breakpoints(f"worker {rank}", say, partial(listener.on_pause, rank)))
            TrainingLoop(job, worker).run()
    except DivergenceError as error:
        return str(error)
    finally:
        listener.on_heartbeat(rank, "")
    return ""


def _reason(error: BaseException, config: Stage.Config) -> str:
    """The last line of the first worker's failure."""
    failures = getattr(error, "worker_failures", None) or {}
    cause = next(iter(failures.values()), error)
    cause = getattr(cause, "cause", None) or cause
    if is_out_of_memory(cause):  # as Ray says of a worker that it ended before the machine's memory was full
        return f"out of memory: {suggest_less_memory(config)}"
    if any(words in str(cause) for words in _NO_CUDA):
        return (
            "a worker has a GPU that its PyTorch cannot use: install a build with CUDA there, and a driver that it "
            "knows, or train without GPUs"
        )
    return str(cause).strip().splitlines()[-1] if str(cause).strip() else type(cause).__name__
