"""Converts files of motions: to a dataset of motions, or one motion to a file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from orchestration.data.incremental import describe_changes
from orchestration.data.motion_files import FoundMotion, FoundMotions, ReadSettings, find_motions
from orchestration.data.rejections import REJECTED, Rejection, save_rejections
from orchestration.data.video_files import DEFAULT_PERSON
from orchestration.errors import reason_of
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.datasets.motion_build import MotionBuild, NamedMotion, SplitBy, SplitRule, hash_joints, write_motions
from posegen.datasets.motion_formats import FORMATS
from posegen.datasets.motion_formats.bvh import write_bvh
from posegen.datasets.motion_formats.gltf import write_glb
from posegen.datasets.motion_formats.humanml3d import write_humanml3d
from posegen.datasets.motions import MotionDatasetInfo, MotionEntry
from posegen.errors import ConfigError, MotionError, PosegenError, counted
from posegen.io.output_files import KEEP_FILES, OverwriteSettings
from posegen.io.storage import StorageFolder
from posegen.motion.editing import find_rotations, resample
from posegen.motion.filters import FILTERS, one_euro
from posegen.motion.motion import Motion, write_motion
from posegen.parallel import map_in_processes, num_processes, one_thread
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import NUM_SUBJECTS, SECONDS, generate_corpus

CONVERSION_VERSION = 1
"""Part of every motion's key: counts the changes to the code that make another motion of the same file."""

_PARE_BETA = 1.0  # of its One-Euro filter; VIBE's is the default
_NOTES = 12  # lines of a dataset's notes, the most frequent ones
_AS_FOUND = ReadSettings()
_SECONDS_EACH = 0.03  # of CPU to find rotations for a motion of three seconds


@dataclass(frozen=True)
class EditSettings:
    """Settings of motion editing."""

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
        """Rule that splits motions without a split of their own."""
        return SplitRule(self.split_by, self.train_fraction, self.seed)


@dataclass(frozen=True)
class ConversionSettings:
    """Settings that turn files of motions into a dataset."""

    reading: ReadSettings = _AS_FOUND
    """Settings of reading files of motions."""
    edits: EditSettings = EditSettings()
    """Settings of motion editing."""
    splits: SplitSettings = SplitSettings()
    """Person and action of each file, and the train/test split."""


