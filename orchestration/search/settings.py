"""What a search is told: how to choose, what to improve, and what it may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.option_types import require_name
from posegen.errors import ConfigError

EXPERIMENT = "posegen-search"
EPOCH = "epoch"
"""In what a trial reports: how many epochs are done."""
SamplerName = Literal["tpe", "gp", "cmaes", "random", "grid"]
Pruning = Literal["asha", "none"]


@dataclass(frozen=True)
class Objective:
    """What is to be made small or large."""

    metric: str
    """As training reports it after every epoch."""
    mode: Literal["min", "max"]
    meaning: str


OBJECTIVES = {
    "lpips": Objective("val/st_lpips_masked", "min", "ST-LPIPS of held-out people drawn from their first frame"),
    "color": Objective("val/hit", "min", "CIEDE2000 by which garments miss the colour of a swapped code, mean of both"),
    "psnr": Objective("val/psnr", "max", "PSNR of held-out frames in dB"),
    "l1": Objective("val/l1", "min", "mean error of held-out pixels in [-1, 1]"),
    "size": Objective("model/parameters", "min", "parameters that draw a frame, in millions"),
    "time": Objective("time/frame_seconds", "min", "seconds to draw a frame"),
    "fid": Objective("val/generated_fid", "min", "FID of generated motions, by the recogniser of the settings"),
    "accuracy": Objective("val/generated_accuracy", "max", "share of generated motions that are recognised"),
    "joint_error": Objective("val/joint_error", "min", "metres by which joints miss those of held-out motions"),
    "posture_error": Objective("val/posture_error", "max", "error of postures that are read out of held-out codes"),
    "ade": Objective("val/ade", "min", "metres by which the nearest of some random futures misses the real one"),
    "nll": Objective("val/nll", "min", "nats by which the flow is surprised at codes of held-out motions"),
}
"""What can be asked for. The adversarial loss is none of them: it falls when the discriminator fails."""
_OF_VIDEOS = ("lpips", "color", "psnr", "l1", "size", "time")
_OF_STAGES: dict[str, tuple[str, ...]] = {
    "actor": ("fid", "accuracy", "joint_error"),
    "behavior": ("joint_error", "posture_error", "ade"),
    "behavior_flow": ("nll", "ade"),
}


def objectives_of(stage: str) -> tuple[str, ...]:
    """What can be asked of a stage's runs; the first is the default."""
    return _OF_STAGES.get(stage, _OF_VIDEOS)


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How a search is run."""

    name: str = ""
    """Name of the search. One of this name that exists goes on; empty takes the space's."""
    runs: str = "runs"
    """Folder of all runs: local, a shared mount, or an address such as s3://bucket/runs."""
    preset: str = ""
    """Settings that are not searched; its own point of the space is trial 0. By default the stage's first preset."""
    method: str = ""
    """What is trained, of the methods that end in the space's stage; by default the cheapest."""
    set: tuple[str, ...] = ()
    """More settings that are not searched, each STAGE.FIELD=VALUE, such as video_generator.num_epochs=4."""
    trials: int = 20
    """Points to try."""
    budget: float = 0.0
    """Hours after which no more is tried; what is unfinished then goes on with the same command. 0 has no end."""
    concurrency: int = 0
    """Trials at a time; 0 takes as many as there is room for now, and so does more than fit on one machine. A cluster
    starts machines for those that wait."""
    objectives: tuple[str, ...] = ()
    """What to improve. Of videos: lpips (the default), color, psnr, l1, size, time; of actor: fid (the default),
    accuracy, joint_error; of behavior: joint_error (the default), posture_error, ade; of behavior_flow: nll (the
    default), ade. Several give a Pareto front."""
    sampler: SamplerName = "tpe"
    """How points are chosen."""
    pruning: Pruning = "asha"
    """Stop trials early that fall behind, by successive halving; with several objectives ask for none."""
    grace: int = 2
    """Epochs that every trial is given."""
    reduction: int = 3
    """One in so many trials goes on from a rung; the next rung is so many times later."""
    workers: int = 1
    """Training processes of each trial; 0 trains in the trial's own process, which starts sooner."""
    cpus_per_trial: int = 1
    """CPUs of each trial, over all its workers."""
    gpus_per_trial: float = 0.0
    """GPUs of each trial, over all its workers; a fraction lets several trials share one."""
    seed: int = 0
    """Decides the points."""
    storage: str = ""
    """Address of the study's database for a cluster, such as postgresql://…; by default a file beside the runs."""
    experiment: str = EXPERIMENT
    """Experiment in MLflow."""
    track: bool = True
    """Record the search in MLflow: in mlflow.db here, or at MLFLOW_TRACKING_URI."""

    def __post_init__(self) -> None:
        for field, least in (("trials", 1), ("grace", 1), ("reduction", 2), ("cpus_per_trial", 1), ("workers", 0)):
            if getattr(self, field) < least:
                raise ConfigError(f"{field} must be {least} or more, got {getattr(self, field)}")
        each = self.gpus_per_trial / max(self.workers, 1)
        if each > 1 and each % 1:
            raise ConfigError(f"gpus_per_trial {self.gpus_per_trial:g} is {each:g} for each of {self.workers} workers")
        require_name(self.name, "a search's")
