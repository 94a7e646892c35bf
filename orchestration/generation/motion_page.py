"""A page of motions: one HTML file with an animated plot in three dimensions, to be turned and zoomed."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np

from posegen.motion.editing import canonicalize, resample
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.rendering import (
    LEFT_ARM,
    LEFT_LEG,
    MIDDLE,
    RIGHT_ARM,
    RIGHT_LEG,
    Color,
    limb_color,
    require_captions,
)
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

_SPACING = 1.5  # metres from one person to the next
_MAX_FRAMES = 300  # of longer motions every second frame is shown, or every third, …
_ABOVE = 0.45  # metres from a head up to its caption
_CAPTION_WIDTH, _CAPTION_LINES = 66, 3  # letters in a line over all motions, and lines: neighbours do not touch
_MARGIN = 0.25
_VIEW = np.array([0.25, -0.93, 0.27]) / np.linalg.norm([0.25, -0.93, 0.27])  # from the middle towards the eye
_FIELD_OF_VIEW = math.pi / 4  # plotly's, from top to bottom
_ASPECT = 1.5  # width of a view by its height: of most screens, less what title and slider take
_PALE: Color = (200, 200, 200)
_GROUND = "rgb(240, 240, 240)"

_BONES: dict[Color, list[int]] = {
    color: [joint for joint in range(1, len(SMPL_24)) if limb_color(SMPL_24[joint]) == color]
    for color in (MIDDLE, LEFT_ARM, LEFT_LEG, RIGHT_ARM, RIGHT_LEG)
}
"""The far ends of the bones of each colour."""


def _make_head() -> np.ndarray:
    """Two rings with a gap after each, (P, 3) metres from the head joint, in plotly's axes."""
    angle = np.linspace(0, 2 * np.pi, 13)
    across, up, none = 0.1 * np.cos(angle), 0.07 + 0.1 * np.sin(angle), 0 * angle
    gap = np.full((1, 3), np.nan)
    rings = [np.stack(ring, axis=1) for ring in ((across, none, up), (none, across, up))]
    return np.concatenate([rings[0], gap, rings[1], gap]).astype(np.float32)


_HEAD = _make_head()


def write_motion_page(
    path: Path, motions: Sequence[Motion], captions: Sequence[str] = (), title: str = "", video: str = ""
) -> Path:
    """Write a page on which motions play beside each other, and can be turned and zoomed.

    They begin to play by themselves. The page needs no network and no server. It takes 5 MB for plotly.js, and 2.5 kB
    for each frame of a motion.
    Each motion starts in its own place, facing the viewer, and keeps its last frame after its end. The rate is the
    highest of all.

    Args:
        path: The file to write, .html.
        motions: The motions, from left to right.
        captions: One for each, or none at all.
        title: Title of the page.
        video: Video of the motion, relative to the page: it plays beside it, over and over, and leads it.

    Raises:
        PosegenError: There are no motions, or captions are not one each.
    """
    captions = require_captions(motions, captions)
    figure = make_motion_figure(motions, captions).update_layout(title=title)
    path.parent.mkdir(parents=True, exist_ok=True)
    if video:
        page = _page_with_video(figure, title, video)
    else:
        page = figure.to_html(include_plotlyjs=True, animation_opts=_play(motions), default_height="100vh")
        page = page.replace("<body>", '<body style="margin: 0; overflow: hidden">')
    path.write_text(page, encoding="utf-8")
    return path


def _page_with_video(figure: Any, title: str, video: str) -> str:
    """Return a page of a figure and a video, whose time is the figure's: one clock, and one button."""
    figure.layout.updatemenus = figure.layout.sliders = None
    figure.update_layout(title="", margin={"l": 0, "r": 0, "t": 0, "b": 0})
    plot = figure.to_html(
        include_plotlyjs=True,
        full_html=False,
        auto_play=False,
        config={"responsive": True},
        default_height="100%",
        div_id="motion",
    )
    names = json.dumps([frame.name for frame in figure.frames])
    return _VIDEO_PAGE.substitute(title=html.escape(title), video=quote(video), plot=plot, names=names)


