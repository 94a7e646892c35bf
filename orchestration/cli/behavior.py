"""``posegen behavior COMMAND …``: runs of the stages behavior and behavior_flow, and motions that they generate."""

from __future__ import annotations

from pathlib import Path

from orchestration.cli.checkpoint import with_checkpoint
from orchestration.cli.console import console
from orchestration.cli.parsing import Group, Positional, Section
from orchestration.cli.progress import CountProgress
from orchestration.generation.behavior import InterpolationSettings, LengthSettings
from posegen.errors import UsageError, counted
from posegen.evaluation.behavior import BehaviorProtocol

_commands = Section("Commands")
BEHAVIOR_COMMANDS = Group("Sample, interpolate and measure learned behaviour.", (_commands,))
"""The commands of this file."""


@_commands.command("sample")
@with_checkpoint
def _sample(
    run: Positional[str],
    out: Positional[Path],
    observed: tuple[str, ...],
    settings: LengthSettings,
    samples: int = 3,
    seed: int = 0,
) -> None:
    """Sample random futures of motions, from their last frames.

    Codes are sampled from the prior, or by the flow where the run is one. Writes .npz files, strips, a video and a page
    on which the motions can be turned.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for the files.
        observed: The motions: files .npz, videos, or names in the run's dataset, by id or PERSON/ACTION.
        samples: Futures of each motion.
        seed: Seed of the codes.

    Examples:
        posegen behavior sample runs/flow made --observed s01/kick --samples 6
        posegen behavior sample runs/flow made --observed s01/kick --frames 80
    """
    from orchestration.generation.behavior import sample_behavior

    made = sample_behavior(run, out, observed, samples=samples, seed=seed, settings=settings)
    _print_made(f"{counted(len(made), 'future')} of {counted(len(made[0]), 'frame')}", out)


@_commands.command("interpolate")
@with_checkpoint
def _interpolate(run: Positional[str], out: Positional[Path], settings: InterpolationSettings) -> None:
    """Generate motions with behaviours between two, in even steps.

    All start from the same pose of one person.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for the files.

    Examples:
        posegen behavior interpolate runs/behavior made --first s01/kick --second s01/wave --target s02/sit
        posegen behavior interpolate runs/behavior made --first s01/kick --second s01/wave --target s02/sit --count 7
    """
    from orchestration.generation.behavior import interpolate_behavior

    made = interpolate_behavior(run, out, settings)
    _print_made(f"{counted(len(made), 'motion')} of {counted(len(made[0]), 'frame')}", out)


@_commands.command("reconstruct")
@with_checkpoint
def _reconstruct(
    run: Positional[str],
    out: Positional[Path],
    motions: Positional[tuple[str, ...]],
    settings: LengthSettings,
) -> None:
    """Reconstruct motions from their own behaviour and first pose.

    Prints the error of each: mean distance of joints, beside that of standing still.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for the files.
        motions: Files .npz, videos, or names in the run's dataset, by id or PERSON/ACTION.

    Examples:
        posegen behavior reconstruct runs/behavior made s01/kick
        posegen behavior reconstruct runs/behavior made s01/kick s02/walk
    """
    from orchestration.generation.behavior import reconstruct_behavior

    made = reconstruct_behavior(run, out, motions, settings)
    for one in made:
        errors = f"mean joint error {100 * one.error:.1f} cm (standing still: {100 * one.still:.1f} cm)"
        console.print(f"{one.name}: {errors}", markup=False)
    _print_made(f"{counted(len(made), 'motion')}", out)


@_commands.command("evaluate")
@with_checkpoint
def _evaluate(run: Positional[str], protocol: BehaviorProtocol, dataset: str = "", pictures: bool = True) -> None:
    """Measure a run on held-out motions.

    Metrics are of transfers, of random futures, and of the poses that a probe can read out of codes.

    Args:
        run: Run of the stage behavior or behavior_flow.
        dataset: Motions; by default those that the run was trained on. Probes are trained on its training split.
        pictures: Render transfers, random futures and a map of codes.

    Examples:
        posegen behavior evaluate runs/behavior
        posegen behavior evaluate runs/flow --seeds 5
    """
    from orchestration.evaluation.behavior import evaluate_behavior
    from orchestration.evaluation.tables import record_tables

    with CountProgress(console, "measuring") as progress:
        found = evaluate_behavior(run, protocol, dataset=dataset, pictures=pictures, on_progress=progress.update)
    console.print(*record_tables(found))
    for line in found.notes:
        console.print(line, markup=False)
    console.print(f"scores: {found.folder}/evaluation.json", markup=False)
    if pictures:
        console.print(f"strips, videos, pages and a map of codes: {found.run}/behavior", markup=False)


@_commands.command("compare")
def _compare(runs: Positional[tuple[str, ...]]) -> None:
    """Print the metrics of several runs in one table.

    Refused where data or protocol differ.

    Args:
        runs: Runs, measured by `posegen behavior evaluate`.

    Examples:
        posegen behavior compare runs/behavior runs/flow
        posegen behavior compare runs/a runs/b
    """
    from orchestration.evaluation.behavior import BehaviorBasis
    from orchestration.evaluation.records import check_comparable, read_evaluation
    from orchestration.evaluation.tables import behavior_comparison

    if not runs:
        raise UsageError("no runs given, expected one or more to compare")
    found = [read_evaluation(run, BehaviorBasis) for run in runs]
    check_comparable(found)
    console.print(behavior_comparison(found))
    for line in found[0].notes:
        console.print(line, markup=False)


def _print_made(what: str, out: Path) -> None:
    console.print(f"{what} in {out}", markup=False)
    console.print(f"to look at: {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False)
