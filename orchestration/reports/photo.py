"""``posegen evaluate --pipeline photo``: the protocol of photos that are shown in motion without training.

A report, as Table 1 is: no run is measured, but methods on the same clips and photos.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from orchestration.evaluation.records import Score
from orchestration.evaluation.video import Perceptual, open_measures
from orchestration.option_types import FrameSize
from orchestration.output_files import require_no_input
from orchestration.reports.table1 import recorded_report
from orchestration.tracking.run_log import RunLog
from posegen.errors import ConfigError, PosegenError, first_line
from posegen.evaluation import photo_look, photo_motion, photo_protocol
from posegen.evaluation.photo_motion import (
    ABLATIONS,
    MOTION_METHODS,
    RealClip,
    read_real_clip,
    score_motion,
    side_by_side,
)
from posegen.evaluation.photo_protocol import PhotoScores, protocol_motions, score_photo
from posegen.evaluation.pose_transfer_clips import transfer_frames
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image
from posegen.metrics.person import WRONG
from posegen.metrics.statistics import PairedTest, paired_bootstrap
from posegen.networks.device import default_device

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_OURS = "layers"
_UP = {"ms_ssim", "ssim"}
_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class PhotoEvaluateSettings:
    """What is measured, and where the report is written."""

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
    ablations: bool = False
    """Measure also what is given more than the first frame: the clip's background, or several of its frames."""
    perceptual: tuple[Perceptual, ...] = ("st_lpips",)
    """Perceptual distances; those whose weights are not available are left out, with a note."""
    max_photos: int = 0
    """Photos at most, spread evenly over the folder; 0 measures all."""


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

    @property
    def reached(self) -> bool:
        """Whether the mean is as good as it is to be."""
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
    """By clip, method and metric: means over the frames."""
    tests: dict[str, dict[str, dict[str, PairedTest]]]
    """By clip, other method and metric: the layers minus that method, over the clip's frames."""
    photos: list[PhotoScores]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What to know about the figures, in sentences."""
        left_out = [f"{name} was not measured: {reason}" for name, reason in self.left_out.items()]
        return [
            f"protocol {self.protocol_hash}, data {self.data_fingerprint}",
            "95 % bootstrap intervals over clips or photos; p values of a clip are over its frames, which are spread "
            "over the clip",
            f"wrong pixels differ by more than ΔE2000 {WRONG:g}; those outside are seen by the photo's camera",
            *left_out,
        ]


def evaluate_photos(
    clips: Sequence[Path],
    settings: PhotoEvaluateSettings,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> PhotoEvaluation:
    """Measure the photo pipeline on real clips and on photos, and write ``photo.json``, ``photo.md`` and pictures.

    Args:
        clips: Videos of one person each.
        settings: What is measured.
        on_progress: Called with the number of clips and photos that are done and the number of all.

    Raises:
        ConfigError: There is nothing to measure, or a clip is missing. Nothing is written then.
        PosegenError: A clip cannot be read or shows nobody. The report is recorded as failed.
    """
    files = _photo_files(settings)
    if not clips and not files:
        raise ConfigError("nothing to measure, expected clips, or --photos FOLDER")
    for path in clips:
        if not path.is_file():
            raise ConfigError(f"{path}: no such clip")
    if settings.out.exists() and not settings.out.is_dir():
        raise ConfigError(f"{settings.out} is a file, expected a folder for the report")
    pictures = [settings.out / "photos" / f"{path.stem}.png" for path in files]
    pictures += [settings.out / "clips" / f"{path.stem}.png" for path in clips]
    require_no_input(pictures, clips, files)
    total = len(clips) + len(files)
    left_out: dict[str, str] = {}
    with recorded_report("photo", settings.out, settings) as log:
        motion = _Motion(settings, left_out)
        for done, path in enumerate(clips):
            on_progress(done, total)
            motion.add(path)
        photos = []
        motions = protocol_motions()
        for done, path in enumerate(files, start=len(clips)):
            on_progress(done, total)
            try:
                image = read_image(path, size=None).images[0]
                scores, picture = score_photo(path.stem, image, settings.size, motions)
            except PosegenError as error:
                left_out[path.name] = first_line(error)
                continue
            photos.append(scores)
            write_picture(settings.out / "photos" / f"{path.stem}.png", picture)
        on_progress(total, total)
        protocol = _protocol(settings)
        evaluation = PhotoEvaluation(
            protocol=protocol,
            protocol_hash=_digest(json.dumps(protocol, sort_keys=True).encode()),
            data_fingerprint=_digest(*(path.read_bytes() for path in [*clips, *files])),
            rows=[*motion.rows(), *_photo_rows(photos)],
            motion=motion.means,
            tests=motion.tests,
            photos=photos,
            left_out=left_out,
        )
        _file(evaluation, settings.out, log)
    return evaluation


class _Motion:
    """Scores of all methods on the clips."""

    def __init__(self, settings: PhotoEvaluateSettings, left_out: dict[str, str]):
        self._settings = settings
        self._measures, _, missing = open_measures(settings.perceptual, settings.clip_size, default_device())
        left_out |= missing
        self._methods = dict(MOTION_METHODS) | (dict(ABLATIONS) if settings.ablations else {})
        if settings.deformable_gan:
            renderer = load_renderer(settings.deformable_gan, PoseTransfer)
            self._methods["Deformable GAN"] = lambda clip: transfer_frames(renderer, clip)
        self.means: dict[str, dict[str, dict[str, float]]] = {}
        self.tests: dict[str, dict[str, dict[str, PairedTest]]] = {}

    def add(self, path: Path) -> None:
        """Measure a clip."""
        clip = read_real_clip(path, self._settings.clip_size)
        frames = {name: render(clip) for name, render in self._methods.items()}
        scores = {name: score_motion(clip, of_method, self._measures) for name, of_method in frames.items()}
        self.means[clip.name] = {
            name: {metric: _mean(values) for metric, values in of_method.items()} for name, of_method in scores.items()
        }
        self.tests[clip.name] = {
            name: {metric: _test(scores[_OURS][metric], values) for metric, values in of_method.items()}
            for name, of_method in scores.items()
            if name != _OURS
        }
        self._draw(clip, frames)

    def _draw(self, clip: RealClip, frames: Mapping[str, np.ndarray]) -> None:
        write_picture(self._settings.out / "clips" / f"{clip.name}.png", side_by_side(clip, frames))

    def rows(self) -> list[ProtocolRow]:
        """The layers' means over clips; to reach are the best of the methods that are shown the first frame alone."""
        found = []
        for metric in next(iter(self.means.values()), {}).get(_OURS, {}):
            by_method = {name: [of_clip[name][metric] for of_clip in self.means.values()] for name in self._methods}
            direction: Literal["up", "down"] = "up" if metric in _UP else "down"
            others = {name: float(np.mean(x)) for name, x in by_method.items() if name in ("copy", "parts")}
            best = max(others.values()) if direction == "up" else min(others.values())
            today = " / ".join(f"{others[name]:.{_DIGITS}f}" for name in ("copy", "parts"))
            score = Score.of_clips(by_method[_OURS])
            found.append(ProtocolRow("motion on clips", metric, score, len(self.means), today, best, direction))
        return found