def make_motion_figure(motions: Sequence[Motion], captions: Sequence[str]) -> Any:
    """Make a plotly figure of motions with buttons and a slider; see `write_motion_page`."""
    import plotly.graph_objects as go

    fps = max(motion.fps for motion in motions)
    joints, valid = _line_up([resample(motion, fps) for motion in motions])
    step = _step(len(joints))
    frames = [
        go.Frame(data=_add_bodies(joints[number], valid[number]), name=f"{number / fps:.2f}")
        for number in range(0, len(joints), step)
    ]
    labels, legend = _label(captions)
    figure = go.Figure(data=[*frames[0].data, _add_captions(joints[0], labels)], frames=frames)
    return figure.update_layout(
        scene=_scene(joints),
        annotations=[_legend(legend)] if legend else [],
        showlegend=False,
        margin={"l": 0, "r": 0, "t": 40, "b": 50},
        updatemenus=[_buttons(_play(motions))],
        sliders=[_slider([frame.name for frame in frames])],
    )


def _step(frames: int) -> int:
    """Frames from one that is shown to the next."""
    return math.ceil(frames / _MAX_FRAMES)


def _play(motions: Sequence[Motion]) -> dict[str, Any]:
    """Return plotly's play button settings, in the motions' own time."""
    fps = max(motion.fps for motion in motions)
    longest = max(round(len(motion) * fps / motion.fps) for motion in motions)
    duration = 1000 * _step(longest) / fps
    return {"frame": {"duration": duration, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": True}


def _line_up(motions: Sequence[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Put motions beside each other on one floor: joints (T, N, 24, 3) in plotly's axes, and valid (T, N)."""
    length = max(map(len, motions))
    joints, valid = [], []
    for place, motion in enumerate(motions):
        rows = np.minimum(np.arange(length), len(motion) - 1)
        moved = canonicalize(motion)[0].joints - (0, floor_height(motion.joints), 0) + (_SPACING * place, 0, 0)
        joints.append(moved[rows])
        valid.append(motion.valid[rows])
    x, y, z = np.moveaxis(np.stack(joints, axis=1), -1, 0)
    return np.stack([x, -z, y], axis=-1).astype(np.float32), np.stack(valid, axis=1)  # plotly's z is up


def _add_bodies(joints: np.ndarray, valid: np.ndarray) -> list[Any]:
    """Traces of one frame, of joints (N, 24, 3): as many for every frame, as plotly's animation requires."""
    import plotly.graph_objects as go

    traces = []
    for color, far in _BONES.items():
        for shown, tone in ((valid, color), (~valid, _PALE)):
            lines = _polyline(joints[shown], far)
            if color == MIDDLE:
                heads = joints[shown][:, SMPL_24.index("head"), None] + _HEAD  # (N, P, 3)
                lines = np.concatenate([lines, heads.reshape(-1, 3)])
            x, y, z = lines.T
            line = {"color": f"rgb{tone}", "width": 6}
            traces.append(go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, hoverinfo="skip"))
    return traces


def _polyline(joints: np.ndarray, far: Sequence[int]) -> np.ndarray:
    """Bones of bodies (N, 24, 3) as points (P, 3) of one line, with a gap after each."""
    near = [SMPL_24_PARENTS[joint] for joint in far]
    gap = np.full((len(joints), len(far), 3), np.nan, np.float32)
    return np.stack([joints[:, near], joints[:, list(far)], gap], axis=2).reshape(-1, 3)


def _label(captions: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels above the heads, and the lines of a legend where captions are too long for that: labels are numbers then.

    Neighbours are nearer to each other the more there are.
    """
    width = _CAPTION_WIDTH // len(captions)
    wrapped = [textwrap.wrap(caption, max(width, 1), break_long_words=False) for caption in captions]
    if all(len(lines) <= _CAPTION_LINES and max(map(len, lines), default=0) <= width for lines in wrapped):
        return ["<br>".join(lines) for lines in wrapped], []
    return [str(number) for number in range(1, len(captions) + 1)], list(captions)


def _legend(captions: Sequence[str]) -> dict[str, Any]:
    """Return the legend of the numbers above the heads, in the left upper corner."""
    lines = [f"<b>{number}</b>  {caption}" for number, caption in enumerate(captions, start=1)]
    corner = {"xref": "paper", "yref": "paper", "x": 0.01, "y": 0.98, "xanchor": "left", "yanchor": "top"}
    return {"text": "<br>".join(lines), "align": "left", "showarrow": False, **corner}


def _add_captions(joints: np.ndarray, labels: Sequence[str]) -> Any:
    """Labels above the heads of the first frame, (N, 24, 3)."""
    import plotly.graph_objects as go

    x, y, z = joints[:, SMPL_24.index("head")].T
    return go.Scatter3d(x=x, y=y, z=z + _ABOVE, mode="text", text=list(labels), hoverinfo="skip")


def _scene(joints: np.ndarray) -> dict[str, Any]:
    """Axes that hold all joints, viewed from the front and a little from above."""
    low = joints.min(axis=(0, 1, 2)) - np.array([_MARGIN, _MARGIN, 0.0])
    high = joints.max(axis=(0, 1, 2)) + np.array([_MARGIN, _MARGIN, _ABOVE + _MARGIN])
    low[2] = min(low[2], 0.0)
    axes: dict[str, Any] = {
        f"{name}axis": {"range": [float(start), float(end)], "showticklabels": False, "showbackground": False}
        | {"title": "", "showspikes": False, "dtick": 0.5, "gridcolor": _GROUND, "zeroline": False}
        for name, start, end in zip("xyz", low, high, strict=True)
    }
    axes["zaxis"] |= {"showbackground": True, "backgroundcolor": _GROUND, "gridcolor": "white"}
    for name in ("xaxis", "yaxis"):
        axes[name]["gridcolor"] = "white"
    # The longest side has length 1 in the camera's units.
    sides = (high - low) / (high - low).max()
    eye = _VIEW * _fitting_distance(sides)
    named = [dict(zip("xyz", vector.tolist(), strict=True)) for vector in (sides, eye)]
    return {"aspectmode": "manual", "aspectratio": named[0], "camera": {"eye": named[1]}, **axes}


def _fitting_distance(sides: np.ndarray) -> float:
    """The least distance along `_VIEW` from which a box of these sides (3,) about the origin is in the picture."""
    right = np.array([-_VIEW[1], _VIEW[0], 0.0]) / math.hypot(_VIEW[0], _VIEW[1])
    corners = np.stack(np.meshgrid(*np.stack([-sides, sides], axis=1) / 2), axis=-1).reshape(-1, 3)
    x, y, nearer = corners @ right, corners @ np.cross(_VIEW, right), corners @ _VIEW
    reach = math.tan(_FIELD_OF_VIEW / 2)
    return float(np.max(nearer + np.maximum(np.abs(x) / _ASPECT, np.abs(y)) / reach))


def _buttons(play: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "buttons",
        "direction": "left",
        "x": 0.0,
        "y": 0.0,
        "xanchor": "left",
        "yanchor": "top",
        "pad": {"t": 20, "l": 10},
        "buttons": [
            {"label": "▶ play", "method": "animate", "args": [None, play]},
            {"label": "❚❚ pause", "method": "animate", "args": [[None], _AT_ONCE]},
        ],
    }


def _slider(names: Sequence[str]) -> dict[str, Any]:
    steps = [{"label": name, "method": "animate", "args": [[name], _AT_ONCE]} for name in names]
    return {"steps": steps, "x": 0.2, "len": 0.78, "pad": {"t": 10, "b": 20}, "currentvalue": {"suffix": " s"}}


_VIDEO_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { margin: 0; height: 100vh; display: grid; grid-template: 100% / 3fr 2fr; font-family: sans-serif; }
#plot { min-width: 0; overflow: hidden; }
#plot > div { height: 100%; }
figure { min-width: 0; margin: 0; display: flex; flex-direction: column; }
video { flex: 1; min-height: 0; width: 100%; object-fit: contain; background: #f0f0f0; }
figcaption { padding: .5rem 1rem; }
@media (max-width: 45rem) { body { grid-template: 50% 50% / 100%; } }
</style></head><body>
<div id="plot">$plot</div>
<figure><video src="$video" autoplay loop muted playsinline controls></video><figcaption>$title</figcaption></figure>
<script>
const video = document.querySelector("video"), plot = document.getElementById("motion"), names = $names;
let shown = "";
function follow() {
  const name = names.findLast(one => parseFloat(one) <= video.currentTime + 1e-3);
  if (name && name !== shown) {
    shown = name;
    Plotly.animate(plot, [name], {mode: "immediate", frame: {duration: 0, redraw: true}, transition: {duration: 0}});
  }
  requestAnimationFrame(follow);
}
addEventListener("load", () => { Plotly.Plots.resize(plot); follow(); });
</script></body></html>
""")

_AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
