"""``posegen evaluate --pipeline photo``: the protocol of photos that are shown in motion without training.

A report, as Table 1 is: no run is measured, but methods on the same clips and photos.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from orchestration.data.parsing import ParsingSettings, convert_photos
from orchestration.evaluation.records import Score
from orchestration.evaluation.video import Perceptual, open_measures
from orchestration.option_types import FrameSize
from orchestration.reports.photo_tables import DIGITS, OURS, RAISED, photo_folder, to_markdown
from orchestration.reports.real_videos import RealVideo, find_real_videos
from orchestration.reports.table1 import recorded_report
from orchestration.tracking.run_log import RunLog
from posegen.datasets.parsing import PARSING_MANIFEST, ParsingDataset
from posegen.errors import ConfigError, PosegenError, VideoError, first_line
from posegen.evaluation import photo_look, photo_motion, photo_protocol
from posegen.evaluation.parsing import count_photos, score_parsing
from posegen.evaluation.photo_motion import (
    ABLATIONS,
    BEFORE,
    RealClip,
    layer_frames,
    read_real_clip,
    score_motion,
    side_by_side,
)
from posegen.evaluation.photo_pipeline import PhotoPipeline, PipelinePart
from posegen.evaluation.photo_protocol import PhotoScores, protocol_motions, score_photo
from posegen.evaluation.pose_transfer_clips import transfer_frames
from posegen.evaluation.reconstruction import Measure
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.refined_person import load_refiner
from posegen.inference.renderers import load_renderer
from posegen.io.images import write_picture
from posegen.io.output_files import require_no_input
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_image
from posegen.metrics.person import WRONG
from posegen.metrics.statistics import PairedTest, paired_bootstrap
from posegen.motion.motion import Motion
from posegen.networks.device import default_device
from posegen.parallel import map_in_processes, num_processes

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_SECONDS_EACH = 8.0  # of a photo, to show and measure it
_SECONDS_OF_METHOD = 6.0  # of a clip, to show and measure it by one method


@dataclass(frozen=True, kw_only=True)
class PhotoEvaluateSettings:
    """Settings of the evaluation and the folder of the report."""

    photos: Path | None = None
    """Folder of photos that are shown in motion and in colours."""
    out: Path = Path("photo-evaluation")
    """Folder for tables and pictures."""
    size: FrameSize = (384, 256)
    """HEIGHTxWIDTH at which photos are shown."""
    clip_size: FrameSize = (256, 256)
    """HEIGHTxWIDTH at which clips are measured; others are cropped around the person."""
    deformable_gan: str = ""
    """Run of a stage that renders without colour codes, to compare with on the clips."""
    labels: str = ""
    """Labelled photos, on whose held-out ones masks are measured: a dataset of `posegen data parsing`, or a folder with
    photos/ID.jpg, labels/ID.png and classes.txt, of which one is made below --out."""
    refiner: str = ""
    """Run of the stage refiner that corrects the frames of the pipeline."""
    without: tuple[PipelinePart, ...] = ()
    """Measure also the pipeline without the person parser, with garments by the heuristic, or without its refiner."""
    ablations: bool = False
    """Measure also what is given more than the first frame: the clip's background, or several of its frames."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips",)
    """Perceptual distances; those whose weights are not available are left out, with a note."""
    max_photos: int = 0
    """Photos at most, spread evenly over the folder; 0 measures all."""

    def __post_init__(self) -> None:
        if "refiner" in self.without and not self.refiner:
            raise ConfigError("--without refiner leaves out the run of --refiner, which is missing")

    def pipelines(self) -> dict[str, PhotoPipeline]:
        """Load the pipeline, and those without single parts, by the names of their rows."""
        whole = PhotoPipeline(refiner=load_refiner(self.refiner) if self.refiner else None)
        return {OURS: whole} | {f"{OURS} without {part}": whole.without(part) for part in self.without}


