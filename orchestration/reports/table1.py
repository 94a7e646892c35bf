"""Table 1 of the paper, for any dataset: train missing runs, render all test clips with all methods, compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestration.evaluation.records import Score
from orchestration.evaluation.video import PERCEPTUAL, Perceptual, open_measures
from orchestration.runtime.progress import ProgressListener
from orchestration.tracking.mirror import settle, sync, sync_pending
from orchestration.tracking.run_log import RunLog
from orchestration.training.job import TrainSettings
from orchestration.training.recipes import METHODS, MethodName, make_runs, recipe
from orchestration.training.train import Recording, train
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.errors import ConfigError, counted
from posegen.evaluation.metric_info import MetricInfo
from posegen.evaluation.metric_registry import metric_info
from posegen.evaluation.published_results import TABLE1_RESULTS
from posegen.evaluation.reconstruction import Measure, gather, score_clip
from posegen.inference.renderers import VideoRenderer, load_renderer
from posegen.io.images import titled_grid, write_picture
from posegen.io.storage import StorageFolder
from posegen.metrics.statistics import PairedTest, paired_bootstrap

REPORT_EXPERIMENT = "posegen-report"
_PAPER_METRICS = ("ms_ssim_masked", "lpips_masked")
_COLUMNS = ("ms_ssim", "ssim", "st_lpips", "lpips", "flicker")
"""Metrics of the table; its JSON has all that were measured."""
_STRIP = 8  # frames in a comparison picture


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Runs and files of a report."""

    runs: str = "runs"
    """Folder of the compared runs, each named after its method; missing ones are trained."""
    out: Path | None = None
    """Folder for tables, figures and videos; by default RUNS/report."""
    preset: Literal["paper", "medium", "small", "tiny"] = "paper"
    """Preset of every stage that is trained for the report."""
    workers: int = 1
    """Training processes of each run; 0 trains in this process."""
    parallel: int = 0
    """Runs that are trained side by side; 0 takes one for every GPU, or for every CPU where there is none."""
    cpus: int = 0
    """CPUs of each worker; 0 divides those of the cluster among the workers."""
    gpus: float = 0.0
    """GPUs of each worker; 0 takes one each where the cluster has so many now. A cluster that starts machines for work
    that waits has none at first: say 1 there, with --cpus and --parallel."""

    def __post_init__(self) -> None:
        if self.out is None and "://" in self.runs:
            raise ConfigError(f"got runs in {self.runs} and no out, expected --out: a local folder for the report")

    @property
    def folder(self) -> Path:
        """The folder of the report."""
        return self.out or Path(self.runs) / "report"


@dataclass(frozen=True, kw_only=True)
class Table1Settings(ReportSettings):
    """Methods, clips and metrics of Table 1."""

    methods: tuple[MethodName, ...] = ("deformable_gan", "end_to_end", "no_restoration", "proposed")
    """Methods to compare; `no_augmentation` is another one."""
    split: Split = "test"
    """Clips to reconstruct from their first frame."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips", "lpips")
    """Perceptual distances; those whose weights are not available are left out, with a note."""
    max_clips: int = 0
    """Clips to measure at most; 0 measures all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.methods:
            raise ConfigError(f"got no methods, expected some of {', '.join(METHODS)}")


