"""Converts files of motions: to a dataset of motions, or one motion to ``.npz`` or BVH."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orchestration.data.incremental import describe_changes
from orchestration.data.rejections import REJECTED, Rejection, save_rejections
from orchestration.data.video_files import DEFAULT_PERSON, compile_pattern
from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.datasets.motion_build import MotionBuild, NamedMotion, SplitBy, SplitRule, hash_joints, write_motions
from posegen.datasets.motion_formats import FORMATS, ImportOptions, MotionSource, detect, read
from posegen.datasets.motion_formats.axes import UpAxis
from posegen.datasets.motion_formats.bvh import write_bvh
from posegen.datasets.motion_formats.contents import TORCH_SUFFIXES
from posegen.datasets.motions import MotionDatasetInfo, MotionEntry
from posegen.errors import ConfigError, MotionError, PosegenError
from posegen.io.output_files import KEEP_FILES, OverwriteSettings
from posegen.io.pickles import SUFFIXES
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder, expand_home
from posegen.motion.editing import find_rotations, resample
from posegen.motion.filters import FILTERS, one_euro
from posegen.motion.motion import Motion, write_motion
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import NUM_SUBJECTS, generate_corpus

CONVERSION_VERSION = 1
"""Part of every motion's key: counts the changes to the code that make another motion of the same file."""

MOTION_SUFFIXES = frozenset((".bvh", ".npz", ".npy", *TORCH_SUFFIXES, *SUFFIXES))
"""Files in folders with these endings are taken for motions; all others are passed over."""

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal["", *FORMATS]
"""A format of motion files, or nothing where their content decides."""

_PARE_BETA = 1.0  # of its One-Euro filter; VIBE's is the default
_NOTES = 12  # lines of a dataset's notes, the most frequent ones
_WHOLE = ("dataset", "ntu13", "uestc")  # formats of folders


@dataclass(frozen=True)
class ReadSettings:
    """How files of motions are read."""

    format: FormatName = ""
    """Format of the files; by default it is recognised by their content."""
    fps: float | None = None
    """Frames per second of files without a frame rate: VIBE's, PARE's, HumanAct12's. Where one file is given, it
    overrules the rate that the file states; of several, those that state one keep it."""
    root: Literal["zero", "weak-camera"] = "zero"
    """Place of an estimator's person: the origin, or where each frame's weak-perspective camera puts them, which jumps
    and has a depth only up to the focal length."""
    unit: float | None = None
    """Metres of a BVH file's unit; by default metres, centimetres, millimetres, inches, CMU's unit, decimetres or feet,
    by the body's height."""
    height: float | None = None
    """Metres: height of the body, such as 1.7, which tells the unit where none of them fits."""
    up: UpAxis = ""
    """Axis that points up in the file: x, y or z; by default the body tells, from hips to head with the feet below."""
    joints: Path | None = None
    """JSON file with names of a BVH file's joints by SMPL's, {"left_hip": "bone_7", …}, for those not understood."""

    def __post_init__(self) -> None:
        for name in ("fps", "unit", "height"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}, expected a positive number")

    @property
    def options(self) -> ImportOptions:
        """What importers want to know. Raises ConfigError where the file of joints is none."""
        return ImportOptions(
            fps=self.fps,
            root=self.root,
            unit=self.unit,
            height=self.height,
            up=self.up,
            joints=_read_joints(self.joints),
        )


