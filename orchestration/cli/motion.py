"""``posegen motion VERB …``: motions on disk, and what runs of the stage actor generate."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.cli.motion_commands import add_motion_commands
from orchestration.cli.progress import CountProgress
from orchestration.data.motion_conversion import ReadSettings
from orchestration.evaluation.motion import MotionBasis, MotionEvaluateSettings
from orchestration.evaluation.records import EvaluationRecord
from orchestration.generation.motions import GenerateMotionSettings
from posegen.errors import ConfigError, UsageError
from posegen.evaluation.motion_generation import MotionSet
from posegen.io.storage import StorageFolder


def motion_app() -> SubcommandApp:
    """All verbs."""
    app = SubcommandApp()
    add_motion_commands(app)
    app.command(name="show")(deferred(show))
    app.command(name="generate")(deferred(generate))
    app.command(name="evaluate")(deferred(evaluate))
    app.command(name="compare")(deferred(compare))
    return app


def show(paths: Positional[tuple[Path, ...]], most: int = 12, settings: ReadSettings = ReadSettings()) -> None:
    """Draw motions of any file: strips of every third frame, a video, and a page on which they can be turned.

    posegen motion show FILE … OUT.

    Args:
        paths: Files, or folders of them; then OUT, a folder for the pictures.
        most: Motions that are drawn; the first ones.
    """
    from orchestration.data.motion_conversion import read_some
    from orchestration.generation.motions import write_pictures

    if len(paths) < 2:
        raise ConfigError("say what to show, and where to put the pictures: posegen motion show FILE … OUT")
    if most < 1:
        raise ConfigError(f"most must be at least 1, got {most}")
    *files, out = paths
    shown = read_some(files, settings, most)
    write_pictures(out, [motion for _, motion in shown], [name for name, _ in shown], title=", ".join(map(str, files)))
    console.print(f"{len(shown)} motions in {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False)


def generate(
    run: Positional[str], out: Positional[Path], settings: GenerateMotionSettings = GenerateMotionSettings()
) -> None:
    """Generate motions of any action and length: .npz files, strips, a video and a page on which they can be turned.

    Args:
        run: Run of the stage actor.
        out: Folder for them.
    """
    from orchestration.generation.motions import generate_motions

    motions = generate_motions(run, out, settings)
    console.print(f"{len(motions)} motions of {settings.frames} frames in {out}", markup=False)
    console.print(f"to look at: {out}/strips.png, {out}/motions.mp4, {out}/motions.html", markup=False)


def evaluate(
    run: Positional[str], dataset: str = "", settings: MotionEvaluateSettings = MotionEvaluateSettings()
) -> None:
    """Measure how real, varied and true to their action generated motions are: FID, accuracy, diversity, multimodality.

    Args:
        run: Run of the stage actor.
        dataset: Real motions to compare with; by default those that it was trained on.
    """
    from orchestration.evaluation.motion import evaluate_motion
    from orchestration.evaluation.tables import record_tables

    with CountProgress(console, "measuring") as listener:
        found = evaluate_motion(run, settings, dataset=dataset, on_progress=listener.update)
    console.print(*record_tables(found))
    for line in found.notes:
        console.print(line, markup=False)
    console.print(f"strips, a video, a page and a map of codes: {found.run}/motions", markup=False)


def compare(runs: Positional[tuple[str, ...]]) -> None:
    """Print the scores of several runs in one table; refused where action classifier, data or protocol differ.

    Args:
        runs: Runs of the stage actor that `posegen motion evaluate` has measured.
    """
    from orchestration.evaluation.records import check_comparable, read_evaluation
    from orchestration.evaluation.tables import motion_table
    from posegen.evaluation.published_results import MOTION_RESULTS

    if not runs:
        raise UsageError("say which runs to compare")
    found = [read_evaluation(run, MotionBasis) for run in runs]
    check_comparable(found)
    rows: list[tuple[str, EvaluationRecord[MotionBasis], MotionSet]] = [("real", found[0], "real")]
    rows += [(StorageFolder(one.run).name, one, "generated") for one in found]
    console.print(motion_table(rows, MOTION_RESULTS.get(found[0].basis.recognizer, ())))
    for line in found[0].notes:
        console.print(line, markup=False)
