"""Table 1 of the paper, for any dataset: trains what is missing, draws all test clips with all methods, compares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from orchestration import tracking
from orchestration.evaluate import Perceptual, Score, open_measures, summarize
from orchestration.methods import TITLES, Method, train_methods
from orchestration.progress import Listener
from orchestration.train import TrainSettings
from posegen.clips import ClipDataset, ClipFile, Split
from posegen.metrics.statistics import PairedTest, paired_bootstrap
from posegen.reconstruction import Measure, Reenactor, load_reenactor, score_clip
from posegen.stages.pictures import grid, write_picture
from posegen.storage import Folder

EXPERIMENT = "posegen-report"
PAPER: dict[Method, dict[str, float]] = {
    "deformable_gan": {"ms_ssim_masked": 0.8975, "lpips_masked": 0.0706},
    "proposed": {"ms_ssim_masked": 0.9146, "lpips_masked": 0.0590},
}
"""Table 1 of Yang et al. (2020): other people, 384×256, weights that were never published."""
METRICS = {
    "ms_ssim": "MS-SSIM ↑",
    "ssim": "SSIM ↑",
    "st_lpips": "ST-LPIPS ↓",
    "lpips": "LPIPS ↓",
}
_STRIP = 8  # frames in a comparison picture


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a report is of, and where its runs and its files are."""

    runs: str = "runs"
    """Folder of the runs that are compared: each method's has its name, and what is not there is trained."""
    out: Path = Path("report")
    """Folder for tables, figures and videos."""
    preset: Literal["paper", "small", "tiny"] = "paper"
    """Of every stage that is trained for the report."""
    workers: int = 1
    """Training processes of each run; 0 trains in this process."""
    parallel: int = 0
    """Runs that are trained side by side; 0 takes one for every GPU, or for every CPU where there is none."""


@dataclass(frozen=True, kw_only=True)
class Table1Settings(ReportSettings):
    """What Table 1 compares."""

    methods: tuple[Method, ...] = ("deformable_gan", "end_to_end", "no_restoration", "proposed")
    """Methods; `no_augmentation` is there too."""
    split: Split = "test"
    """Clips to draw again from their first frame."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips", "lpips")
    """Perceptual distances; they are left out, with a word, where their weights are not at hand."""
    max_clips: int = 0
    """Clips to measure at most; 0 measures all."""


@dataclass(frozen=True)
class Table1:
    """How near the methods come to the true clips (Section 4.3)."""

    dataset: str
    split: str
    size: tuple[int, int]
    num_clips: int
    num_frames: int
    runs: dict[Method, str]
    scores: dict[Method, dict[str, Score]]
    """Mean over clips by method and metric."""
    tests: dict[Method, dict[str, PairedTest]]
    """The proposed method less another one, clip by clip."""
    clips: dict[str, dict[Method, dict[str, float]]]
    """What every clip scored."""
    weights: dict[str, str]
    """sha256 of the weights behind each perceptual metric."""
    left_out: dict[str, str]
    """Metrics that were not measured, with the reason."""

    @property
    def metrics(self) -> list[str]:
        """Names of what was measured, masked first as in the paper."""
        names = list(next(iter(self.scores.values())))
        return sorted(names, key=lambda name: not name.endswith("_masked"))

    @property
    def protocol(self) -> list[str]:
        """What one must know to compare these numbers with others."""
        height, width = self.size
        lines = [
            f"{self.num_clips} clips of the {self.split} split of {self.dataset}, frames of {height}×{width}.",
            f"Each clip is drawn from its first frame, in its own colours; the other {self.num_frames} frames count.",
            "Masked: outside the true person mask both images are black, which raises all scores (Section 4.3).",
            "Mean over frames, then over clips; in brackets the 95 % bootstrap interval over clips.",
        ]
        if any(name.startswith("ssim") for name in self.metrics):
            lines.append("SSIM stands for MS-SSIM, whose five scales need 161 pixels; the two are not comparable.")
        lines += [f"{METRICS[name].split()[0]}: weights with sha256 {sha}." for name, sha in self.weights.items()]
        lines += [f"{name} was not measured: {reason}" for name, reason in self.left_out.items()]
        return lines


def table1(
    dataset: str,
    settings: Table1Settings,
    *,
    listener: Listener | None = None,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> Table1:
    """Train the methods that lack, measure all of them on the same clips, and write what was found to `settings.out`.

    Writes ``table1.json`` with every clip's scores, ``table1.md``, and a picture for each clip: the true frames, and
    below them each method's.
    """
    data = ClipDataset(dataset)
    parent = tracking.start_run("table1", experiment=EXPERIMENT, parameters=asdict(settings))
    runs = take_runs(dataset, settings, settings.methods, listener=listener, parent=parent)
    reenactors: dict[Method, Reenactor] = {method: load_reenactor(run) for method, run in runs.items()}
    first = next(iter(reenactors.values()))
    measures, weights, left_out = open_measures(settings.perceptual, first.size, first.device)
    clips = data.split(settings.split)[: settings.max_clips or None]
    scores: dict[str, dict[Method, dict[str, float]]] = {}
    num_frames = 0
    settings.out.mkdir(parents=True, exist_ok=True)
    for done, file in enumerate(clips):
        on_clip(done, len(clips))
        scores[file.clip_id], rows = _compare(reenactors, file, measures)
        num_frames += len(file.keypoints) - 1
        write_picture(settings.out / "clips" / f"{file.clip_id}.png", grid(rows))
    on_clip(len(clips), len(clips))
    by_method = _by_method(scores)
    table = Table1(
        dataset=str(data.folder),
        split=settings.split,
        size=first.size,
        num_clips=len(clips),
        num_frames=num_frames,
        runs={method: str(run) for method, run in runs.items()},
        scores={
            method: {name: summarize(values) for name, values in of_method.items()}
            for method, of_method in by_method.items()
        },
        tests=_compare_with_proposed(by_method),
        clips=scores,
        weights=weights,
        left_out=left_out,
    )
    _file(table, settings.out, parent)
    return table


def take_runs(
    dataset: str,
    settings: ReportSettings,
    methods: tuple[Method, ...],
    *,
    listener: Listener | None = None,
    parent: tracking.Tracker = tracking.OFF,
) -> dict[Method, Folder]:
    """The runs of these methods, of which those that are not there are trained."""
    parallel, cpus = _share_machine(settings)
    how = TrainSettings(
        runs=settings.runs, workers=settings.workers, cpus=cpus, experiment=EXPERIMENT, loader_processes=0
    )
    return train_methods(dataset, methods, settings.preset, how, parallel=parallel, listener=listener, parent=parent)


def _share_machine(settings: ReportSettings) -> tuple[int, int]:
    """Runs side by side, and the CPUs of each of their workers."""
    if settings.workers == 0:
        return 1, 0  # random numbers of one process are one sequence
    from orchestration.ray_session import start_ray

    start_ray()
    import ray

    cluster = ray.cluster_resources()
    cpus, gpus = int(cluster.get("CPU", 1)), int(cluster.get("GPU", 0))
    parallel = settings.parallel or max((gpus or cpus) // settings.workers, 1)
    return parallel, max(cpus // (parallel * settings.workers), 1)


def _compare(
    reenactors: Mapping[Method, Reenactor], file: ClipFile, measures: Mapping[str, Measure]
) -> tuple[dict[Method, dict[str, float]], list[list[np.ndarray]]]:
    """The scores of each method on a clip, and the rows of the picture that shows them."""
    scores: dict[Method, dict[str, float]] = {}
    rows: list[list[np.ndarray]] = []
    for method, reenactor in reenactors.items():
        score, clip, drawn = score_clip(reenactor, file, measures)
        shown = np.linspace(0, len(clip) - 1, _STRIP).round().astype(int)
        scores[method] = score.means
        rows = rows or [[clip.images[row] for row in shown]]
        rows.append([drawn[row] for row in shown])
    return scores, rows


def _by_method(clips: Mapping[str, Mapping[Method, Mapping[str, float]]]) -> dict[Method, dict[str, list[float]]]:
    """Each method's scores in the order of the clips, by metric."""
    values: dict[Method, dict[str, list[float]]] = {}
    for of_clip in clips.values():
        for method, means in of_clip.items():
            for name, value in means.items():
                values.setdefault(method, {}).setdefault(name, []).append(value)
    return values


