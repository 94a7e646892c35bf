"""What processes say of themselves."""

from __future__ import annotations

import os
from typing import NamedTuple

import cv2
import torch

from posegen.errors import MotionError


class Place(NamedTuple):
    """Where an item was worked on."""

    item: int
    process: int
    threads: int
    opencv: int


def where(item: int) -> Place:
    """Say where this is; the item 13 cannot be worked on, and 99 ends the process."""
    if item == 13:
        raise MotionError("thirteen is broken")
    if item == 99:
        os._exit(1)
    return Place(item, os.getpid(), torch.get_num_threads(), cv2.getNumThreads())
