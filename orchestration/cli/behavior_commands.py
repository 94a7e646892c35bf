"""``posegen behavior sample | interpolate | reconstruct``: motions that runs of behavior and behavior_flow make."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.generation.behavior import InterpolationSettings, LengthSettings


def add_behavior_commands(app: SubcommandApp) -> None:
    """Add the verbs."""
    app.command(name="sample")(deferred(sample))
    app.command(name="interpolate")(deferred(interpolate))
    app.command(name="reconstruct")(deferred(reconstruct))


def sample(
    run: Positional[str],
    out: Positional[Path],
    observed: tuple[str, ...],
    samples: int = 3,
    seed: int = 0,
    settings: LengthSettings = LengthSettings(),
) -> None:
    """Draw random futures of motions from their last frames: .npz files, strips, a video and a page that turns them.

    Codes are random ones of the prior, or of the flow where the run is one.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for them.
        observed: Motions: files .npz, videos, or names in the run's dataset, by id or PERSON/ACTION.
        samples: Futures of each.
        seed: Decides the codes.
    """
    from orchestration.generation.behavior import sample_behavior

    made = sample_behavior(run, out, observed, samples=samples, seed=seed, settings=settings)
    _say_made(f"{len(made)} futures of {len(made[0])} frames", out)


def interpolate(run: Positional[str], out: Positional[Path], settings: InterpolationSettings) -> None:
    """Generate motions of one person with behaviours from that of one motion to that of another, in even steps.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for the files.
    """
    from orchestration.generation.behavior import interpolate_behavior

    made = interpolate_behavior(run, out, settings)
    _say_made(f"{len(made)} motions of {len(made[0])} frames", out)


def reconstruct(
    run: Positional[str],
    out: Positional[Path],
    motions: Positional[tuple[str, ...]],
    settings: LengthSettings = LengthSettings(),
) -> None:
    """Draw motions again from their own behaviour and first posture, and tell how near they come.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for them.
        motions: Files .npz, videos, or names in the run's dataset, by id or PERSON/ACTION.
    """
    from orchestration.generation.behavior import reconstruct_behavior

    made = reconstruct_behavior(run, out, motions, settings)
    for one in made:
        told = f"{one.name}: {100 * one.error:.1f} cm a joint, who stands still is off by {100 * one.still:.1f} cm"
        console.print(told, markup=False)
    _say_made(f"{len(made)} motions", out)


def _say_made(what: str, out: Path) -> None:
    console.print(f"{what} in {out}", markup=False)
    console.print(f"to look at: {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False)