def _compare_with_proposed(values: Mapping[Method, Mapping[str, list[float]]]) -> dict[Method, dict[str, PairedTest]]:
    own = values.get("proposed", {})
    return {
        method: {
            name: paired_bootstrap(np.array(own[name]), np.array(theirs))
            for name, theirs in of_method.items()
            if len(theirs) > 1
        }
        for method, of_method in values.items()
        if own and method != "proposed"
    }


def table_rows(table: Table1) -> list[list[str]]:
    """The table's cells, the heads first."""
    heads = ["method", *[metric_title(name) for name in table.metrics]]
    rows = []
    for method, scores in table.scores.items():
        rows.append([TITLES[method], *[_cell(scores[name]) for name in table.metrics]])
    for method, figures in PAPER.items():
        cells = [f"{figures[name]:.4f}" if name in figures else "" for name in table.metrics]
        if method in table.scores and any(cells):
            rows.append([f"{TITLES[method]}, as the paper says of its own data", *cells])
    for method, tests in table.tests.items():
        rows.append([f"Proposed − {TITLES[method]}", *[_difference(tests, name) for name in table.metrics]])
    return [heads, *rows]


def metric_title(name: str) -> str:
    """The true name of a metric, with the arrow to the better side."""
    base = name.removesuffix("_masked")
    return METRICS[base] + (", masked" if name != base else "")


def _cell(score: Score) -> str:
    return f"{score.mean:.4f} [{score.low:.4f}, {score.high:.4f}]"


def _difference(tests: Mapping[str, PairedTest], name: str) -> str:
    if name not in tests:
        return ""
    test = tests[name]
    return f"{test.mean_difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}], p = {test.p_value:.2g}"


def _markdown(table: Table1) -> str:
    heads, *rows = table_rows(table)
    lines = [" | ".join(cells) for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([*(f"| {line} |" for line in lines), "", *[f"- {line}" for line in table.protocol], ""])


def _file(table: Table1, out: Path, parent: tracking.Tracker) -> None:
    """Write the table, and file it in MLflow."""
    (out / "table1.json").write_text(json.dumps(asdict(table), indent=2))
    (out / "table1.md").write_text(_markdown(table))
    parent.log_metrics(
        {
            f"test/{method}/{name}": score.mean
            for method, scores in table.scores.items()
            for name, score in scores.items()
        },
        step=0,
    )
    parent.log_file(out, "table1")
    parent.finish()
