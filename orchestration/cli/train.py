"""``posegen train, import-checkpoint``: runs of stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from orchestration.cli.checkpoint import with_checkpoint
from orchestration.cli.console import console
from orchestration.cli.parsing import Command, Group, Positional, Section, arg
from orchestration.cli.progress import ConsoleProgress
from orchestration.training.import_published import ImportSettings
from orchestration.training.job import TrainSettings
from posegen.checkpoints.published import PublishedStageName, has_flow
from posegen.errors import UsageError
from posegen.stages import STAGES, Behavior, Stage


def _training_command(stage: type[Stage], preset: str) -> Callable[..., None]:
    """The command that trains a stage: its options are the fields of the stage's config, with a preset's defaults."""
    trained_first = next((name for name, one in stage.requires.items() if one.trained_first), "")

    def command(dataset: str, from_: str = "", config: Any = None, settings: Any = None) -> None:
        from orchestration.training.recipes import train_with_requirements

        with ConsoleProgress(console) as listener:
            config = _with_run(config, trained_first, from_)
            run = train_with_requirements(config, dataset, settings, preset, listener=listener)
        console.print(f"{run.name} is trained; it lies in {run}")

    kind = (stage.reads.__doc__ or "").partition(",")[0]  # a folder of clips, or of motions
    command.__doc__ = (
        f"{(stage.__doc__ or '').splitlines()[0]}\n\nDefaults are those of --preset {preset}, "
        f"one of {', '.join(stage.presets)}.\n\nArgs:\n    dataset: {kind}."
    )
    # tyro reads the signature, which is known only here.
    parameters: dict[str, tuple[Any, Any]] = {
        "dataset": (Positional[str], inspect.Parameter.empty),
        "config": (stage.Config, stage.presets[preset]),
        "settings": (TrainSettings, TrainSettings()),
    }
    if trained_first:
        help_text = (
            f"The same as --{trained_first}. With neither, that run is trained first, as NAME-{trained_first}; the "
            "settings that both stages have hold for it too, but for num_epochs and lr, which are its preset's."
        )
        parameters["from_"] = (Annotated[str, arg(name="from", help=help_text)], "")
    command.__annotations__ = {name: kind for name, (kind, _) in parameters.items()} | {"return": None}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default)
            for name, (kind, default) in parameters.items()
        ]
    )
    return command


TRAINING_COMMANDS = Section("Train")
"""The commands of this file, but for `train_group`."""


def train_group() -> Group:
    """Return a command for each of the stages that there are now."""
    stages: dict[str, Command | Group] = {
        name: Command(
            {preset: _training_command(stage, preset) for preset in stage.presets},
            group_of=partial(_group_of, stage),
            examples=_examples(stage),
        )
        for name, stage in STAGES.items()
    }
    return Group("Train a stage, or continue its run.", (Section("Stages", stages),), word="stage")


def _group_of(stage: type[Stage], option: str) -> str:
    """The title below which an option is listed; empty where it is no setting of the stage."""
    settings = {one.name for one in fields(stage.Config)}
    if option not in settings:
        return ""
    if option in {one.name for one in fields(Stage.Config)}:
        return "Training"
    if option in stage.requires:
        return "Runs that it begins with"
    return "Losses" if option.startswith(("lambda_", "weight_")) else "Network and samples"


def _examples(stage: type[Stage]) -> list[str]:
    needed = "".join(f" --{name.replace('_', '-')} runs/{name}" for name in stage.requires)
    presets = [name for name in stage.presets if name in ("small", "tiny")]
    line = f"posegen train {stage.name} DATASET --name {stage.name}{needed}"
    return [line, *(f"{line} --preset {preset} --workers 0" for preset in presets)]


@TRAINING_COMMANDS.command("import-checkpoint")
def _import_checkpoint(
    stage: Positional[PublishedStageName],
    checkpoint: Positional[Path],
    dataset: Positional[str],
    settings: ImportSettings,
) -> None:
    """Make a run of a published checkpoint of behaviour synthesis.

    The code is that of Blattmann et al., 2021. The run counts as finished: evaluate it, generate with it, or train a
    flow on its codes. Sizes are read from the checkpoint's tensors; window length, frame rate and code size from
    config.yaml, if it lies beside the checkpoint. Import a behaviour net before its flow, and name it by --from.

    Args:
        stage: The network: behavior, behavior_flow or shape_posture.
        checkpoint: File reg_ckpt_*.pth or, of a flow, flow_ckpt_*.pth; or a folder, of which the newest one is taken.
        dataset: For a behaviour net: motions, from which the scale of poses is taken. For shape_posture: clips of the
            size that the network renders.

    Examples:
        posegen import-checkpoint behavior pretrained motions --name published
        posegen import-checkpoint shape_posture pretrained clips --name shape
    """
    from orchestration.training.import_published import import_checkpoint

    imported = import_checkpoint(stage, checkpoint, dataset, settings)
    console.print(f"{imported.checkpoint} is the run {imported.run.name} now, in {imported.run}", markup=False)
    verb = "evaluate" if stage == "shape_posture" else "behavior evaluate"
    console.print(f"next: posegen {verb} {imported.run}", markup=False)
    if stage != Behavior.name:
        return
    if has_flow(imported.checkpoint.parent):
        options = f"{imported.checkpoint.parent} {dataset} --from {imported.run} --name {imported.run.name}-flow"
        console.print(f"its flow: posegen import-checkpoint behavior_flow {options}", markup=False)
        return
    # A flow must have these settings, too.
    frames, size = (imported.config.value_of(name) for name in ("num_frames", "latent_dim"))
    options = f"{dataset} --from {imported.run} --no-canonical --num-frames {frames} --latent-dim {size}"
    console.print(f"a flow: posegen train behavior_flow {options}", markup=False)


@TRAINING_COMMANDS.command("register")
@with_checkpoint
def _register(run: Positional[str], name: Positional[str], dataset: str = "") -> None:
    """Register a video generator in MLflow, for mlflow.pyfunc.

    The model takes a table with a column `photo` (a file, or a clip of the dataset) and columns action or poses, upper,
    lower and frames, and gives a table of MP4 videos. The checkpoint is copied into MLflow.

    Args:
        run: Run of the stage video_generator or end_to_end.
        name: Name of the model; another version is added to one that exists.
        dataset: Clip dataset whose clips the model can name where it is loaded; by default the run's own.

    Examples:
        posegen register runs/video dancer
        posegen register runs/video dancer --checkpoint last
    """
    from orchestration.tracking.register import register

    made = register(run, name, dataset)
    console.print(f"{made.name} has version {made.version}: mlflow.pyfunc.load_model({made.uri!r})", markup=False)


def _with_run(config: Stage.Config, name: str, run: str) -> Stage.Config:
    """The configuration with the run that --from names. Raises UsageError where the field names one, too."""
    if run and getattr(config, name):
        raise UsageError(f"--from and --{name} are the same: give one of them")
    changes: dict[str, Any] = {name: run} if run else {}
    return replace(config, **changes)
