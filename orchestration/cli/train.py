"""``posegen train STAGE …``: one command per stage."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.cli.progress import ConsoleProgress
from orchestration.training.job import TrainSettings
from posegen.errors import UsageError
from posegen.stages import STAGES, Stage


def train_app(preset: str) -> SubcommandApp:
    """One command per stage, whose options are the fields of its configuration."""
    app = SubcommandApp()
    for name, stage in STAGES.items():
        chosen = preset if preset in stage.presets else next(iter(stage.presets))
        summary = (stage.__doc__ or "").splitlines()[0]
        presets = ", ".join(stage.presets)
        help_text = f"{summary}\n\nDefaults are those of --preset {chosen}; there are {presets}."
        app.command(name=name, help=help_text)(deferred(_train_command(stage, chosen)))
    return app


def _train_command(stage: type[Stage], preset: str) -> Callable[..., None]:
    trained_first = next((name for name, one in stage.requires.items() if one.trained_first), "")

    def command(dataset: str, from_: str = "", config: Any = None, settings: Any = None) -> None:
        from orchestration.training.recipes import train_with_requirements

        with ConsoleProgress(console) as listener:
            config = _with_run(config, trained_first, from_)
            run = train_with_requirements(config, dataset, settings, preset, listener=listener)
        console.print(f"{run.name} is trained; it lies in {run}")

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


def _with_run(config: Stage.Config, name: str, run: str) -> Stage.Config:
    """The configuration with the run that --from names. Raises UsageError where the field names one, too."""
    if run and getattr(config, name):
        raise UsageError(f"--from and --{name} are the same: give one of them")
    changes: dict[str, Any] = {name: run} if run else {}
    return replace(config, **changes)