@dataclass(frozen=True)
class Table1:
    """Scores of the methods on the same clips (Section 4.3)."""

    dataset: str
    split: str
    size: tuple[int, int]
    mask: str
    """Backend of the true masks."""
    num_clips: int
    num_frames: int
    runs: dict[MethodName, str]
    scores: dict[MethodName, dict[str, Score]]
    """Mean over clips by method and metric."""
    tests: dict[MethodName, dict[str, PairedTest]]
    """Paired tests of the proposed method less another one, clip by clip."""
    clips: dict[str, dict[MethodName, dict[str, float]]]
    """Scores of single clips, by clip and method."""
    weights: dict[str, str]
    """sha256 of the weights behind each perceptual metric."""
    left_out: dict[str, str]
    """Metrics that were not measured, with the reason."""

    @property
    def metrics(self) -> list[str]:
        """Names of the measured metrics of the table, masked ones first as in the paper."""
        measured = next(iter(self.scores.values()))
        return [name + kind for kind in ("_masked", "") for name in _COLUMNS if name + kind in measured]

    @property
    def protocol(self) -> list[str]:
        """Settings that the scores depend on, in sentences."""
        height, width = self.size
        lines = [
            f"{counted(self.num_clips, 'clip')} of the {self.split} split of {self.dataset}, frames "
            f"of {height}×{width}.",
            f"Each clip is rendered from its first frame in its own colours; the other "
            f"{counted(self.num_frames, 'frame')} count.",
            f"Masked: both images are black outside the real frame's person mask (backend {self.mask}), which raises "
            "all scores (Section 4.3).",
            "Mean over frames, then over clips; in brackets the 95 % bootstrap interval over clips.",
            "p: paired bootstrap over clips.",
            "Flicker: mean difference in [0, 1] from the frame before, moved as the poses say (warping error).",
        ]
        if "ssim" in self.metrics:
            lines.append("SSIM stands for MS-SSIM, whose five scales need 161 pixels; the two are not comparable.")
        if "st_lpips" in self.metrics:
            lines.append("ST-LPIPS is a distance of its own, made tolerant of small shifts; it is not LPIPS.")
        lines += [f"{metric_info(name).title}: weights with sha256 {sha}." for name, sha in self.weights.items()]
        lines += [f"{name} was not measured: {reason}" for name, reason in self.left_out.items()]
        lines += [self._elsewhere(name) for name in _PAPER_METRICS if name not in self.metrics]
        return lines

    def _elsewhere(self, metric: str) -> str:
        """The paper's results in a metric that has no column here."""
        info = metric_info(metric)
        figures = ", ".join(f"{METHODS[method].title} {info.format(values[metric])}" for method, values in _paper())
        return f"{metric_title(metric)} (paper, other data): {figures}."


