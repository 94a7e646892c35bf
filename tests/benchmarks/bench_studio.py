"""Frames per second that one core renders, with all labels: ``python -m tests.benchmarks.bench_studio``."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time

import cv2

from posegen.synthetic.studio import RenderSettings, render_action

SIZES = ((96, 64, 200), (384, 256, 20))


def main() -> None:
    """Print the speed at the sizes of the demo and of the paper."""
    cv2.setNumThreads(1)
    render_action("ada", "bow", 2, RenderSettings(size=(96, 64)))
    for height, width, num_frames in SIZES:
        start = time.process_time(), time.perf_counter()
        render_action("bruno", "jumping_jacks", num_frames, RenderSettings(size=(height, width)))
        cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
        print(f"{height}×{width}: {num_frames / cpu:.1f} frames per CPU second, {num_frames / wall:.1f} per second")


if __name__ == "__main__":
    main()
