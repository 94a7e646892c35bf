"""Scatter plots of codes on their first two principal components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posegen.errors import ConfigError
from posegen.metrics.latent import principal_components

_QUALITATIVE = 20  # colours that are easy to distinguish


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
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    return explained


def plot_action_map(path: Path, codes: np.ndarray, actions: Sequence[str], title: str = "") -> None:
    """Write a scatter plot of codes, each dot in the colour of its action.

    Args:
        path: The file to write, .png.
        codes: (N, Z), of motions.
        actions: The action of each code.
        title: Title of the plot.

    Raises:
        ConfigError: There are not as many actions as codes, or codes are not finite or fewer than two.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if len(codes) != len(actions):
        raise ConfigError(f"got {len(codes)} codes and {len(actions)} actions, expected one each")
    names = list(dict.fromkeys(actions))
    few = len(names) <= _QUALITATIVE
    shades = colormaps["tab20" if few else "turbo"](np.arange(len(names)) if few else np.linspace(0, 1, len(names)))
    rgb = {name: shade[:3] for name, shade in zip(names, shades, strict=True)}
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.subplots()
    explained = 100 * scatter_codes(axes, codes, np.array([rgb[action] for action in actions]), size=14)
    axes.set_title(title)
    axes.set_xlabel(
        f"{len(codes):,} codes; the axes explain {explained[0]:.0f} and {explained[1]:.0f} % of the variance"
    )
    dots = [Line2D([], [], color=rgb[name], marker="o", linestyle="", label=name) for name in names]
    figure.legend(handles=dots, loc="outside right upper", ncols=-(-len(dots) // _QUALITATIVE), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