@dataclass(frozen=True)
class ProtocolRow:
    """A line of the protocol's table."""

    what: str
    metric: str
    score: Score
    count: int
    """Clips or photos behind it."""
    today: str
    """The figure that came before."""
    goal: float
    direction: Literal["up", "down"]
    method: str = OURS
    """Evaluated method: the pipeline, or the pipeline with fewer or more parts."""

    @property
    def reached(self) -> bool:
        """True if the mean reaches the target."""
        return self.score.mean >= self.goal if self.direction == "up" else self.score.mean <= self.goal


@dataclass(frozen=True)
class PhotoEvaluation:
    """The tables of the protocol."""

    protocol: dict[str, Any]
    """Settings and constants that the figures depend on."""
    protocol_hash: str
    data_fingerprint: str
    rows: list[ProtocolRow]
    motion: dict[str, dict[str, dict[str, float]]]
    """Means over the frames, by clip, method and metric."""
    tests: dict[str, dict[str, dict[str, PairedTest]]]
    """Tests of the layers minus another method over the clip's frames, by clip, other method and metric."""
    photos: dict[str, list[PhotoScores]]
    """Scores of the photos, by method."""
    left_out: dict[str, str] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    """Files in folders of clips that are no videos, counted in one line each."""

    @property
    def notes(self) -> list[str]:
        """Remarks on the figures, in sentences."""
        left_out = [f"{name} was not measured: {reason}" for name, reason in self.left_out.items()]
        return [
            f"protocol {self.protocol_hash}, data {self.data_fingerprint}",
            "95 % bootstrap intervals over clips or photos; p values of a clip are over its frames, which are spread "
            "over the clip",
            f"wrong pixels differ by more than ΔE2000 {WRONG:g}; those outside are seen by the photo's camera",
            *left_out,
            *self.passed_over,
        ]


