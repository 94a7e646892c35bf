"""Scatter plots of codes on their first two principal components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posegen.errors import ConfigError
from posegen.metrics.latent import principal_components

_LEGEND_ROWS = 20
DISTINCT_COLORS: tuple[str, ...] = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#000000", "#b8a800",
)  # fmt: skip
"""Colours that colour-blind people tell apart (Okabe and Ito, 2008), the yellow darker, for white paper."""
_MARKERS = "os^DvPX*<>hp"


def scatter_codes(axes: Any, codes: np.ndarray, rgb: np.ndarray, size: float = 6.0) -> np.ndarray:
    """Plot codes (N, Z) as dots of colours (N, 3), without ticks: numbers along the axes would have no meaning.

    Args:
        axes: Axes of matplotlib.
        codes: (N, Z).
        rgb: (N, 3) in [0, 1].
        size: Area of a dot in square points.

    Returns:
        (2,) the axes' shares of the variance.
    """
    coordinates, explained = principal_components(codes)
    axes.scatter(*coordinates.T, c=rgb, s=size, linewidths=0)
    _hide_ticks(axes)
    return explained


def _hide_ticks(axes: Any) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")


def plot_action_map(path: Path, codes: np.ndarray, actions: Sequence[str], title: str = "") -> None:
    """Write a scatter plot of codes, each dot in the colour and shape of its action.

    Args:
        path: The file to write, .png.
        codes: (N, Z), of motions.
        actions: The action of each code.
        title: Title of the plot.

    Raises:
        ConfigError: There are not as many actions as codes, or codes are not finite or fewer than two.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if len(codes) != len(actions):
        raise ConfigError(f"got {len(codes)} codes and {len(actions)} actions, expected one each")
    names = list(dict.fromkeys(actions))
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.subplots()
    coordinates, shares = principal_components(codes)
    explained, dots = 100 * shares, []
    for number, name in enumerate(names):
        turn = number // len(DISTINCT_COLORS)  # colours come again with another shape
        color, marker = DISTINCT_COLORS[number % len(DISTINCT_COLORS)], _MARKERS[turn % len(_MARKERS)]
        own = coordinates[np.array(actions) == name]
        axes.scatter(own[:, 0], own[:, 1], s=14, linewidths=0, color=color, marker=marker)
        dots.append(Line2D([], [], linestyle="", label=name, color=color, marker=marker))
    _hide_ticks(axes)
    axes.set_title(title)
    axes.set_xlabel(
        f"{len(codes):,} codes; the axes explain {explained[0]:.0f} and {explained[1]:.0f} % of the variance"
    )
    figure.legend(handles=dots, loc="outside right upper", ncols=-(-len(dots) // _LEGEND_ROWS), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
