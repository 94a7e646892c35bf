"""Speed of the photo pipeline by size: ``python tests/benchmarks/bench_photo.py``, or with photos.

For each size: CPU seconds from a read photo to the first frame, in a warm process, and what takes them; then of a
frame, beside ten rigid parts of the same person; of a video of five seconds, in this process and in one for each CPU;
and the process's memory.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import cProfile
import hashlib
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from posegen.features.appearance import Appearance
from posegen.features.warp import PartAffines, estimate_affines
from posegen.inference.photo_video import PreparedPerson, find_subject, prepare_person
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.shown_person import Painter, PhotoSettings
from posegen.io.images import write_picture
from posegen.parallel import map_in_processes
from posegen.synthetic.studio import PEOPLE, RenderSettings, render_action

SIZES = ("384x256", "768x512")
FRAMES = 48
VIDEO_FRAMES = 120
STEPS = ("find_body", "parse_person", "settle_skin_borders", "fill_background", "soft_matte", "take_apart", "frame")
"""Functions whose shares of the first frame are told; they do not call one another."""


def first_frame(path: Path, size: str) -> tuple[PreparedPerson, Painter]:
    view = PhotoSettings(size=size)
    moves = MotionSettings(action=("wave",), frames=FRAMES)
    person = prepare_person(path, moves, view, 0, find_subject(path, view))
    painter = Painter(person.shown, ())
    next(painter.frames(person.poses[0], {}))
    return person, painter


def profile(path: Path, size: str) -> dict[str, float]:
    """CPU seconds of each step of a first frame."""
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(first_frame, path, size)
    steps = dict.fromkeys(STEPS, 0.0)
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if name in steps:
            steps[name] = max(steps[name], cumulative)
    return steps


def frames_alone(person: PreparedPerson, painter: Painter) -> tuple[float, float]:
    """CPU seconds of a frame of the layers, and of one of ten parts."""
    photo, poses = person.shown.photo, person.poses[0]
    start = time.process_time()
    for _ in painter.frames(poses, {}):
        pass
    layers = (time.process_time() - start) / len(poses)
    parts = Appearance(photo.image, photo.pose.keypoints, photo.matte > 0.5)
    start = time.process_time()
    affines = estimate_affines(photo.pose.keypoints, poses.keypoints)
    for row in range(len(poses)):
        parts.warp(PartAffines(*(one[row] for one in affines)))
    return layers, (time.process_time() - start) / len(poses)


def in_processes(person: PreparedPerson, painter: Painter, count: int) -> list[float]:
    """Seconds of a video in this process, in processes that have to start, and in those that wait, each as written."""
    poses = person.poses[0]
    rows = [row % len(poses) for row in range(VIDEO_FRAMES)]
    draw, moments = painter.drawing(poses, {})
    every = list(moments)
    shown = [every[row] for row in rows]
    seconds, hashes = [], set()
    for processes in (0, count, count):
        found, start = hashlib.sha256(), time.perf_counter()
        for frame in map_in_processes(draw, shown, processes):
            found.update(frame.tobytes())
        seconds.append(time.perf_counter() - start)
        hashes.add(found.hexdigest())
    if len(hashes) > 1:
        raise SystemExit("frames of several processes differ from those of one")
    return seconds


def main(photos: list[Path]) -> None:
    cv2.setNumThreads(1)
    first_frame(photos[0], SIZES[0])  # networks are loaded
    for size in SIZES:
        cpu, wall, layers, parts = [], [], [], []
        for path in photos:
            begin, start = time.process_time(), time.perf_counter()
            person, painter = first_frame(path, size)
            cpu.append(time.process_time() - begin)
            wall.append(time.perf_counter() - start)
            one, other = frames_alone(person, painter)
            layers.append(one)
            parts.append(other)
        print(f"{size}, {len(photos)} photos")
        print(
            f"  first frame: median {np.median(cpu):.2f}, worst {max(cpu):.2f} CPU-s; {np.median(wall):.2f} s of wall"
        )
        steps = [profile(path, size) for path in photos]
        print("  of that, CPU-s:", ", ".join(f"{name} {np.median([one[name] for one in steps]):.2f}" for name in STEPS))
        print(f"  a frame: {1e3 * np.median(layers):.1f} CPU-ms, {1 / np.median(layers):.0f} a second", end="; ")
        print(f"ten parts {1e3 * np.median(parts):.1f} CPU-ms, ratio {np.median(layers) / np.median(parts):.1f}")
        count = len(os.sched_getaffinity(0))
        alone, started, waiting = in_processes(person, painter, count)
        print(f"  {VIDEO_FRAMES} frames: {alone:.2f} s of wall here", end="; ")
        for name, seconds in (("start", started), ("wait", waiting)):
            print(f"{seconds:.2f} s in {count} processes that {name}, {alone / seconds:.2f} times as fast", end="; ")
        print("the same bytes")
        print(f"  memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main([Path(name) for name in sys.argv[1:]])
    else:
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for name in PEOPLE[:3]:
                files.append(Path(folder) / f"{name}.png")
                write_picture(files[-1], render_action(name, "idle", 0, RenderSettings(size=(768, 512))).images[0])
            main(files)