def evaluate_photos(
    clips: Sequence[Path],
    settings: PhotoEvaluateSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> PhotoEvaluation:
    """Measure the photo pipeline on real clips and on photos, and write ``photo.json``, ``photo.md`` and pictures.

    Args:
        clips: Videos of one person each, and folders of them, see `find_real_videos`.
        settings: What is measured.
        on_progress: Called with the number of clips and photos that are done and the number of all.

    Raises:
        ConfigError: There is nothing to measure, or a clip is missing. Nothing is written then.
        DatasetError: A folder has no videos. Nothing is written then.
        PosegenError: None of the clips can be read and shows somebody. The report is recorded as failed.
    """
    files = _photo_files(settings)
    if not clips and not files and not settings.labels:
        raise ConfigError("nothing to measure, expected clips, --photos FOLDER or --labels FOLDER")
    found = find_real_videos(clips)
    if settings.out.exists() and not settings.out.is_dir():
        raise ConfigError(f"{settings.out} is a file, expected a folder for the report")
    pipelines = settings.pipelines()
    pictures = [_picture(settings, photo_folder(method), path.stem) for method in pipelines for path in files]
    pictures += [_picture(settings, "clips", clip.name) for clip in found.clips]
    clip_files = [file for clip in found.clips for file in clip.files]
    require_no_input(pictures, clip_files, files)
    labelled = _open_labels(settings)
    left_out = dict(found.rejected)
    num_labelled = len(labelled.split("test")) if labelled else 0
    count = _Count(on_progress, len(found.clips) + len(pipelines) * (len(files) + num_labelled))
    with recorded_report("photo", settings.out, settings) as log:
        left_out |= _open_methods(settings).left_out
        measured = _measure_clips(found.clips, settings, left_out, count)
        rows, photos = _motion_rows(measured), {}
        for method, pipeline in pipelines.items():
            photos[method] = _score_photos(files, settings, (method, pipeline), left_out, count)
            rows += _photo_rows(method, photos[method])
            if labelled:
                counts = count_photos(labelled, "test", pipeline.labelled_parser(), lambda _: count.add())
                rows += _mask_rows(method, counts)
        protocol = _protocol(settings)
        labels = [labelled.fingerprint.encode()] if labelled else []
        evaluation = PhotoEvaluation(
            protocol=protocol,
            protocol_hash=_digest(json.dumps(protocol, sort_keys=True).encode()),
            data_fingerprint=_digest(*(path.read_bytes() for path in [*clip_files, *files]), *labels),
            rows=sorted(rows, key=lambda row: _WHATS.index(row.what)),
            motion={clip.name: clip.means for clip in measured},
            tests={clip.name: clip.tests for clip in measured},
            photos=photos,
            left_out=left_out,
            passed_over=found.notes,
        )
        _file(evaluation, settings.out, log)
    return evaluation


class _Count:
    """Tells how many of all things are done."""

    def __init__(self, on_progress: Callable[[int, int], None], total: int):
        self._on_progress, self._done, self._total = on_progress, 0, total
        on_progress(0, total)

    def add(self) -> None:
        """Another one is done."""
        self._done += 1
        self._on_progress(self._done, self._total)


def _score_photos(
    files: Sequence[Path],
    settings: PhotoEvaluateSettings,
    pipeline: tuple[str, PhotoPipeline],
    left_out: dict[str, str],
    count: _Count,
) -> list[PhotoScores]:
    """Measure a pipeline, by its name, on photos, and write their pictures; what cannot be shown is left out."""
    photos = []
    work = partial(_try_photo, size=settings.size, motions=protocol_motions(), pipeline=pipeline[1])
    scored = map_in_processes(work, files, num_processes(len(files), _SECONDS_EACH))
    for path, found in zip(files, scored, strict=True):
        if isinstance(found, str):
            left_out[path.name] = found
        else:
            photos.append(found[0])
            write_picture(_picture(settings, photo_folder(pipeline[0]), path.stem), found[1])
        count.add()
    return photos


def _try_photo(
    path: Path, size: tuple[int, int], motions: Mapping[str, Motion], pipeline: PhotoPipeline
) -> tuple[PhotoScores, np.ndarray] | str:
    """Measure a pipeline on a photo, see `score_photo`; or say why it cannot be shown."""
    try:
        return score_photo(path.stem, read_image(path, size=None).images[0], size, motions, pipeline)
    except PosegenError as error:
        return first_line(error)


def _open_labels(settings: PhotoEvaluateSettings) -> ParsingDataset | None:
    """The labelled photos, which are converted where they are no dataset yet."""
    if not settings.labels:
        return None
    folder = StorageFolder(settings.labels)
    if not folder.exists(PARSING_MANIFEST):
        out = str(settings.out / "labelled")
        folder = convert_photos(Path(settings.labels), out, ParsingSettings(workers=0)).folder
    dataset = ParsingDataset(folder)
    dataset.split("test")  # or a DatasetError
    return dataset


class _Methods(NamedTuple):
    """Methods and measures of clips."""

    measures: dict[str, Measure]
    render: dict[str, Callable[[RealClip], np.ndarray]]
    """Frames of a clip by each method, those that came before first."""
    left_out: dict[str, str]


@lru_cache(maxsize=1)
def _open_methods(settings: PhotoEvaluateSettings) -> _Methods:
    """Open methods and measures, which a process keeps for all clips."""
    measures, _, left_out = open_measures(settings.perceptual, settings.clip_size, default_device())
    render = dict(BEFORE)
    render |= {name: partial(layer_frames, pipeline=pipeline) for name, pipeline in settings.pipelines().items()}
    render |= ABLATIONS if settings.ablations else {}
    if settings.deformable_gan:
        render["Deformable GAN"] = partial(transfer_frames, load_renderer(settings.deformable_gan, PoseTransfer))
    return _Methods(measures, render, left_out)


class _MeasuredClip(NamedTuple):
    """Scores of all methods on a clip."""

    name: str
    means: dict[str, dict[str, float]]
    """Means over the frames, by method and metric."""
    tests: dict[str, dict[str, PairedTest]]
    """Tests of the layers minus another method, by that method and metric."""
    picture: np.ndarray
    """Frames of all methods, (H, W, 3) uint8."""


def _try_clip(given: RealVideo, settings: PhotoEvaluateSettings) -> _MeasuredClip | str:
    """Measure all methods on a clip, or say why it cannot be measured."""
    try:
        return _measure_clip(given, settings)
    except PosegenError as error:
        return first_line(error)


def _measure_clip(given: RealVideo, settings: PhotoEvaluateSettings) -> _MeasuredClip:
    methods = _open_methods(settings)
    clip = replace(read_real_clip(given.path, settings.clip_size), name=given.name)
    frames = {name: render(clip) for name, render in methods.render.items()}
    scores = {name: score_motion(clip, of_method, methods.measures) for name, of_method in frames.items()}
    means = {
        name: {metric: _mean(values) for metric, values in of_method.items()} for name, of_method in scores.items()
    }
    tests = {
        name: {metric: _test(scores[OURS][metric], values) for metric, values in of_method.items()}
        for name, of_method in scores.items()
        if name != OURS
    }
    return _MeasuredClip(clip.name, means, tests, side_by_side(clip, frames))


def _measure_clips(
    clips: Sequence[RealVideo], settings: PhotoEvaluateSettings, left_out: dict[str, str], count: _Count
) -> list[_MeasuredClip]:
    """Measure clips, on CPUs in a process each, and write their pictures; some may be left out, but not all."""
    of_clip = _SECONDS_OF_METHOD * len(_open_methods(settings).render)
    processes = num_processes(len(clips), of_clip) if default_device().type == "cpu" else 0
    measured, reason = [], ""
    for clip, found in zip(
        clips, map_in_processes(partial(_try_clip, settings=settings), clips, processes), strict=True
    ):
        if isinstance(found, str):
            left_out[clip.name] = reason = found
        else:
            write_picture(_picture(settings, "clips", clip.name), found.picture)
            measured.append(found)
        count.add()
    if reason and not measured:
        raise VideoError(f"none of the clips can be measured: {reason}" if len(clips) > 1 else reason)
    return measured


def _motion_rows(measured: Sequence[_MeasuredClip]) -> list[ProtocolRow]:
    """Each method's means over clips; to reach is the best of what came before."""
    found = []
    names = list(measured[0].means) if measured else []
    for metric in measured[0].means[OURS] if measured else ():
        by_method = {name: [clip.means[name][metric] for clip in measured] for name in names}
        direction: Literal["up", "down"] = "up" if metric in RAISED else "down"
        before = {name: float(np.mean(by_method.pop(name))) for name in BEFORE}
        best = max(before.values()) if direction == "up" else min(before.values())
        today = " / ".join(f"{value:.{DIGITS}f}" for value in before.values())
        for name, values in by_method.items():
            score = Score.of_clips(values)
            found.append(ProtocolRow("motion on clips", metric, score, len(values), today, best, direction, name))
    return found


def _mean(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(values))


def _test(a: np.ndarray, b: np.ndarray) -> PairedTest:
    both = np.isfinite(a) & np.isfinite(b)
    return paired_bootstrap(a[both], b[both])


_WHATS = ("masks", "own look kept", "colour", "leak", "motion on clips", "pose", "whole person", "time")
"""Measured quantities, in the order of the table."""
_PHOTO_ROWS: tuple[tuple[str, str, str, float, Literal["up", "down"]], ...] = (
    ("own look kept", "look_garments", "11", 1.0, "down"),
    ("own look kept", "look_hair", "", 1.0, "down"),
    ("own look kept", "look_skin", "", 1.0, "down"),
    ("leak", "leak", "", 0.01, "down"),
    ("pose", "pck", "", 0.95, "up"),
    ("whole person", "ghosts", "", 0.005, "down"),
    ("whole person", "smears", "", 0.05, "down"),
    ("whole person", "whole_limbs", "", 0.98, "up"),
    ("time", "speed", "4", 10.0, "up"),
    ("time", "preview", "", 0.5, "down"),
)
"""Rows of the table: quantity, name, previous figure, target, and direction."""


def _photo_rows(method: str, photos: Sequence[PhotoScores]) -> list[ProtocolRow]:
    rows = []
    for what, name, today, goal, direction in _PHOTO_ROWS:
        values = [photo.scores[name] for photo in photos if np.isfinite(photo.scores.get(name, np.nan))]
        if values:
            rows.append(ProtocolRow(what, name, Score.of_clips(values), len(values), today, goal, direction, method))
    for garment in ("upper", "lower"):
        of_photos = [
            [x for name, values in photo.color_distances.items() if name.startswith(garment) for x in values]
            for photo in photos
        ]
        of_photos = [values for values in of_photos if values]
        if of_photos:
            every = ("color_median", 50, "25–50 for black and white", 1.5), ("color_p95", 95, "", 3.0)
            for name, percentile, today, goal in every:
                score = Score.of_clips([float(np.percentile(values, percentile)) for values in of_photos])
                metric, count = f"{name}_{garment}", len(of_photos)
                rows.append(ProtocolRow("colour", metric, score, count, today, goal, "down", method))
    return rows


_MASK_ROWS: tuple[tuple[str, str, str, float, Literal["up", "down"]], ...] = (
    ("upper", "iou_upper", ".723", 0.85, "up"),
    ("lower", "iou_lower", ".654", 0.80, "up"),
    ("painted", "painted", "7.8 %", 0.02, "down"),
)
"""Figure of `score_parsing`, name, the figure that came before, what is to be reached, and which way."""


def _mask_rows(method: str, counts: np.ndarray) -> list[ProtocolRow]:
    """Rows of the agreement with labels, by counts (M, 8, 8) of photos; pixels of all photos are pooled."""
    rows, scores = [], score_parsing(counts)
    for figure, name, today, goal, direction in _MASK_ROWS:
        found = scores[figure]
        score = Score(found.value, (found.low, found.high))
        rows.append(ProtocolRow("masks", name, score, len(counts), today, goal, direction, method))
    return rows


def _picture(settings: PhotoEvaluateSettings, folder: str, name: str) -> Path:
    """Return where the picture of a clip or photo is written."""
    return settings.out / folder / f"{name}.png"


def _photo_files(settings: PhotoEvaluateSettings) -> list[Path]:
    if settings.photos is None:
        return []
    files = sorted(path for path in settings.photos.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not files:
        raise ConfigError(f"{settings.photos} has no photos, expected files that end in {', '.join(PHOTO_SUFFIXES)}")
    if settings.max_photos and len(files) > settings.max_photos:
        rows = np.linspace(0, len(files) - 1, settings.max_photos).round().astype(int)
        files = [files[row] for row in rows]
    return files


def _protocol(settings: PhotoEvaluateSettings) -> dict[str, Any]:
    """Return the settings that figures depend on, beside the photos and clips."""
    return {
        "size": list(settings.size),
        "clip_size": list(settings.clip_size),
        "frames_of_clip": photo_motion.FRAMES,
        "margin": photo_motion.MARGIN,
        "wrong": WRONG,
        "actions": list(photo_protocol.PHOTO_ACTIONS),
        "frames_of_action": photo_protocol.PHOTO_FRAMES,
        "colors": list(photo_look.COLORS),
        "changed": photo_look.CHANGED,
        "whole_limb": photo_look.WHOLE_LIMB,
        "version": 2,  # since surfaces are found to the pixel
    }


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()[:16]


# ---- Files


def _file(evaluation: PhotoEvaluation, out: Path, log: RunLog) -> None:
    """Write the report, and log it."""
    files = {"photo.json": json.dumps(asdict(evaluation), indent=2), "photo.md": to_markdown(evaluation)}
    for name, content in files.items():
        (out / name).write_text(content)
        log.log_file(out / name)
    for folder in ("clips", *map(photo_folder, evaluation.photos)):
        for picture in sorted((out / folder).glob("*.png")):
            log.log_file(picture, folder)
    ours = [row for row in evaluation.rows if row.method == OURS]
    means = {f"test/{row.metric}": row.score.mean for row in ours}
    ends = {
        f"test/{row.metric}.{end}": x
        for row in ours
        if row.score.interval
        for end, x in zip(("low", "high"), row.score.interval, strict=True)
    }
    log.log_metrics(means | ends, step=0, group="test")
