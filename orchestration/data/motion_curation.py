"""Builds a dataset of motions from an estimator's tracks of many videos, as FineGym2 was made.

What can be checked is checked: one person in view, a camera that stands still, enough frames that were seen. What only
a person can tell, whether the whole movement is shown and the picture good enough, is asked in ``review.csv``: the
second run honours the answers.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from orchestration.data.motion_conversion import ConversionSettings, Converted, write_found
from orchestration.data.motion_files import FoundMotion, FoundMotions, ReadSettings, find_motions
from orchestration.data.rejections import Rejection
from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.datasets.motion_formats.estimators import read_images, read_tracks
from posegen.datasets.motion_formats.source import known_fps
from posegen.datasets.motion_formats.video_checks import VideoChecks, check_video
from posegen.errors import MotionError, PosegenError, counted
from posegen.io.storage import StorageFolder

REVIEW = "review.csv"
_QUESTIONS = ("whole_movement", "resolution")
_MOST_TOGETHER = 0.05  # share of frames with others in view: passers-by that an estimator sees for a moment


@dataclass(frozen=True)
class BuildSettings:
    """Checks of a video."""

    min_frames: int = 55
    """Frames of a video at least; shorter ones are rejected."""
    min_coverage: float = 0.95
    """Share of the frames in which the person must be found."""
    single_person: bool = True
    """Reject videos with other people in more than a twentieth of the frames."""
    static_camera_threshold: float = 0.5
    """Metres per second: the camera moves where everything in the picture, feet and hands on the ground included, moves
    faster. 0 accepts any camera; so do tracks without a camera (no orig_cam)."""

    def reasons(self, checks: VideoChecks) -> list[str]:
        """Return the reasons for rejecting a video; empty if it is accepted."""
        reasons = []
        if checks.frames < self.min_frames:
            reasons.append(f"{counted(checks.frames, 'frame')}, expected at least {self.min_frames}")
        if checks.coverage < self.min_coverage:
            reasons.append(f"the person was seen in {checks.coverage:.0%} of the frames")
        if self.single_person and checks.together > _MOST_TOGETHER:
            reasons.append(f"several people in {checks.together:.0%} of the frames")
        if checks.camera_speed is not None and 0 < self.static_camera_threshold < checks.camera_speed:
            reasons.append(f"the camera moves at {checks.camera_speed:.2f} m/s")
        return reasons


@dataclass(frozen=True)
class Label:
    """Row of the labels."""

    action: str
    person: str | None


@dataclass(frozen=True)
class Reviewed:
    """A video, by its checks and by what a person said."""

    found: FoundMotion
    checks: VideoChecks
    reasons: list[str]
    answers: dict[str, str] = field(default_factory=dict)
    """Answers by question: yes, no, or nothing yet."""

    @property
    def is_open(self) -> bool:
        """True if a person still has to review it."""
        return not self.reasons and not all(self.answers.get(question) for question in _QUESTIONS)


@dataclass(frozen=True)
class Built:
    """A dataset that was built."""

    converted: Converted
    num_open: int
    """Motions in it that nobody has looked at."""
    without_video: list[str]
    """Names among the labels that have no tracks."""


def build_from_tracks(
    tracks: Path,
    labels: Path,
    out: StorageFolder | str,
    checks: BuildSettings,
    settings: ConversionSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> Built:
    """Check videos by their tracks, ask for a review of those that pass, and write them as a dataset.

    Args:
        tracks: Folder of VIBE's or PARE's files, one a video.
        labels: Table with the columns name (of a file, without its ending), action and, if known, person.
        out: Folder of the dataset, and of ``review.csv`` with the answers of the last run.
        checks: What a video must be like.
        settings: How tracks, which do not know their frame rate, become motions.
        on_progress: Called after every video that is checked, and then after every motion that is written.

    Raises:
        MotionError: The labels or the answers are no such table, there are no tracks, or none is left.
    """
    known = read_labels(labels)
    known_fps(settings.reading.options, str(tracks))
    folder = StorageFolder(out)
    answers = _read_answers(folder)
    found = find_motions([tracks], settings.reading, leave_out=folder)
    rejections = list(found.rejections)
    reviewed: list[Reviewed] = []
    for done, one in enumerate(found.motions, start=1):
        try:
            labelled = _label(one, known, labels)
            reviewed.append(_review(labelled, answers.get(one.motion.name, {}), checks, settings.reading))
        except (PosegenError, OSError) as error:
            rejections.append(Rejection(one.motion.source, reason_of(error)))
        on_progress(done, len(found.motions))
    if not reviewed:
        raise MotionError(f"none of the videos in {tracks} can be used: {rejections[0].reason}")
    _write_review(folder, reviewed)
    kept: list[FoundMotion] = []
    for video in reviewed:
        refused = [question for question, answer in video.answers.items() if answer == "no"]
        reasons = video.reasons + [f"{question.replace('_', ' ')}: no, by {REVIEW}" for question in refused]
        if reasons:
            rejections.append(Rejection(video.found.motion.source, "; ".join(reasons)))
        else:
            kept.append(video.found)
    if not kept:
        raise MotionError(f"none of the videos in {tracks} is left: {rejections[0].reason}; see {folder}/{REVIEW}")
    chosen = FoundMotions(kept, rejections, found.inputs, found.overrule)
    converted = write_found(chosen, folder, settings, checks=asdict(checks), on_progress=on_progress)
    names = {one.motion.name for one in found.motions}
    return Built(converted, sum(video.is_open for video in reviewed), sorted(known.keys() - names))


def _label(found: FoundMotion, labels: Mapping[str, Label], place: Path) -> FoundMotion:
    """Give a video the action and the person of its row."""
    name = found.motion.name
    if found.format not in ("vibe", "pare", "wham"):
        raise MotionError(f"{found.motion.source} is of the format {found.format}, expected tracks of VIBE or PARE")
    if name not in labels:
        raise MotionError(f"{place} has no row with the name {name!r}")
    return replace(found, motion=replace(found.motion, action=labels[name].action, person=labels[name].person))


def _review(found: FoundMotion, answers: dict[str, str], checks: BuildSettings, reading: ReadSettings) -> Reviewed:
    path = Path(found.motion.source)
    tracks = [read_images(path)] if path.is_dir() else read_tracks(path)
    measured = check_video(tracks, known_fps(reading.options, str(path)), str(path))
    return Reviewed(found, measured, checks.reasons(measured), answers)


# ---- Tables


def read_labels(path: Path) -> dict[str, Label]:
    """Read what the videos show, by name. Raises MotionError, naming file and line."""
    labels: dict[str, Label] = {}
    for line, row in _read_rows(path.read_bytes(), str(path), ("name", "action")):
        name, action = row["name"], row["action"]
        if not name or not action:
            raise MotionError(f"{path}, line {line}: {'action' if name else 'name'} is empty")
        if name in labels:
            raise MotionError(f"{path}, line {line}: the name {name!r} is there twice")
        labels[name] = Label(action, row.get("person") or None)
    if not labels:
        raise MotionError(f"{path} has no rows")
    return labels


def _read_answers(folder: StorageFolder) -> dict[str, dict[str, str]]:
    if not folder.exists(REVIEW):
        return {}
    answers = {}
    place = f"{folder}/{REVIEW}"
    for line, row in _read_rows(folder.read(REVIEW), place, ("name", *_QUESTIONS)):
        answers[row["name"]] = {question: row[question].lower() for question in _QUESTIONS}
        for question, answer in answers[row["name"]].items():
            if answer not in ("", "yes", "no"):
                raise MotionError(f"{place}, line {line}: {question} is {answer!r}, expected yes, no or nothing")
    return answers


def _read_rows(content: bytes, place: str, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their lines. Raises MotionError where a column is missing."""
    try:
        text = _decode(content)
        header = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""
        delimiter = max(_DELIMITERS, key=lambda one: len(set(columns) & _cells(header, one)))
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter, skipinitialspace=True)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise MotionError(f"{place} has no column {', '.join(missing)}, expected {', '.join(columns)}")
        return [
            (reader.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
            for row in reader
            if any((value or "").strip() for value in row.values() if not isinstance(value, list))
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise MotionError(f"{place} is no table of comma-separated values: {error}") from None


_DELIMITERS = (",", ";", "\t", "|")
"""Of tables that spreadsheets write, of any country."""


def _decode(content: bytes) -> str:
    """The text of a table: UTF-8, or UTF-16 where it begins with its mark, as spreadsheets write it."""
    return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _cells(line: str, delimiter: str) -> set[str]:
    return {cell.strip().strip('"').lower() for cell in line.split(delimiter)}


def _write_review(folder: StorageFolder, reviewed: list[Reviewed]) -> None:
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    numbers = ("frames", "coverage", "together", "camera_speed", "height")
    writer.writerow(["name", "action", *_QUESTIONS, *numbers, "rejected_because"])
    for video in sorted(reviewed, key=lambda video: video.found.motion.name):
        values = [getattr(video.checks, name) for name in numbers]
        shown = [f"{value:.4g}" if isinstance(value, float) else value for value in values]
        motion = video.found.motion
        answers = [video.answers.get(question, "") for question in _QUESTIONS]
        writer.writerow([motion.name, motion.action, *answers, *shown, "; ".join(video.reasons)])
    folder.write_bytes(REVIEW, content.getvalue().encode())
