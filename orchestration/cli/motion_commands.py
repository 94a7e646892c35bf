"""``posegen motion inspect | convert | build-dataset | synth``: files of motions and datasets of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.cli.progress import CountProgress
from orchestration.data.motion_conversion import ConversionSettings, ReadSettings, SplitSettings
from orchestration.data.motion_curation import BuildSettings
from posegen.errors import UsageError
from posegen.synthetic.motions import SUBJECTS

if TYPE_CHECKING:
    from orchestration.data.motion_inspection import Inspection

_FILES = (".npz", ".bvh")  # endings of what holds one motion


def add_motion_commands(app: SubcommandApp) -> None:
    """Add the verbs."""
    app.command(name="inspect")(deferred(inspect))
    app.command(name="convert")(deferred(convert))
    app.command(name="build-dataset")(deferred(build_dataset))
    app.command(name="synth")(deferred(synth))


def inspect(files: Positional[tuple[Path, ...]], settings: ReadSettings = ReadSettings()) -> None:
    """Look into files of motions: format, fields with shapes and units, people, gaps, and how good the motions are.

    Args:
        files: Files, or folders that are datasets: posegen's own, NTU13, UESTC, PARE's images.
    """
    from orchestration.data.motion_inspection import inspect_motions

    if not files:
        raise UsageError("say what to look into: posegen motion inspect FILE …")
    for file in files:
        with CountProgress(console, "measuring") as listener:
            found = inspect_motions(file, settings, on_progress=listener.update)
        console.print(f"{file}: {found.format}, {found.summary}", markup=False)
        if found.fields:
            console.print(_field_table(found))
        console.print(_motion_table(found))
        if found.unknown_rate:
            console.print(f"not measured: {found.unknown_rate}", markup=False)
        for name, reason in found.broken.items():
            console.print(f"{name} is broken: {reason}", markup=False)


def convert(
    paths: Positional[tuple[str, ...]],
    name: str = "",
    settings: ConversionSettings = ConversionSettings(),
) -> None:
    """Convert motions of VIBE, PARE, HumanAct12, NTU13, UESTC, AMASS or BVH to a dataset, or one to a file.

    posegen motion convert FILE … OUT. Formats are told by content, and nothing in a file is run. What is broken in a
    folder is listed in rejected.json and left out.

    Args:
        paths: Files, or folders of them; then OUT, a folder for the dataset, or a file for one motion, .npz or .bvh.
        name: For one motion out of several, which.
    """
    from orchestration.data.motion_conversion import convert_motions, convert_one

    if len(paths) < 2:
        raise UsageError("say what to convert, and where to: posegen motion convert FILE … OUT")
    *sources, out = paths
    for source in sources:
        if "://" in source:
            raise UsageError(f"got {source}, expected a local file or folder: only the dataset may lie elsewhere")
    files = list(map(Path, sources))
    if out.endswith(_FILES):
        motion, edited = convert_one(files, Path(out), name, settings.reading, settings.edits)
        console.print(f"{len(motion)} frames, {motion.fps:g} a second, in {out}", markup=False)
        console.print(str(edited))
        return
    if name:
        raise UsageError(f"--name chooses one motion, for a file {' or '.join(_FILES)}: got the folder {out}")
    with CountProgress(console, "converting") as listener:
        converted = convert_motions(files, out, settings, on_progress=listener.update)
    console.print(str(converted), markup=False)
    if converted.edited:
        console.print(str(converted.edited))
    console.print(f"next: posegen motion inspect {out}", markup=False)


def build_dataset(
    out: Positional[str],
    tracks: Path,
    labels: Path,
    checks: BuildSettings = BuildSettings(),
    settings: ConversionSettings = ConversionSettings(),
) -> None:
    """Build a dataset from an estimator's tracks of many videos: what does not fit is left out, and people are asked.

    That somebody is alone in view, that the camera stands still and that there are enough frames is checked. Whether
    the whole movement is shown and the picture good enough is for people to say, in OUT/review.csv: what has a no
    there, the next run leaves out.

    Args:
        out: Folder of the dataset.
        tracks: Folder of VIBE's or PARE's files, one a video.
        labels: Table, .csv, with the columns name (of a file, without its ending), action and, if known, person.
    """
    from orchestration.data.motion_curation import REVIEW, build_from_tracks

    with CountProgress(console, "checking") as listener:
        built = build_from_tracks(tracks, labels, out, checks, settings, on_progress=listener.update)
    console.print(str(built.converted), markup=False)
    if built.without_video:
        some = ", ".join(built.without_video[:5])
        console.print(f"{len(built.without_video)} names in {labels} have no tracks, such as {some}", markup=False)
    if built.num_open:
        console.print(
            f"next: look at {built.num_open} videos, say yes or no to whole_movement and resolution in {out}/{REVIEW}, "
            "and give the command again",
            markup=False,
        )


def synth(
    out: Positional[str], subjects: int = SUBJECTS, takes: int = 1, splits: SplitSettings = SplitSettings()
) -> None:
    """Make up a dataset of motions: people who do twelve actions by curves of joint angles.

    Args:
        out: Folder of the dataset.
        subjects: How many people.
        takes: How often each does each action.
    """
    from orchestration.data.motion_conversion import synthesize

    with CountProgress(console, "performing") as listener:
        info = synthesize(out, splits, subjects=subjects, takes=takes, on_progress=listener.update)
    console.print(
        f"{len(info.motions)} motions of {subjects} people and {len(info.actions)} actions in {out}", markup=False
    )


def _field_table(found: Inspection) -> Table:
    table = Table("field", "shape", "type", "unit")
    for field in found.fields:
        table.add_row(escape(field.name), field.shape, field.type, field.unit)
    return table


def _motion_table(found: Inspection) -> Table:
    """What is known of a file's motions: counts, and figures of quality as medians over those that were measured."""
    table = Table(show_header=False)
    table.add_row("motions", f"{len(found.motions):,}")
    if found.people:
        table.add_row("people", f"{found.people:,}")
    for action, counts in found.counts().items():
        shown = ", ".join(f"{count:,} {split}".rstrip() for split, count in sorted(counts.items(), reverse=True))
        table.add_row(escape(action), shown)
    measured = found.measured
    if not measured:
        return table
    table.add_section()
    if len(measured) < len(found.motions):
        table.add_row("measured", f"{len(measured):,}")
    table.add_row("frames a second", ", ".join(f"{rate:g}" for rate in sorted({one.fps for one in measured})))
    table.add_row("frames", _spread([one.frames for one in measured], "{:.0f}"))
    table.add_row("tracks", _spread([one.tracks for one in measured], "{:.0f}"))
    gaps = sum(one.gaps for one in measured)
    longest = max(one.longest_gap for one in measured)
    table.add_row("gaps", f"{gaps:,}, of at most {longest} frames" if gaps else "none")
    table.add_row("coverage", _spread([one.quality.coverage for one in measured], "{:.3f}"))
    table.add_row("jitter, m/s²", _spread([one.quality.jitter for one in measured], "{:.2f}"))
    table.add_row("foot skate, m/s", _spread([one.quality.foot_skate for one in measured], "{:.3f}"))
    table.add_row("limb drift", _spread([one.quality.limb_drift for one in measured], "{:.4f}"))
    posed = [1000 * one.posed for one in measured if one.posed is not None]
    far = f", {_spread(posed, '{:.3g}')} mm from joints to where they pose them" if posed else ""
    table.add_row("rotations", f"in {len(posed)} of {len(measured)}{far}")
    return table


def _spread(values: Sequence[float], form: str) -> str:
    """The median, and the least and the most where they differ."""
    known = sorted(value for value in values if isfinite(value))
    if not known:
        return "unknown"
    middle, low, high = (form.format(value) for value in (median(known), known[0], known[-1]))
    return middle if low == high else f"{middle} ({low} – {high})"
