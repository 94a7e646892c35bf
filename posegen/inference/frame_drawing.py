"""Draws the frames of one video in all processes that are worth their start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

from posegen.parallel import LIGHT_START_SECONDS, map_in_processes, num_processes

_Moment = TypeVar("_Moment")


def draw_video(
    draw: Callable[[_Moment], np.ndarray],
    moments: Iterable[_Moment],
    num_frames: int,
    start_seconds: float = LIGHT_START_SECONDS,
) -> Iterator[np.ndarray]:
    """Draw frames in their order, the same ones in however many processes.

    The first two are drawn in this process, which measures what a frame costs.

    Args:
        draw: Draws a frame (H, W, 3) uint8. It and what it is called with are picklable.
        moments: What each frame shows, of which few are made ahead.
        num_frames: How many there are.
        start_seconds: CPU seconds until a process can begin, see `num_processes`.
    """
    left = iter(moments)
    seconds = 0.0
    for moment in islice(left, 2):
        begin = time.thread_time()
        frame = draw(moment)
        seconds = time.thread_time() - begin
        yield frame
    processes = num_processes(num_frames - 2, seconds, start_seconds)
    yield from map_in_processes(draw, left, processes) if processes else map(draw, left)
