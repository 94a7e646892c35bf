"""What Ray costs `posegen prepare`, against a bare pool of processes: ``python tests/benchmarks/bench_prepare.py``.

Prints frames per second of both over the same videos, without the start of Ray itself, and how the driver's
memory grows with the number of clips.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import multiprocessing
import shutil
import struct
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import psutil
import ray

from orchestration.prepare import PrepareSettings, prepare
from orchestration.preparer import ClipPreparer
from orchestration.ray_session import start_ray
from posegen.storage import Folder
from posegen.studio import render_clip, truth_path, write_clip

WORKERS = 2
NUM_FRAMES = 100
NUM_CLIPS = 100
SETTINGS = PrepareSettings(pose="truth", edges="truth", mask="truth", workers=WORKERS)


def copy_videos(video: Path, folder: Path, count: int) -> None:
    """Copy a studio video under `count` names, each with other bytes: an empty box of MP4 at its end."""
    for number in range(count):
        copy = folder / f"person{number % 10}" / f"action{number}.mp4"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(video.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
        shutil.copy(truth_path(video), truth_path(copy))


def measure_ray(videos: Path, out: Path) -> tuple[float, int]:
    """Prepare a folder; return the seconds it took and the driver's largest resident memory in bytes."""
    process, memory = psutil.Process(), [0]
    start = time.perf_counter()
    prepare(videos, out, SETTINGS, on_progress=lambda *_: memory.append(process.memory_info().rss))
    return time.perf_counter() - start, max(memory)


def measure_pool(videos: Path, out: Path) -> float:
    """Prepare a folder with a pool of processes; return the seconds it took."""
    rows = [
        {
            "clip_id": path.stem,
            "source": str(path),
            "source_sha256": "",
            "person": path.parent.name,
            "action": path.stem,
            "split": "train",
        }
        for path in sorted(videos.glob("*/*.mp4"))
    ]
    start = time.perf_counter()
    with multiprocessing.Pool(WORKERS, _open_worker, (str(out),)) as pool:
        results = list(pool.imap_unordered(_work, rows))
    assert not any(result["reason"] for result in results)
    return time.perf_counter() - start


_preparer: ClipPreparer


def _open_worker(out: str) -> None:
    global _preparer
    cv2.setNumThreads(1)
    _preparer = ClipPreparer(Folder(out), replace(SETTINGS, workers=0))


def _work(row: dict[str, Any]) -> dict[str, Any]:
    return _preparer(row)


def main() -> None:
    """Print the speeds and their ratio, and the driver's memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_clip(render_clip("ada", "squat", num_frames=NUM_FRAMES), folder / "studio")
        copy_videos(video, folder / "few", NUM_CLIPS // 10)
        copy_videos(video, folder / "many", NUM_CLIPS)
        pool = measure_pool(folder / "many", folder / "pool")
        start_ray(num_cpus=WORKERS)
        few, few_memory = measure_ray(folder / "few", folder / "ray-few")
        many, many_memory = measure_ray(folder / "many", folder / "ray-many")
        start = time.perf_counter()
        prepare(folder / "many", folder / "ray-many", SETTINGS)
        again = time.perf_counter() - start
        ray.shutdown()
    frames = NUM_FRAMES * NUM_CLIPS
    print(f"pool of {WORKERS}: {frames / pool:.1f} frames/s in {pool:.1f} s")
    print(f"Ray Data:  {frames / many:.1f} frames/s in {many:.1f} s, {100 * pool / many:.0f} % of the pool")
    print(f"again:     {again:.2f} s, {many / again:.0f} times as fast")
    print(f"driver:    {few_memory / 2**20:.0f} MiB with {NUM_CLIPS // 10} clips, ", end="")
    print(f"{many_memory / 2**20:.0f} MiB with {NUM_CLIPS} ({few:.1f} s and {many:.1f} s)")


if __name__ == "__main__":
    main()