def _read_joints(path: Path | None) -> dict[str, str]:
    """Names of joints by those of SMPL-24."""
    if path is None:
        return {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--joints {path} cannot be read: {error}") from None
    return parse_json(dict[str, str], text, f"--joints {path}", ConfigError)


@dataclass(frozen=True)
class EditSettings:
    """How motions are edited."""

    rate: float | None = None
    """Frames per second to resample to; by default as they are."""
    filter: Literal["none", "one-euro", "savitzky-golay"] = "none"
    """Filter of an estimator's jitter: one-euro has the settings of VIBE's and PARE's own code, and lags."""
    rotations: bool = True
    """Add rotations to motions of joints alone, by inverse kinematics."""


@dataclass(frozen=True)
class SplitSettings:
    """Person and action of each file, and the train/test split."""

    pattern: str = ""
    """Pattern of person and action in paths below a folder, or in file names, such as '{person}/{action}_*'. Takes
    precedence over what a file itself says."""
    split_by: SplitBy = "person"
    """Unit of the split: all motions of a person, or of an action, are in one of them; or single motions."""
    train_fraction: float = 0.8
    """Share of people, actions or motions in the training split."""
    seed: int = 0
    """Seed of the split."""

    def __post_init__(self) -> None:
        if not 0 < self.train_fraction <= 1:
            raise ConfigError(f"train_fraction is {self.train_fraction}, expected more than 0 and at most 1")

    @property
    def rule(self) -> SplitRule:
        """How motions are divided that come without a split."""
        return SplitRule(self.split_by, self.train_fraction, self.seed)


@dataclass(frozen=True)
class ConversionSettings:
    """How files of motions become a dataset."""

    reading: ReadSettings = ReadSettings()
    """How the files are read."""
    edits: EditSettings = EditSettings()
    """How the motions are edited."""
    splits: SplitSettings = SplitSettings()
    """Person and action of each file, and the train/test split."""


@dataclass(frozen=True)
class FoundMotion:
    """A motion of one of the files, with its format."""

    format: str
    motion: MotionSource


@dataclass(frozen=True)
class FoundMotions:
    """What is in files and folders."""

    motions: list[FoundMotion]
    rejections: list[Rejection]
    """Of files that are broken."""
    inputs: frozenset[Path]
    """The files that motions are in, or should be, and folders that are broken as a whole."""
    overrule: bool = True
    """Whether one file or dataset was given, whose own frame rate `ReadSettings.fps` overrules."""


@dataclass
class Edited:
    """What inverse kinematics did to all motions."""

    errors: list[np.ndarray] = field(default_factory=list)
    """Metres between joints as they were and as rotations pose them, of each motion without rotations."""
    notes: Counter[str] = field(default_factory=Counter)
    """What had to be changed or guessed to read the motions, and of how many."""

    def __str__(self) -> str:
        if not self.errors:
            return "all motions came with rotations"
        errors = np.concatenate([motion.ravel() for motion in self.errors])
        median, most = np.quantile(errors, (0.5, 0.95)) * 1000
        return (
            f"rotations found by inverse kinematics for {len(self.errors):,} motions: joints moved by "
            f"{median:.3g} mm (median), {most:.3g} mm (95th percentile)"
        )


@dataclass(frozen=True)
class Converted:
    """A dataset that was written."""

    folder: StorageFolder
    info: MotionDatasetInfo
    num_made: int
    """Motions that were converted now; the others were there."""
    num_removed: int
    """Motions that went because their source did, or was changed or is no longer accepted."""
    rejections: list[Rejection]
    edited: Edited | None
    """Of the motions that were converted now; None where rotations were not asked for, or there is nothing to say."""
    notes: tuple[str, ...] = ()
    """What had to be changed or guessed to read the motions that were converted now, a line each."""

    def __str__(self) -> str:
        frames = sum(entry.num_frames for entry in self.info.motions)
        held_out = sum(entry.split == "test" for entry in self.info.motions)
        hint = "" if held_out else ": there is one to divide by, say another --split-by"
        text = (
            f"{len(self.info.motions):,} motions ({frames:,} frames, {self.info.fps:g} a second) of "
            f"{len({entry.person for entry in self.info.motions}):,} people and {len(self.info.actions)} actions in "
            f"{self.folder}, {describe_changes(self.num_made, self.num_removed)}, {held_out:,} held out{hint}"
        )
        return text + (f", {len(self.rejections):,} rejected (see {REJECTED})" if self.rejections else "")


# ---- What there is


def find_motions(
    paths: Sequence[Path], settings: ReadSettings, pattern: str = "", leave_out: StorageFolder | None = None
) -> FoundMotions:
    """Find the motions in files and folders.

    A folder is a dataset that an importer knows, or it is searched for files of motions; in it, what is broken is a
    rejection, and a file that is named is not.

    Args:
        paths: Files and folders.
        settings: How they are read.
        pattern: How paths below a folder, or names of files that are given, tell person and action, see
            `orchestration.data.video_files.find_videos`.
        leave_out: A folder that is not searched: what was converted earlier.

    Raises:
        FileNotFoundError: There is nothing at one of the paths.
        MotionError: A named file is broken, or there are no motions at all.
    """
    parse = compile_pattern(pattern) if pattern else None
    outside = Path(leave_out.uri).resolve() if leave_out and leave_out.is_local else None
    found: list[FoundMotion] = []
    rejections: list[Rejection] = []
    broken: list[Path] = []
    alone = len(paths) == 1 and _is_one(expand_home(paths[0]), settings)
    options = replace(settings.options, overrule=alone)
    for path in map(expand_home, paths):
        if path.is_dir() and _is_one(path, settings):
            found += _read(path, settings.format, options)
        elif not path.is_dir():
            found += _rename(_read(path, settings.format, options), path, path.name, parse)
        else:
            for inside in _walk(path, outside):
                try:
                    motions = _read(inside, settings.format, options)
                    found += _rename(motions, inside, inside.relative_to(path).as_posix(), parse)
                except (PosegenError, OSError) as error:
                    rejections.append(Rejection(str(inside), reason_of(error)))
                    broken.append(inside)
    if not found:
        some = f": {rejections[0].reason}" if rejections else ""
        raise MotionError(f"no motions in {', '.join(map(str, paths))}{some}")
    files = {file for one in found for file in one.motion.files}
    return FoundMotions(found, rejections, frozenset(files.union(broken)), alone)


def read_some(paths: Sequence[Path], settings: ReadSettings, most: int) -> list[tuple[str, Motion]]:
    """Read the first motions of files and folders, with their names. Raises ValueError where one of them is broken."""
    found = find_motions(paths, settings).motions
    return [(one.motion.name, one.motion.load()) for one in found[:most]]


def _is_one(path: Path, settings: ReadSettings) -> bool:
    """Whether a path is a file, or a folder that is one dataset or motion."""
    return not path.is_dir() or settings.format in _WHOLE or bool(_format_of(path))


def _read(path: Path, format: FormatName, options: ImportOptions) -> list[FoundMotion]:
    name = format or detect(path)
    motions = read(path, options, name)
    return [FoundMotion(str(name), motion) for motion in motions]


def _format_of(folder: Path) -> str | None:
    """The format of a folder as a whole; None where only its files can have one."""
    with suppress(MotionError):  # a file inside is broken, which is told when it is read
        return detect(folder)
    return None


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Files of motions, and folders that are one motion or a dataset, below a folder."""
    for name, folders, files in os.walk(folder):
        parent = Path(name)
        folders[:] = sorted(
            inside for inside in folders if not inside.startswith(".") and (parent / inside).resolve() != leave_out
        )
        whole = [inside for inside in folders if _format_of(parent / inside)]
        yield from (parent / inside for inside in whole)
        folders[:] = [inside for inside in folders if inside not in whole]
        paths = (parent / file for file in sorted(files) if not file.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in MOTION_SUFFIXES)


def _rename(found: list[FoundMotion], path: Path, relative: str, pattern: re.Pattern[str] | None) -> list[FoundMotion]:
    """Give motions the person and the action that a pattern reads from a path. Raises MotionError where it does not."""
    if pattern is None:
        return found
    match = pattern.fullmatch(unicodedata.normalize("NFC", relative))
    if match is None:
        raise MotionError(f"{path}: its name does not match the pattern")
    person, action = match.groupdict().get("person"), match["action"]
    return [
        replace(one, motion=replace(one.motion, person=person or one.motion.person, action=action)) for one in found
    ]


# ---- What becomes of it


def load_edited(found: FoundMotion, settings: EditSettings, edited: Edited) -> Motion:
    """Read a motion and edit it. Raises PosegenError where it is broken."""
    motion = found.motion.load()
    edited.notes.update(motion.notes)
    if settings.filter == "one-euro" and found.format == "pare":
        motion = one_euro(motion, beta=_PARE_BETA)
    elif settings.filter != "none":
        motion = FILTERS[settings.filter](motion)
    if settings.rotations and motion.rot6d is None:
        made = find_rotations(motion)
        motion = made.motion
        edited.errors.append(made.errors)
    return motion if settings.rate is None else resample(motion, settings.rate)


def convert_one(
    paths: Sequence[Path],
    out: Path,
    name: str,
    settings: ReadSettings,
    edits: EditSettings,
    writing: OverwriteSettings = KEEP_FILES,
) -> tuple[Motion, Edited]:
    """Convert one motion to ``.npz`` or ``.bvh``, as the ending says.

    Args:
        paths: Where it is.
        out: The file.
        name: Which motion, where there are several.
        settings: How it is read.
        edits: What becomes of it.
        writing: Whether the file may replace another one.

    Raises:
        ConfigError: The file would replace what is read, or another file.
        MotionError: It is broken, or there are several and none of them has this name.
    """
    found = find_motions(paths, settings).motions
    chosen = [one for one in found if not name or one.motion.name == name]
    if len(chosen) != 1:
        names = ", ".join(one.motion.name for one in found[:5])
        raise MotionError(
            f"{out.name} takes one motion and there are {len(chosen)} of {len(found)}: "
            f"say --name (such as {names}), or a folder for all"
        )
    if out.suffix == ".bvh" and not edits.rotations:
        raise MotionError("a .bvh file has rotations: leave --no-rotations out")
    writing.require_writable([out], paths, [Path(file) for file in chosen[0].motion.files])
    edited = Edited()
    motion = load_edited(chosen[0], edits, edited)
    if out.suffix == ".bvh":
        write_bvh(StorageFolder(out.parent), out.name, motion)
    else:
        write_motion(StorageFolder(out.parent), out.name, motion)
    return motion, edited


def convert_motions(
    paths: Sequence[Path],
    out: StorageFolder | str,
    settings: ConversionSettings,
    *,
    on_progress: ProgressCallback = ignore_progress,
) -> Converted:
    """Convert the motions of files and folders to a dataset, except those that are there already.

    A motion that was converted from the same content with the same settings stays; one that no source gives any more
    is deleted. What is broken is listed in ``rejected.json``.

    Raises:
        PosegenError: There are none, nobody says their actions, or their rates differ.
    """
    found = find_motions(paths, settings.reading, settings.splits.pattern, leave_out=StorageFolder(out))
    return write_found(found, out, settings, on_progress=on_progress)


def write_found(
    found: FoundMotions,
    out: StorageFolder | str,
    settings: ConversionSettings,
    *,
    checks: Mapping[str, Any] = MappingProxyType({}),
    on_progress: ProgressCallback = ignore_progress,
) -> Converted:
    """Write motions as a dataset, see `convert_motions`, and beside it the list of what is rejected.

    Args:
        found: The motions, and what was already found to be no motion.
        out: Folder of the dataset.
        settings: What becomes of the motions.
        checks: Settings by which they were chosen; the dataset records them with the others.
        on_progress: Called after every motion that was not there.
    """
    formats = {one.format for one in found.motions}
    actions = FORMATS[formats.pop()].actions if len(formats) == 1 and not settings.splits.pattern else ()
    build = MotionBuild(StorageFolder(out), actions, found.inputs)
    keys, unread = _find_keys(found, settings, actions)
    edited, rejected, done = Edited(), [*found.rejections, *unread], 0
    total = sum(build.find_converted(key) is None for key, _ in keys)
    sources: dict[tuple[str, str, str], str] = {}
    for key, one in keys:
        source = one.motion
        try:
            entry = build.find_converted(key)
            named = None if entry else _named(one, load_edited(one, settings.edits, edited), actions)
            identity = _identity(entry, named)
            if identity in sources:
                raise MotionError(f"{source.source} is the same motion as {sources[identity]}")
            sources[identity] = source.source
        except (PosegenError, OSError) as error:
            rejected.append(Rejection(source.source, reason_of(error)))
        else:
            if entry:
                build.keep(entry, source.source, source.split)
            if named:
                build.write(named, key)
        if not entry:
            done += 1
            on_progress(done, total)
    if len(rejected) == len(found.motions) + len(found.rejections):
        raise MotionError(f"none of the motions can be used: {rejected[0].reason}")
    save_rejections(build.folder, rejected)
    reading = asdict(settings.reading) | {"joints": settings.reading.options.joints}
    recorded = reading | asdict(settings.edits) | asdict(settings.splits)
    info = build.finish({**checks, **recorded}, settings.splits.rule)
    tells = settings.edits.rotations and (edited.errors or build.num_made == len(info.motions))
    notes = tuple(
        f"{note} ({count:,} motions)" if count > 1 else note for note, count in edited.notes.most_common(_NOTES)
    )
    return Converted(build.folder, info, build.num_made, build.num_removed, rejected, edited if tells else None, notes)


def _find_keys(
    found: FoundMotions, settings: ConversionSettings, actions: Sequence[str]
) -> tuple[list[tuple[str, FoundMotion]], list[Rejection]]:
    """Pair motions with the keys of their conversions, see `posegen.datasets.motions.Conversion`.

    Args:
        found: The motions.
        settings: How they are converted. How they are divided is no part of a key: it changes no motion.
        actions: All actions in the order of their labels, where the format fixes them.

    Returns:
        Keys and motions, and rejections of those whose files cannot be read.
    """
    options = replace(settings.reading.options, overrule=found.overrule)
    making = [CONVERSION_VERSION, asdict(options), asdict(settings.edits), list(actions)]
    hash_files = cache(_hash_files)  # a file may hold thousands of motions
    counts = Counter[str]()
    keys, rejections = [], []
    for one in found.motions:
        motion = one.motion
        try:
            facts = [making, one.format, motion.name, motion.person, motion.action, hash_files(motion.files)]
        except OSError as error:
            rejections.append(Rejection(motion.source, reason_of(error)))
            continue
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        counts[key] += 1  # a name may be in a file twice: then the order of its motions tells which
        keys.append((key if counts[key] == 1 else f"{key}-{counts[key]}", one))
    return keys, rejections


def _hash_files(files: tuple[Path, ...]) -> str:
    """Name the content of files, and their names: those of a folder of images have numbers."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _identity(entry: MotionEntry | None, named: NamedMotion | None) -> tuple[str, str, str]:
    """What is equal for two sources of one motion: who does what, and where the joints are."""
    if named:
        return named.person, named.action, hash_joints(named.motion)
    if entry and entry.conversion:
        return entry.person, entry.action, entry.conversion.joints_sha256
    raise ValueError("expected a motion that was converted, now or earlier")


def _named(found: FoundMotion, motion: Motion, actions: Sequence[str]) -> NamedMotion:
    source = found.motion
    action = source.action or motion.label_name
    if not action:
        raise MotionError(f"{source.source}: nobody says its action: say --pattern, such as '{{action}}_*'")
    if actions and action not in actions:
        raise MotionError(f"{source.source}: its action is {action!r}, expected one of {', '.join(actions)}")
    label = actions.index(action) if actions else None
    # Where the file lies is in the manifest, and no part of the motion. A dataset's motions say it already: those that
    # are put back into their own dataset stay the same.
    meta = motion.meta if found.format == "dataset" else motion.meta | {"source": source.name}
    return NamedMotion(
        replace(motion, label=label, label_name=action, meta=meta),
        source.person or DEFAULT_PERSON,
        action,
        source.source,
        source.split,
    )


def synthesize(
    out: StorageFolder | str,
    splits: SplitSettings,
    *,
    subjects: int = NUM_SUBJECTS,
    takes: int = 1,
    on_progress: ProgressCallback = ignore_progress,
) -> MotionDatasetInfo:
    """Write the procedural corpus as a dataset. The same arguments give the same bytes.

    Raises:
        MotionError: There is nobody, or they do nothing.
    """
    if subjects < 1 or takes < 1:
        raise MotionError(f"subjects is {subjects} and takes {takes}, expected at least 1 of each")
    total = subjects * takes * len(ACTIONS)

    def motions() -> Iterator[NamedMotion]:
        for done, motion in enumerate(generate_corpus(subjects, takes, splits.seed), start=1):
            yield NamedMotion(
                motion,
                f"subject{motion.meta['subject']:02}",
                str(motion.label_name),
                f"posegen motion synth --seed {splits.seed}, take {motion.meta['take']}",
            )
            on_progress(done, total)

    return write_motions(
        StorageFolder(out),
        motions(),
        settings={"subjects": subjects, "takes": takes} | asdict(splits),
        rule=splits.rule,
        actions=ACTIONS,
    )