def _mean(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(values))


def _test(a: np.ndarray, b: np.ndarray) -> PairedTest:
    both = np.isfinite(a) & np.isfinite(b)
    return paired_bootstrap(a[both], b[both])


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
"""What, name, the figure that came before, what is to be reached, and which way."""


def _photo_rows(photos: Sequence[PhotoScores]) -> list[ProtocolRow]:
    rows = []
    for what, name, today, goal, direction in _PHOTO_ROWS:
        values = [photo.scores[name] for photo in photos if np.isfinite(photo.scores.get(name, np.nan))]
        if values:
            rows.append(ProtocolRow(what, name, Score.of_clips(values), len(values), today, goal, direction))
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
                rows.append(ProtocolRow("colour", f"{name}_{garment}", score, len(of_photos), today, goal, "down"))
    return rows


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
    """What figures depend on, beside the photos and clips."""
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
        "version": 1,
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
    for folder in ("clips", "photos"):
        for picture in sorted((out / folder).glob("*.png")):
            log.log_file(picture, folder)
    means = {f"test/{row.metric}": row.score.mean for row in evaluation.rows}
    ends = {
        f"test/{row.metric}.{end}": x
        for row in evaluation.rows
        if row.score.interval
        for end, x in zip(("low", "high"), row.score.interval, strict=True)
    }
    log.log_metrics(means | ends, step=0, group="test")


def table_cells(evaluation: PhotoEvaluation) -> list[tuple[str, ...]]:
    """Return the lines of the protocol's table, the first with its heads."""
    lines: list[tuple[str, ...]] = [("what", "metric", "mean", "95 % interval", "of", "before", "to reach", "reached")]
    for row in evaluation.rows:
        interval = " – ".join(f"{x:.{_DIGITS}f}" for x in row.score.interval or ())
        sign = "≥" if row.direction == "up" else "≤"
        lines.append(
            (
                row.what,
                row.metric,
                f"{row.score.mean:.{_DIGITS}f}",
                interval,
                str(row.count),
                row.today,
                f"{sign} {row.goal:.4g}",
                "yes" if row.reached else "no",
            )
        )
    return lines


def motion_cells(evaluation: PhotoEvaluation) -> list[tuple[str, ...]]:
    """Return the lines of the table of clips and methods; behind another method's value is the layers' p value."""
    metrics = next(iter(next(iter(evaluation.motion.values()), {}).values()), {})
    lines: list[tuple[str, ...]] = [("clip", "method", *metrics)]
    for clip, methods in evaluation.motion.items():
        for method, values in methods.items():
            cells = []
            for metric, value in values.items():
                test = evaluation.tests[clip].get(method, {}).get(metric)
                ahead = test is not None and (test.mean_difference > 0) == (metric in _UP)
                note = "" if test is None else f" ({'ahead' if ahead else 'behind'}, p {test.p_value:.4f})"
                cells.append(f"{value:.{_DIGITS}f}{note}")
            lines.append((clip, method, *cells))
    return lines


def to_markdown(evaluation: PhotoEvaluation) -> str:
    """Write the report as a page."""
    parts = ["# Photos in motion", "", *(f"- {note}" for note in evaluation.notes)]
    for title, lines in (("Protocol", table_cells(evaluation)), ("Clips", motion_cells(evaluation))):
        if len(lines) > 1:
            parts += ["", f"## {title}", "", _line(lines[0]), _line(["---"] * len(lines[0]))]
            parts += [_line(cells) for cells in lines[1:]]
    if evaluation.motion:
        parts += ["", f"In brackets: whether {_OURS} are ahead of the method, and the paired p value."]
    parts += ["", *(f"![{clip}](clips/{clip}.png)" for clip in evaluation.motion)]
    parts += [f"![{photo.name}](photos/{photo.name}.png)" for photo in evaluation.photos]
    return "\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
