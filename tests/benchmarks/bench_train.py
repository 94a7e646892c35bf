"""What training costs beside its steps: loading samples at the paper's size, and running under Ray Train.

Run it with ``python -m tests.benchmarks.bench_train``; it prints ratios, which hold on any machine, and takes some
minutes.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.runtime.progress import ProgressListener
from orchestration.runtime.ray_session import start_ray
from orchestration.training.job import TrainSettings
from orchestration.training.train import train
from posegen.datasets.clips import ClipDataset
from posegen.samples import EpochLoader
from posegen.stages import STAGES, VideoGenerator
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip

ACTIONS = ("wave_one_hand", "squat", "side_step")


def make_dataset(folder: Path, size: tuple[int, int], num_frames: int) -> str:
    """A dataset of the studio with all recolorings, made in this process."""
    for action in ACTIONS:
        write_studio_clip(render_action("grace", action, num_frames, RenderSettings(size=size)), folder / "videos")
    dataset = str(folder / "dataset")
    truth = PrepareSettings(size=size, pose="truth", edges="truth", mask="truth", crop="none", workers=0)
    prepare_videos(folder / "videos", dataset, truth)
    for scope, region in (("frame", "upper"), ("clip", "both")):
        recolor_dataset(dataset, ColorizeSettings(scope=scope, region=region, workers=0))
    return dataset


def input_share(dataset: str) -> None:
    """Seconds to load one sample against seconds to learn from it, in one process, at the paper's sizes."""
    config = replace(VideoGenerator.presets["paper"], lambda_vgg=0.0)
    loader = EpochLoader(VideoGenerator.open_samples(config, ClipDataset(dataset), "train"), config.batch_size)
    batches = loader.epoch(0)
    first = next(batches)
    start = time.perf_counter()
    for _ in range(8):
        next(batches)
    loading = (time.perf_counter() - start) / 8
    stage = VideoGenerator(config)
    stage.step(first)  # the first step also allocates
    start = time.perf_counter()
    stage.step(first)
    step = time.perf_counter() - start
    print(f"input: {1000 * loading:.0f} ms a pair, step {step:.1f} s: {100 * loading / step:.2f} % of the step")


class EpochTimes(ProgressListener):
    """Remembers how long each epoch took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch(self, run, epoch, num_epochs, metrics):
        self.seconds.append(metrics["time/epoch_seconds"])


def ray_overhead(dataset: str, runs: str) -> None:
    """Median epoch of one Ray worker against the same loop in this process, with as many threads."""
    config = replace(STAGES["color_encoder"].presets["tiny"], num_epochs=6, epoch_size=128)
    start_ray()
    medians = {}
    for workers in (0, 1):
        times = EpochTimes()
        settings = TrainSettings(name=f"workers-{workers}", runs=runs, workers=workers, track=False, loader_processes=0)
        train(config, dataset, settings, listener=times)
        medians[workers] = sorted(times.seconds)[len(times.seconds) // 2]
    print(f"epoch with --workers 1 / --workers 0: {medians[1] / medians[0]:.3f}")


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as name:
        small = make_dataset(Path(name, "small"), (96, 64), 32)
        ray_overhead(small, str(Path(name, "runs")))
        input_share(make_dataset(Path(name, "paper"), (384, 256), 12))


if __name__ == "__main__":
    main()
