"""The page of a comparison: one HTML file with plots, pictures and videos in it."""

from __future__ import annotations

import base64
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from orchestration.evaluation.compare import Comparison, Entry
from orchestration.generation.code_plots import DISTINCT_COLORS
from orchestration.tracking.mirror import PICTURE
from orchestration.tracking.queries import list_files, metric_history, read_file
from posegen.evaluation.metric_info import MetricInfo
from posegen.evaluation.metric_registry import metric_info, objective_metric

_CURVES = 20  # runs whose learning curves are plotted
_SHOWN = 3  # runs whose pictures and videos are shown
_LEAST_RUNS = 4  # with fewer, the importance of parameters cannot be estimated
_LOG_RATIO = 20.0  # a parameter whose highest value is so many times its lowest is plotted on a log scale


@dataclass(frozen=True)
class Plot:
    """A plot of the page."""

    title: str
    explanation: str
    html: str


@dataclass(frozen=True)
class Shown:
    """A run and its pictures and videos."""

    entry: Entry
    picture: str
    """Picture as a data address; empty for none."""
    videos: list[str]


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page, one file that needs neither network nor server. Returns its path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    page = environment.get_template("compare_page.html.j2").render(
        comparison=comparison,
        infos=[metric_info(name) for name in comparison.objectives],
        plots=plot_comparison(comparison),
        shown=[_show(entry) for entry in comparison.entries[:_SHOWN]],
        plotly=_plotly_source(),
    )
    path.write_text(page, encoding="utf-8")
    return path


def plot_comparison(comparison: Comparison) -> list[Plot]:
    """Make the plots that these runs allow, with Optuna's functions."""
    import optuna.visualization as visual

    study = as_study(comparison)
    name = _goal_name(comparison.info.name)
    several = len(comparison.objectives) > 1
    target: dict[str, Any] = {"target_name": name}
    if several:
        target["target"] = lambda trial: trial.values[0]
    figures: list[tuple[str, str, Any]] = []
    if comparison.varied:
        figures.append(
            (
                "Parallel coordinates",
                f"Each line is a run; {_shade(comparison)}. Runs that were stopped early have their last values. "
                "Drag along an axis to select some.",
                visual.plot_parallel_coordinate(as_study(comparison, with_stopped=True), **target),
            )
        )
    if comparison.varied and len(study.get_trials(states=[TrialState.COMPLETE])) >= _LEAST_RUNS:
        figures.append(
            (
                "Importance",
                "The share of the differences that each parameter explains.",
                visual.plot_param_importances(study, **target),
            )
        )
    if comparison.varied:
        slices = visual.plot_slice(study, **target)
        figures.append(("Slices", "The metric against each parameter by itself; each dot is a run.", slices))
    if several:
        names = [_goal_name(one) for one in comparison.objectives]
        if len(names) <= 3:
            figures.append(
                (
                    "Pareto front",
                    "No run is better than those on the front in one objective without being worse in another.",
                    visual.plot_pareto_front(study, target_names=names),
                )
            )
    curves = _plot_curves(comparison)
    if curves is not None:
        figures.append(("Learning curves", f"The first {_CURVES} runs at most, epoch by epoch.", curves))
    return [
        Plot(title, explanation, figure.to_html(full_html=False, include_plotlyjs=False, default_height="480px"))
        for title, explanation, figure in figures
    ]


def as_study(comparison: Comparison, *, with_stopped: bool = False) -> optuna.Study:
    """Make an Optuna study in memory of the runs, for Optuna's plots.

    The values of a metric with a target are distances from it. Those of a metric without a direction are as they are,
    and the study's direction means nothing.

    Args:
        comparison: The runs.
        with_stopped: Whether runs that were stopped early are among them, with their last values.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    infos = [metric_info(name) for name in comparison.objectives]
    study = optuna.create_study(directions=["maximize" if one.direction == "up" else "minimize" for one in infos])
    distributions = {name: _distribution(name, comparison.entries) for name in comparison.varied}
    for entry in comparison.entries:
        stopped = entry.state == "pruned" and not with_stopped
        if stopped or not set(comparison.objectives) <= set(entry.run.metrics):
            continue
        values = [_plotted(entry.run.metrics[info.name], info) for info in infos]
        known = {name: distributions[name] for name in entry.parameters}
        parameters = {
            _short(name): float(text) if isinstance(known[name], FloatDistribution) else text
            for name, text in entry.parameters.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.add_trial(
                create_trial(
                    values=values,
                    params=parameters,
                    distributions={_short(name): distribution for name, distribution in known.items()},
                )
            )
    return study


def _distribution(name: str, entries: Sequence[Entry]) -> BaseDistribution:
    """The values of a parameter: a range if they are numbers, a choice if not."""
    texts = sorted({entry.parameters[name] for entry in entries if name in entry.parameters})
    try:
        numbers = sorted({float(text) for text in texts})
    except ValueError:
        return CategoricalDistribution(texts)
    if len(numbers) <= 2 or not all(map(math.isfinite, numbers)):
        return CategoricalDistribution(texts)
    wide = numbers[0] > 0 and numbers[-1] / numbers[0] >= _LOG_RATIO
    return FloatDistribution(numbers[0], numbers[-1], log=wide)


def _short(name: str) -> str:
    """A parameter without its stage, for which axes have no room."""
    return name.rpartition(".")[2]


def _plotted(value: float, info: MetricInfo) -> float:
    """The value, or its distance from the metric's target."""
    return value if info.target is None else info.distance_to_goal(value)


def _goal_name(name: str) -> str:
    """The name of the values that `_plotted` returns."""
    target, base = metric_info(name).target, name.rpartition("/")[2]
    return base if target is None else f"distance of {base} from {target:g}"


def _shade(comparison: Comparison) -> str:
    """Describe the shading of lines: darker lines have the values that the study's direction prefers."""
    return "darker ones are better" if comparison.info.is_ranked else f"darker ones have a lower {comparison.info.name}"


def _plot_curves(comparison: Comparison) -> Any:
    """Plot the history of the metric in the first runs; None where none has more than one value."""
    import plotly.graph_objects as go

    logged = comparison.info.name
    phase, _, name = logged.rpartition("/")
    metric = (phase == "objective" and objective_metric(name)) or logged
    figure = go.Figure()
    for entry in comparison.entries[:_CURVES]:
        history = metric_history(entry.run.run_id, metric)
        if len(history) > 1:
            epochs = sorted(history)
            figure.add_scatter(x=epochs, y=[history[epoch] for epoch in epochs], name=entry.run.name)
    if not figure.data:
        return None
    return figure.update_layout(xaxis_title="epoch", yaxis_title=metric, colorway=DISTINCT_COLORS)


def _show(entry: Entry) -> Shown:
    """Find the last preview and the videos of a run."""
    pictures = [path for path in list_files(entry.run.run_id, "images") if "generated" in path and path.endswith("png")]
    picture = ""
    if pictures:
        picture = _data("image/png", read_file(entry.run.run_id, max(pictures, key=_step_of)))
    files = [path for folder in ("evaluation", "motions") for path in list_files(entry.run.run_id, folder)]
    clips = [path for path in files if path.endswith(".mp4")]
    return Shown(entry, picture, [_data("video/mp4", read_file(entry.run.run_id, path)) for path in clips[:2]])


def _step_of(path: str) -> int:
    """The step of a picture of a series."""
    named = PICTURE.match(Path(path).name)
    return int(named["step"]) if named else -1


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _plotly_source() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
