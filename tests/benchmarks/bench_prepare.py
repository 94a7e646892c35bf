"""What Ray costs `posegen prepare`, against a bare pool of processes: ``python -m tests.benchmarks.bench_prepare``.

Prints, for both over the same videos and without the start of Ray itself, the frames per second and how busy the
workers were: the share of their time from start to end that they spent on clips. The same again from an object store
of this machine, which takes CPU of its own; how the driver's memory grows with the number of clips; and what Ray takes
for a clip that costs nothing.

Where other programs want the CPUs, frames per second say who got more of them (the pool and Ray's processes are
in different sessions, with different niceness), so compare how busy the workers were. On a quiet machine both
comparisons say the same.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import multiprocessing
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import cv2
import psutil  # type: ignore[import-untyped]
import ray

from orchestration.data.clip_preparer import clip_steps
from orchestration.data.incremental import ClipBuild
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.data.video_files import find_videos
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from orchestration.runtime.ray_session import start_ray
from posegen.io.storage import StorageFolder
from posegen.synthetic.studio import render_action, truth_path, write_studio_clip
from tests.support.object_store import serve_objects

WORKERS = 2
NUM_FRAMES = 100
NUM_CLIPS = 100
NUM_ROWS = 5000
SETTINGS = PrepareSettings(pose="truth", edges="truth", mask="truth", workers=WORKERS)


def copy_videos(video: Path, folder: Path, count: int) -> None:
    """Copy a studio video under `count` names, each with other bytes: an empty box of MP4 at its end."""
    for number in range(count):
        copy = folder / f"person{number % 10}" / f"action{number}.mp4"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(video.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
        shutil.copy(truth_path(video), truth_path(copy))


@dataclass(frozen=True)
class Measurement:
    """One preparation of a folder."""

    seconds: float
    busy: float
    """Share of the workers' time that went into clips."""
    memory: int = 0
    """The driver's largest resident memory, in bytes."""

    @classmethod
    def since(cls, start: float, seconds_per_clip: list[float], memory: int = 0) -> Measurement:
        """The measurement of what began at `start`."""
        seconds = time.perf_counter() - start
        return cls(seconds, sum(seconds_per_clip) / (WORKERS * seconds), memory)

    def __str__(self) -> str:
        speed = NUM_FRAMES * NUM_CLIPS / self.seconds
        return f"{speed:.1f} frames/s in {self.seconds:.1f} s, workers {100 * self.busy:.0f} % busy"


def measure_ray(videos: Path | StorageFolder, out: Path) -> Measurement:
    """Prepare a folder as the product does."""
    process, memory = psutil.Process(), 0
    seconds: list[float] = []

    def watch(done: int, total: int) -> None:
        nonlocal memory
        memory = max(memory, process.memory_info().rss)

    def make(build: ClipBuild, *arguments: Any) -> list[Row]:
        results = make_clips(build, *arguments)
        seconds.extend(result["seconds"] for result in results)
        return results

    start, make_clips = time.perf_counter(), ClipBuild.make
    with patch.object(ClipBuild, "make", make):
        prepare_videos(videos, StorageFolder(out), SETTINGS, on_progress=watch)
    return Measurement.since(start, seconds, memory)


def measure_pool(videos: Path, out: Path) -> Measurement:
    """Make the same clips with a pool of processes."""
    rows = [asdict(video) for video in find_videos(videos).sources]
    start = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit locks that threads of Arrow hold
    with spawn.Pool(WORKERS, _open_worker, (str(out),)) as pool:
        results = list(pool.imap_unordered(_work, rows))
    assert not any(result["reason"] for result in results)
    return Measurement.since(start, [result["seconds"] for result in results])


_prepare: Callable[[Row], Row]


def _open_worker(out: str) -> None:
    global _prepare
    cv2.setNumThreads(1)
    _prepare = RowWork(clip_steps(StorageFolder(out), SETTINGS), "source").load()


def _work(row: Row) -> Row:
    return _prepare(row)


class Echo:
    """Costs nothing."""

    def __call__(self, row: Row) -> Row:
        return {"key": row["key"], "reason": ""}


def measure_rows(folder: Path) -> float:
    """Seconds that a row costs on Ray, beyond the start of processes and a loop."""
    rows, seconds = [{"key": number, "source": f"{folder}/{number}.mp4"} for number in range(NUM_ROWS)], {}
    for count, workers in ((WORKERS, WORKERS), (NUM_ROWS, WORKERS), (NUM_ROWS, 0)):
        start = time.perf_counter()
        work = RowWork((Step(Echo),), "key")
        assert len(list(map_rows(rows[:count], work, out=StorageFolder(folder), workers=workers))) == count
        seconds[count, workers] = time.perf_counter() - start
    begin, there, loop = seconds.values()
    return (there - begin - loop) / NUM_ROWS


def measure_store(videos: Path, folder: Path) -> Measurement:
    """Prepare the same videos from an object store; its Ray is another one, whose processes know the keys."""
    (folder / "store").mkdir()
    with serve_objects(folder / "store") as store, patch.dict(os.environ, store.environment):
        boto3.client("s3").create_bucket(Bucket="videos")
        StorageFolder("s3://videos").upload(videos)
        start_ray(num_cpus=WORKERS)
        measurement = measure_ray(StorageFolder("s3://videos"), folder / "ray-store")
        ray.shutdown()
    return measurement


def main() -> None:
    """Print the speeds and their ratio, and the driver's memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_studio_clip(render_action("ada", "squat", num_frames=NUM_FRAMES), folder / "studio")
        copy_videos(video, folder / "few", NUM_CLIPS // 10)
        copy_videos(video, folder / "many", NUM_CLIPS)
        pool = measure_pool(folder / "many", folder / "pool")
        start_ray(num_cpus=WORKERS)
        few = measure_ray(folder / "few", folder / "ray-few")
        many = measure_ray(folder / "many", folder / "ray-many")
        start = time.perf_counter()
        prepare_videos(folder / "many", StorageFolder(folder / "ray-many"), SETTINGS)
        again = time.perf_counter() - start
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        a_row = measure_rows(folder)
        ray.shutdown()
        remote = measure_store(folder / "many", folder)
    print(f"pool of {WORKERS}: {pool}")
    print(f"Ray Data:  {many}")
    print(
        f"ratio:     {pool.seconds / many.seconds:.2f} by speed, {many.busy / pool.busy:.2f} by busy workers; ", end=""
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    print(f"from s3:// {remote}, {many.seconds / remote.seconds:.2f} of the speed of local files")
    print(f"a clip:    {1000 * a_row:.2f} ms of Ray, of {NUM_ROWS:,} that cost nothing")
    print(f"again:     {again:.2f} s, {many.seconds / again:.0f} times as fast")
    print(f"driver:    {few.memory / 2**20:.0f} MiB with {NUM_CLIPS // 10} clips, ", end="")
    print(f"{many.memory / 2**20:.0f} MiB with {NUM_CLIPS}")


if __name__ == "__main__":
    main()