@dataclass
class Edited:
    """Effect of inverse kinematics on all motions."""

    errors: list[np.ndarray] = field(default_factory=list)
    """Metres between joints as they were and as rotations pose them, of each motion without rotations."""
    notes: Counter[str] = field(default_factory=Counter)
    """Changes and guesses made while reading the motions, with the number of motions."""

    def add(self, edited: EditedMotion) -> Motion:
        """Note what was done to a motion, and return it."""
        self.notes.update(edited.notes)
        if edited.errors is not None:
            self.errors.append(edited.errors)
        return edited.motion

    def __str__(self) -> str:
        if not self.errors:
            return "all motions came with rotations"
        errors = np.concatenate([motion.ravel() for motion in self.errors])
        median, most = np.quantile(errors, (0.5, 0.95)) * 1000
        return (
            f"rotations found by inverse kinematics for {counted(len(self.errors), 'motion')}: joints moved by "
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
    """Changes and guesses made while reading the motions that were converted now, one line each."""

    def __str__(self) -> str:
        frames = sum(entry.num_frames for entry in self.info.motions)
        held_out = sum(entry.split == "test" for entry in self.info.motions)
        hint = "" if held_out or not self._has_one_group else ": there is one to divide by, say another --split-by"
        text = (
            f"{counted(len(self.info.motions), 'motion')} ({counted(frames, 'frame')}, {self.info.fps:g} a second) of "
            f"{counted(len({entry.person for entry in self.info.motions}), 'person')} and "
            f"{counted(len(self.info.actions), 'action')} in "
            f"{self.folder}, {describe_changes(self.num_made, self.num_removed)}, {held_out:,} held out{hint}"
        )
        return text + (f", {len(self.rejections):,} rejected (see {REJECTED})" if self.rejections else "")

    @property
    def _has_one_group(self) -> bool:
        """True where something was to be held out, and there is but one person, action or motion to divide by."""
        split_by, fraction = (self.info.settings.get(name) for name in ("split_by", "train_fraction"))
        groups = {
            entry.motion_id if split_by == "motion" else getattr(entry, str(split_by)) for entry in self.info.motions
        }
        return fraction != 1 and len(groups) == 1


# ---- What becomes of it


class EditedMotion(NamedTuple):
    """A motion that was read and edited."""

    motion: Motion
    notes: tuple[str, ...]
    """Changes and guesses made while reading it."""
    errors: np.ndarray | None
    """(T, 24) metres between joints as they were and as rotations pose them; None where it came with rotations."""


def load_edited(found: FoundMotion, settings: EditSettings) -> EditedMotion:
    """Read a motion and edit it. Raises PosegenError where it is broken."""
    loaded = motion = found.motion.load()
    if settings.filter == "one-euro" and found.format == "pare":
        motion = one_euro(motion, beta=_PARE_BETA)
    elif settings.filter != "none":
        motion = FILTERS[settings.filter](motion)
    errors = None
    if settings.rotations and motion.rot6d is None:
        motion, errors = find_rotations(motion)
    if settings.rate is not None:
        motion = resample(motion, settings.rate)
    return EditedMotion(motion, loaded.notes, errors)


def _try_to_edit(found: FoundMotion, settings: EditSettings) -> EditedMotion | str:
    """The motion, or the reason why it is rejected, as both travel between processes."""
    try:
        return load_edited(found, settings)
    except (PosegenError, OSError) as error:
        return reason_of(error)


_WRITERS = {".npz": write_motion, ".bvh": write_bvh, ".glb": write_glb, ".npy": write_humanml3d}
MOTION_FILES = tuple(_WRITERS)
"""Endings of files with one motion that can be written."""


def convert_one(
    paths: Sequence[Path],
    out: Path,
    name: str,
    settings: ReadSettings,
    edits: EditSettings,
    writing: OverwriteSettings = KEEP_FILES,
) -> tuple[Motion, Edited]:
    """Convert one motion to ``.npz``, ``.bvh``, ``.glb`` or ``.npy`` (HumanML3D's features), as the ending says.

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
    write = _WRITERS[out.suffix]
    if write in (write_bvh, write_glb) and not edits.rotations:
        raise MotionError(f"a {out.suffix} file has rotations: leave --no-rotations out")
    writing.require_writable([out], paths, [Path(file) for file in chosen[0].motion.files])
    edited = Edited()
    with one_thread():
        motion = edited.add(load_edited(chosen[0], edits))
    write(StorageFolder(out.parent), out.name, motion)
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
    edited = Edited()
    rejected = [*found.rejections, *unread, *_add_all(build, keys, settings.edits, edited, on_progress)]
    if len(rejected) == len(found.motions) + len(found.rejections):
        raise MotionError(f"none of the motions can be used: {rejected[0].reason}")
    save_rejections(build.folder, rejected)
    reading = asdict(settings.reading) | {"joints": settings.reading.options.joints}
    recorded = reading | asdict(settings.edits) | asdict(settings.splits)
    info = build.finish({**checks, **recorded}, settings.splits.rule)
    tells = settings.edits.rotations and (edited.errors or build.num_made == len(info.motions))
    notes = tuple(
        f"{note} ({counted(count, 'motion')})" if count > 1 else note
        for note, count in edited.notes.most_common(_NOTES)
    )
    return Converted(build.folder, info, build.num_made, build.num_removed, rejected, edited if tells else None, notes)


def _add_all(
    build: MotionBuild,
    keys: Sequence[tuple[str, FoundMotion]],
    edits: EditSettings,
    edited: Edited,
    on_progress: ProgressCallback,
) -> list[Rejection]:
    """Keep or make the motions of a build, and return those that it cannot have, with their reasons."""
    todo = [one for key, one in keys if build.find_converted(key) is None]
    processes = num_processes(len(todo), _SECONDS_EACH)
    rejected, done = [], 0
    sources: dict[tuple[str, str, str], str] = {}
    with closing(map_in_processes(partial(_try_to_edit, settings=edits), todo, processes)) as made:
        for key, one in keys:
            source, entry = one.motion, build.find_converted(key)
            try:
                named = None if entry else _named(one, edited.add(_made(next(made))), build.actions)
                identity = _identity(entry, named)
                if identity in sources:
                    raise MotionError(f"{source.source} is the same motion as {sources[identity]}")
                sources[identity] = source.source
            except PosegenError as error:
                rejected.append(Rejection(source.source, reason_of(error)))
            else:
                if entry:
                    build.keep(entry, source.source, source.split)
                if named:
                    build.write(named, key)
            if not entry:
                done += 1
                on_progress(done, len(todo))
    return rejected


def _made(result: EditedMotion | str) -> EditedMotion:
    """The motion that was made. Raises MotionError where it was not."""
    if isinstance(result, str):
        raise MotionError(result)
    return result


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
    """Return a key that is equal for two sources of one motion: person, action, and joint positions."""
    if named:
        return named.person, named.action, hash_joints(named.motion)
    if entry and entry.conversion:
        return entry.person, entry.action, entry.conversion.joints_sha256
    raise ValueError("expected a motion that was converted, now or earlier")


def _named(found: FoundMotion, motion: Motion, actions: Sequence[str]) -> NamedMotion:
    source = found.motion
    action = source.action or motion.label_name
    if not action:
        raise MotionError(f"{source.source}: no action is known for it: give --pattern, such as '{{action}}_*'")
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
    seconds: tuple[float, float] = SECONDS,
    on_progress: ProgressCallback = ignore_progress,
) -> MotionDatasetInfo:
    """Write the procedural corpus as a dataset. The same arguments give the same bytes.

    Raises:
        MotionError: There is nobody, or they do nothing.
        ConfigError: Seconds are no range of positive numbers.
    """
    if subjects < 1 or takes < 1:
        raise MotionError(f"subjects is {subjects} and takes {takes}, expected at least 1 of each")
    total = subjects * takes * len(ACTIONS)

    def motions() -> Iterator[NamedMotion]:
        for done, motion in enumerate(generate_corpus(subjects, takes, splits.seed, seconds), start=1):
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
        settings={"subjects": subjects, "takes": takes, "seconds": list(seconds)} | asdict(splits),
        rule=splits.rule,
        actions=ACTIONS,
    )
