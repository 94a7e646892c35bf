"""``posegen motion COMMAND …``: motions on disk, and what runs of actor and motion_diffusion generate."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from rich.table import Table

from orchestration.cli.checkpoint import with_checkpoint
from orchestration.cli.console import console
from orchestration.cli.parsing import Group, Positional, Section, arg
from orchestration.cli.progress import CountProgress
from orchestration.data.motion_conversion import ConversionSettings, SplitSettings
from orchestration.data.motion_curation import BuildSettings
from orchestration.data.motion_files import ReadSettings
from orchestration.evaluation.motion import MotionBasis, MotionEvaluateSettings
from orchestration.generation.motions import GenerateMotionSettings
from posegen.errors import UsageError, counted
from posegen.io.output_files import OverwriteSettings
from posegen.io.storage import StorageFolder
from posegen.synthetic.motions import NUM_SUBJECTS, SECONDS

if TYPE_CHECKING:
    from orchestration.data.motion_inspection import Inspection

_files = Section("Files and datasets")
_runs = Section("Runs of the stages actor and motion_diffusion")
MOTION_COMMANDS = Group("Convert, inspect, generate and measure 3-D motions.", (_files, _runs))
"""The commands of this file."""


@_files.command("inspect")
def _inspect(files: Positional[tuple[Path, ...]], settings: ReadSettings) -> None:
    """Print what motion files hold, and how good the motions are.

    Lists the format, fields with shapes and units, people, actions, gaps, and figures of quality.

    Args:
        files: Files, or folders that are datasets: posegen's own, NTU13, UESTC, PARE's images.

    Examples:
        posegen motion inspect walk.bvh
        posegen motion inspect vibe_output.pkl --fps 30
    """
    from orchestration.data.motion_inspection import inspect_motions

    if not files:
        raise UsageError("no file given, expected posegen motion inspect FILE …")
    for file in files:
        with CountProgress(console, "measuring") as progress:
            found = inspect_motions(file, settings, alone=len(files) == 1, on_progress=progress.update)
        console.print(f"{file}: {found.format}, {found.summary}", markup=False)
        if found.fields:
            console.print(_field_table(found))
        console.print(_motion_table(found))
        for note in found.notes:
            console.print(f"note: {note}", markup=False)
        if found.unknown_rate:
            console.print(f"not measured: {found.unknown_rate}", markup=False)
        for name, reason in found.broken.items():
            console.print(f"{name} is broken: {reason}", markup=False)


@_files.command("convert")
def _convert(
    paths: Positional[tuple[str, ...]],
    settings: Annotated[ConversionSettings, arg(name="")],
    writing: OverwriteSettings,
    name: str = "",
) -> None:
    """Convert motion files to a dataset, or one motion to a file.

    posegen motion convert FILE … OUT. Reads VIBE, PARE, HumanAct12, NTU13, UESTC, AMASS, BVH and posegen's own files.
    Formats are recognised by content, and code inside a file is never run. Broken motions of a folder are listed in
    rejected.json and left out. Run the command again to bring a dataset up to date: unchanged motions stay, and those
    that no file gives any more are deleted.

    Args:
        paths: Files, or folders of them; then OUT, a folder of a dataset, or a file for one motion: .npz, .bvh, .glb,
            or .npy for HumanML3D's 263 features.
        name: Name of the motion to write to a file, where there are several.

    Examples:
        posegen motion convert captured motions --pattern '*_{action}_{person}_*' --rate 25
        posegen motion convert kick.bvh kick.npz
        posegen motion convert kick.npz kick.glb
        posegen motion convert kick.npz kick.npy
    """
    from orchestration.data.motion_conversion import MOTION_FILES, convert_motions, convert_one

    if len(paths) < 2:
        raise UsageError("expected files and an output: posegen motion convert FILE … OUT")
    *sources, out = paths
    for source in sources:
        if "://" in source:
            raise UsageError(f"got {source}, expected a local file or folder: only the dataset may lie elsewhere")
    files = list(map(Path, sources))
    if out.endswith(MOTION_FILES):
        motion, edited = convert_one(files, Path(out), name, settings.reading, settings.edits, writing)
        for note in motion.notes:
            console.print(f"note: {note}", markup=False)
        console.print(f"{counted(len(motion), 'frame')}, {motion.fps:g} a second, in {out}", markup=False)
        console.print(str(edited))
        return
    if name:
        raise UsageError(f"--name chooses one motion, for a file {', '.join(MOTION_FILES)}: got the folder {out}")
    with CountProgress(console, "converting") as progress:
        converted = convert_motions(files, out, settings, on_progress=progress.update)
    for note in converted.notes:
        console.print(f"note: {note}", markup=False)
    console.print(str(converted), markup=False)
    if converted.edited:
        console.print(str(converted.edited))
    console.print(f"next: posegen motion inspect {out}", markup=False)


@_files.command("build-dataset")
def _build_dataset(
    out: Positional[str],
    tracks: Path,
    labels: Path,
    checks: BuildSettings,
    settings: Annotated[ConversionSettings, arg(name="")],
) -> None:
    """Build a dataset from an estimator's tracks of many videos.

    Checks that one person is in view, that the camera is still and that there are enough frames. OUT/review.csv lists
    what you should look at: whether the whole movement is shown, and in good enough resolution. Videos with a no there
    are left out when the command is run again.

    Args:
        out: Folder of the dataset.
        tracks: Folder of VIBE's or PARE's files, one a video.
        labels: Table, .csv, with the columns name (of a file, without its ending), action and, if known, person.

    Examples:
        posegen motion build-dataset --tracks pare --labels labels.csv --fps 30 gym
        posegen motion build-dataset --tracks vibe --labels labels.csv --fps 25 gym
    """
    from orchestration.data.motion_curation import REVIEW, build_from_tracks

    with CountProgress(console, "checking") as progress:
        built = build_from_tracks(tracks, labels, out, checks, settings, on_progress=progress.update)
    console.print(str(built.converted), markup=False)
    if built.without_video:
        some = ", ".join(built.without_video[:5])
        console.print(f"{len(built.without_video)} names in {labels} have no tracks, such as {some}", markup=False)
    if built.num_open:
        console.print(
            f"next: look at {counted(built.num_open, 'video')}, write yes or no to whole_movement and resolution in "
            f"{out}/{REVIEW}, and run the command again",
            markup=False,
        )


@_files.command("synth")
def _synth(
    out: Positional[str],
    splits: SplitSettings,
    subjects: int = NUM_SUBJECTS,
    takes: int = 1,
    seconds: tuple[float, float] = SECONDS,
) -> None:
    """Make a dataset of procedural motions: 30 actions.

    Each action is a set of curves of joint angles, with other amplitudes and speeds for each person and take.

    Args:
        out: Folder of the dataset.
        subjects: How many people.
        takes: Takes of each action by each person.
        seconds: Shortest and longest take.

    Examples:
        posegen motion synth motions
        posegen motion synth motions --subjects 10 --takes 3
    """
    from orchestration.data.motion_conversion import synthesize

    with CountProgress(console, "performing") as progress:
        info = synthesize(out, splits, subjects=subjects, takes=takes, seconds=seconds, on_progress=progress.update)
    console.print(
        f"{counted(len(info.motions), 'motion')} of {counted(subjects, 'person')} and "
        f"{counted(len(info.actions), 'action')} in {out}",
        markup=False,
    )


@_files.command("show")
def _show(
    paths: Positional[tuple[Path, ...]], settings: ReadSettings, writing: OverwriteSettings, most: int = 12
) -> None:
    """Render motions of any file as strips, a video and a 3-D page.

    posegen motion show FILE … OUT. Strips have ten pictures a second; on the page motions can be turned.

    Args:
        paths: Files, or folders of them; then OUT, a folder for the pictures.
        most: Motions to render, at most: the first ones.

    Examples:
        posegen motion show walk.bvh pictures
        posegen motion show walk.bvh vibe_output.pkl pictures --fps 30
    """
    from orchestration.data.motion_files import read_some
    from orchestration.generation.motions import picture_files, write_pictures

    if len(paths) < 2:
        raise UsageError("expected files and a folder for the pictures: posegen motion show FILE … OUT")
    if most < 1:
        raise UsageError(f"most must be at least 1, got {most}")
    *files, out = paths
    writing.require_writable(picture_files(out), files)
    shown = read_some(files, settings, most)
    for note in dict.fromkeys(note for _, motion in shown for note in motion.notes):
        console.print(f"note: {note}", markup=False)
    write_pictures(out, [motion for _, motion in shown], [name for name, _ in shown], title=", ".join(map(str, files)))
    console.print(
        f"{counted(len(shown), 'motion')} in {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False
    )


@_runs.command("generate")
@with_checkpoint
def _generate(run: Positional[str], out: Positional[Path], settings: GenerateMotionSettings) -> None:
    """Generate motions of any action and length.

    Writes .npz files, strips, a video and a page on which the motions can be turned.

    Args:
        run: Run of the stage actor or motion_diffusion; shipped for the one that comes with posegen.
        out: Folder for the files.

    Examples:
        posegen motion generate runs/actor made --actions walk wave --frames 100
        posegen motion generate runs/actor made --actions walk --to-action run --samples 5
    """
    from orchestration.generation.motions import generate_motions

    motions = generate_motions(run, out, settings)
    console.print(f"{counted(len(motions), 'motion')} of {counted(settings.frames, 'frame')} in {out}", markup=False)
    console.print(f"to look at: {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False)


@_runs.command("evaluate")
@with_checkpoint
def _evaluate(run: Positional[str], settings: MotionEvaluateSettings, dataset: str = "") -> None:
    """Measure generated motions: FID, accuracy, diversity, nearest training motion, jerk, foot skate.

    Args:
        run: Run of the stage actor or motion_diffusion; shipped for the one that comes with posegen, whose scores are
            printed alone.
        dataset: Real motions to compare with; by default those that the run was trained on.

    Examples:
        posegen motion evaluate runs/actor
        posegen motion evaluate runs/actor --recognizer gru-humanact12
    """
    from orchestration.evaluation.motion import evaluate_motion
    from orchestration.evaluation.tables import record_tables
    from posegen.inference.requested_motions import SHIPPED_RUN

    with CountProgress(console, "measuring") as progress:
        found = evaluate_motion(run, settings, dataset=dataset, on_progress=progress.update)
    console.print(*record_tables(found))
    for line in found.notes:
        console.print(line, markup=False)
    if settings.pictures and run != SHIPPED_RUN:
        console.print(f"strips, a video, a page and a map of codes: {found.run}/motions", markup=False)


@_runs.command("compare")
def _compare(runs: Positional[tuple[str, ...]]) -> None:
    """Print the metrics of several runs in one table.

    Refused where action classifier, data or protocol differ.

    Args:
        runs: Runs of actor or motion_diffusion, measured by `posegen motion evaluate`.

    Examples:
        posegen motion compare runs/actor runs/other
        posegen motion compare runs/a runs/b runs/c
    """
    from orchestration.evaluation.records import check_comparable, read_evaluation
    from orchestration.evaluation.tables import MotionRow, motion_tables, real_rows

    if not runs:
        raise UsageError("no runs given, expected one or more to compare")
    found = [read_evaluation(run, MotionBasis) for run in runs]
    check_comparable(found)
    generated: list[MotionRow] = [(StorageFolder(one.run).name, one, "generated") for one in found]
    console.print(*motion_tables([*real_rows(found[0]), *generated]))
    for line in found[0].notes:
        console.print(line, markup=False)


def _field_table(found: Inspection) -> Table:
    table = Table("field", "shape", "type", "unit")
    for field in found.fields:
        table.add_row(escape(field.name), field.shape, field.type, field.unit)
    return table


def _motion_table(found: Inspection) -> Table:
    """Table of a file's motions: counts, and figures of quality as medians over those that were measured."""
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
    for name, values in (
        ("up", [one.up for one in measured]),
        ("unit, m", [one.unit and f"{one.unit:.4g}" for one in measured]),
    ):
        if known := sorted({str(value) for value in values if value}):
            table.add_row(name, "; ".join(known[:3]) + "; …" * (len(known) > 3))
    table.add_row("frames a second", ", ".join(f"{rate:g}" for rate in sorted({one.fps for one in measured})))
    table.add_row("frames", _spread([one.frames for one in measured], "{:.0f}"))
    table.add_row("tracks", _spread([one.tracks for one in measured], "{:.0f}"))
    gaps = sum(one.gaps for one in measured)
    longest = max(one.longest_gap for one in measured)
    table.add_row("gaps", f"{gaps:,}, of at most {counted(longest, 'frame')}" if gaps else "none")
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
