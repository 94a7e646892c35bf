"""Bars of one colour beside a picture, or above and below it, which made it fit a frame of other proportions."""

from __future__ import annotations

import numpy as np

_ONE_COLOR = 6  # levels by which a bar's pixels differ from each other at most, but for a few
_FEW = 0.005  # of a line
_OTHER_SHARE = 0.75  # of the line beside a bar, which differs from it
# Lines between a bar and the picture, mixed of both by compression; and by which opposite bars differ at most.
_MIXED = 8
_ALIKE = 3  # levels by which opposite bars differ at most
_WIDEST = 0.4  # of the frame
_RIM = 2  # lines beside a bar, in which its border is


def find_bars(image: np.ndarray) -> tuple[slice, slice]:
    """Find what is left of a picture (H, W, 3) uint8 between bars: its rows and columns.

    Bars are those on opposite sides, of one colour and width, of which at least one ends in a straight line.
    """
    rows, columns = (_between_bars(lines) for lines in (image, image.transpose(1, 0, 2)))
    return rows, columns


def _between_bars(lines: np.ndarray) -> slice:
    """Return which of the lines (N, M, 3) are between bars: all where there are none."""
    whole = slice(0, len(lines))
    colors = [np.median(lines[end], axis=0).astype(np.int16) for end in (0, -1)]
    if np.abs(colors[0] - colors[1]).max() > _ALIKE:
        return whole
    ends, are_clear = [], []
    for side, color in zip((lines, lines[::-1]), colors, strict=True):
        if _unlike(side[:1], color)[0] > _FEW:
            return whole
        unlike = _unlike(side[: max(int(_WIDEST * len(side)), 1)], color)
        end = int((unlike > _FEW).argmax())
        others = np.flatnonzero(unlike[end : end + _MIXED] > _OTHER_SHARE)
        are_clear.append(len(others) > 0)
        ends.append(end + int(others[0]) if len(others) else end)
    if min(ends) < 1 or abs(ends[0] - ends[1]) > _MIXED or not any(are_clear):
        return whole
    width = _RIM + max(end for end, is_clear in zip(ends, are_clear, strict=True) if is_clear)
    return slice(width, len(lines) - width)


def _unlike(lines: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Return which share of each line (N, M, 3) differs from a colour (3,), (N,)."""
    return np.asarray((np.abs(lines - color).max(axis=-1) > _ONE_COLOR).mean(axis=1))
