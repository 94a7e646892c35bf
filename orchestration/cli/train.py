"""``posegen train STAGE …``: one command per stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.runtime.progress import ConsoleProgress
from orchestration.training.train import TrainSettings
from posegen.errors import UsageError
from posegen.stages import STAGES, BehaviorFlow, Stage


def train_app(preset: str) -> SubcommandApp:
    """One command per stage, whose options are the fields of its configuration."""
    app = SubcommandApp()
    for name, stage in STAGES.items():
        chosen = preset if preset in stage.presets else next(iter(stage.presets))
        summary = (stage.__doc__ or "").splitlines()[0]
        presets = ", ".join(stage.presets)
        help_text = f"{summary}\n\nDefaults are those of --preset {chosen}; there are {presets}."
        command = _flow_command(chosen) if stage is BehaviorFlow else _train_command(stage, chosen)
        app.command(name=name, help=help_text)(deferred(command))
    return app


def _train_command(stage: type[Stage], preset: str) -> Callable[..., None]:
    def command(dataset: Any, config: Any = stage.presets[preset], settings: Any = TrainSettings()) -> None:
        from orchestration.training.train import train

        with ConsoleProgress(console) as listener:
            run = train(stage.name, config, dataset, settings, listener=listener)
        console.print(f"{run.name} is trained; it lies in {run}")

    # tyro reads the types, which are known only here.
    command.__annotations__ = {
        "dataset": Positional[str],
        "config": stage.Config,
        "settings": TrainSettings,
        "return": None,
    }
    return command


def _flow_command(preset: str) -> Callable[..., None]:
    def command(
        dataset: Positional[str],
        from_: Annotated[
            str,
            arg(
                name="from",
                help="The same as --behavior. With neither, the behaviour net is trained first, as the run "
                "NAME-behavior; the settings that both stages have hold for it too, but for num_epochs and lr, which "
                "are its preset's.",
            ),
        ] = "",
        config: BehaviorFlow.Config = BehaviorFlow.presets[preset],  # type: ignore[assignment]
        settings: TrainSettings = TrainSettings(),
    ) -> None:
        from orchestration.training.behavior_recipe import train_flow

        with ConsoleProgress(console) as listener:
            run = train_flow(_with_run(config, from_), dataset, settings, preset, listener=listener)
        console.print(f"{run.name} is trained; it lies in {run}")

    return command


def _with_run(config: BehaviorFlow.Config, run: str) -> BehaviorFlow.Config:
    """The configuration with the run that --from names. Raises UsageError where --behavior names one, too."""
    if run and config.behavior:
        raise UsageError("--from and --behavior are the same: give one of them")
    return replace(config, behavior=run) if run else config