def table1(
    dataset: str,
    settings: Table1Settings,
    *,
    listener: ProgressListener | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Table1:
    """Train missing methods, measure all of them on the same clips, and write the results.

    Writes to the settings' folder ``table1.json`` with every clip's scores, ``table1.md``, and ``clips/CLIP_ID.png``:
    eight frames of the clip, and below them each method's.

    Args:
        dataset: Folder of a clip dataset with all its colours.
        settings: What is compared.
        listener: Called with the progress of training.
        on_progress: Called with the number of clips that are measured and the number of all.

    Raises:
        PosegenError: As `train`, or the split has no clips.
    """
    data = ClipDataset(dataset)
    clips = data.split(settings.split)[: settings.max_clips or None]
    with recorded_report("table1", settings.folder, settings) as log:
        runs = ensure_methods(dataset, settings, settings.methods, listener=listener, parent=log)
        renderers: dict[MethodName, VideoRenderer] = {method: load_renderer(run) for method, run in runs.items()}
        device = renderers[settings.methods[0]].device
        measures, weights, left_out = open_measures(settings.perceptual, data.info.size, device)
        scores = {}
        for done, file in enumerate(clips):
            on_progress(done, len(clips))
            scores[file.clip_id], rows = _compare(renderers, file, measures)
            write_picture(settings.folder / "clips" / f"{file.clip_id}.png", titled_grid(rows, ["real", *renderers]))
        on_progress(len(clips), len(clips))
        # A score is missing because of the clip, for all methods alike, so the methods' lists stay paired.
        by_method = {method: gather(of_clip[method] for of_clip in scores.values()) for method in runs}
        table = Table1(
            dataset=str(data.folder),
            split=settings.split,
            size=data.info.size,
            mask=data.info.backends["mask"]["name"],
            num_clips=len(clips),
            num_frames=sum(len(file.keypoints) - 1 for file in clips),
            runs={method: str(run) for method, run in runs.items()},
            scores={
                method: {name: Score.of_clips(of_clips) for name, of_clips in values.items()}
                for method, values in by_method.items()
            },
            tests=_compare_with_proposed(by_method),
            clips=scores,
            weights=weights,
            left_out=left_out,
        )
        _file(table, settings.folder, log)
    return table


@contextmanager
def recorded_report(name: str, out: Path, settings: Any) -> Iterator[RunLog]:
    """Record a report as a run of its own, in the folder ``OUT/NAME``, which ends as what is done in it."""
    log = RunLog(StorageFolder(out / name))
    log.open(experiment=REPORT_EXPERIMENT, parameters=asdict(settings))
    sync_pending()
    sync(log.folder)  # before the runs that are filed under it
    try:
        yield log
    except BaseException as error:
        log.finish(error)
        raise
    else:
        log.finish()
    finally:
        settle(log.folder)


def ensure_methods(
    dataset: str,
    settings: ReportSettings,
    methods: Sequence[MethodName],
    *,
    listener: ProgressListener | None = None,
    parent: RunLog | None = None,
) -> dict[MethodName, StorageFolder]:
    """Return the runs of these methods, and train those that are missing."""
    parallel, cpus = _share_machine(settings)
    how = TrainSettings(
        runs=settings.runs,
        workers=settings.workers,
        cpus=cpus,
        gpus=settings.gpus,
        experiment=REPORT_EXPERIMENT,
        loader_processes=0,
    )
    runs = recipe(methods)

    def make(name: str, places: Mapping[str, str]) -> str:
        config = runs[name].with_runs(runs[name].config(settings.preset), places)
        own = replace(how, name=name)
        return str(train(config, dataset, own, listener=listener, recording=Recording(parent=parent)))

    places = make_runs(runs, make, parallel=parallel)
    return {method: StorageFolder(places[method]) for method in methods}


def _share_machine(settings: ReportSettings) -> tuple[int, int]:
    """Return how many runs train side by side, and the CPUs of each of their workers."""
    if settings.workers == 0:
        return 1, settings.cpus  # random numbers of one process are one sequence
    from orchestration.runtime.ray_session import start_ray

    start_ray()
    import ray

    cluster = ray.cluster_resources()
    cpus, gpus = int(cluster.get("CPU", 1)), int(cluster.get("GPU", 0))
    parallel = settings.parallel or max((gpus or cpus) // settings.workers, 1)
    return parallel, settings.cpus or max(cpus // (parallel * settings.workers), 1)


def _compare(
    renderers: Mapping[MethodName, VideoRenderer], file: ClipFile, measures: Mapping[str, Measure]
) -> tuple[dict[MethodName, dict[str, float]], list[list[np.ndarray]]]:
    """Score each method on a clip. Returns the scores, and the rows of the comparison picture."""
    scores: dict[MethodName, dict[str, float]] = {}
    rows: list[list[np.ndarray]] = []
    for method, renderer in renderers.items():
        score, clip, generated = score_clip(renderer, file, measures, [name for name in measures if name in PERCEPTUAL])
        shown = np.linspace(0, len(clip) - 1, _STRIP).round().astype(int)
        scores[method] = score.means
        rows = rows or [[clip.images[row] for row in shown]]
        rows.append([generated[row] for row in shown])
    return scores, rows


def _compare_with_proposed(
    values: Mapping[MethodName, Mapping[str, list[float]]],
) -> dict[MethodName, dict[str, PairedTest]]:
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
    """Return the cells of the table, the heads first."""
    heads = ["method", *[metric_title(name) for name in table.metrics]]
    rows = []
    for method, scores in table.scores.items():
        rows.append([METHODS[method].title, *[_cell(scores[name], metric_info(name)) for name in table.metrics]])
    for method, figures in _paper():
        cells = [metric_info(name).format(figures[name]) if name in figures else "" for name in table.metrics]
        if any(cells):
            rows.append([f"{METHODS[method].title} (paper, other data)", *cells])
    for method, tests in table.tests.items():
        rows.append([f"Proposed − {METHODS[method].title}", *[_difference(tests, name) for name in table.metrics]])
    return [heads, *rows]


def metric_title(name: str) -> str:
    """Return the title of a metric, with the arrow to the better side."""
    info = metric_info(name)
    return f"{info.title} {info.arrow}".rstrip()


def _paper() -> list[tuple[MethodName, dict[str, float]]]:
    """The paper's own results by method, in the paper's order."""
    methods = sorted(METHODS.keys() & TABLE1_RESULTS.keys(), key=list(TABLE1_RESULTS).index)
    return [(method, TABLE1_RESULTS[method]) for method in methods]


def _cell(score: Score, info: MetricInfo) -> str:
    interval = f" [{', '.join(map(info.format, score.interval))}]" if score.interval else ""
    return info.format(score.mean) + interval


def _difference(tests: Mapping[str, PairedTest], name: str) -> str:
    if name not in tests:
        return ""
    test = tests[name]
    return f"{test.mean_difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}], p = {test.p_value:.2g}"


def _markdown(table: Table1) -> str:
    heads, *rows = table_rows(table)
    lines = [" | ".join(cells) for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([*(f"| {line} |" for line in lines), "", *[f"- {line}" for line in table.protocol], ""])


def _file(table: Table1, out: Path, log: RunLog) -> None:
    """Write the table, and log it."""
    files = {"table1.json": json.dumps(asdict(table), indent=2), "table1.md": _markdown(table)}
    for name, content in files.items():
        (out / name).write_text(content)
        log.log_file(out / name)
    for clip_id in table.clips:
        log.log_file(out / "clips" / f"{clip_id}.png", "clips")
    means = {
        f"test/{method}/{name}": score.mean for method, scores in table.scores.items() for name, score in scores.items()
    }
    log.log_metrics(means, step=0, group="test")
