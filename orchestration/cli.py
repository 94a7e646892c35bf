"""``posegen VERB …``: one call per verb, then a few lines that say what was made."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.logging import RichHandler
from tyro.conf import OmitArgPrefixes, Positional
from tyro.extras import SubcommandApp

from posegen.stages import STAGES, Stage

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

USAGE_ERROR = 2
DESCRIPTION = """Controllable human action video: a pose sequence and a clothing colour in, a video out.

The road:  studio or your videos → prepare → colorize → train color_encoder (upper, lower) → train video_generator
→ evaluate, generate.  `posegen demo` walks it in a few minutes.  `posegen VERB --help` explains each verb."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ends with code 2 and one line for what the user can put right."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors, show_path=False, show_time=False)]
    )
    try:
        app, arguments = build_app(arguments)
        app.cli(prog="posegen", description=DESCRIPTION, args=arguments, config=(OmitArgPrefixes,))
    except (ValueError, OSError) as error:
        errors.print(f"[bold red]posegen:[/] {one_line(error)}", highlight=False)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        errors.print("posegen: stopped; the same command goes on from what is finished")
        sys.exit(130)


def one_line(error: BaseException) -> str:
    """An error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def build_app(arguments: list[str]) -> tuple[SubcommandApp, list[str]]:
    """The commands, and the arguments without the preset, which decides the defaults of the others."""
    app = SubcommandApp()
    for verb in (studio, prepare, colorize):
        app.command(verb)
    preset, arguments = take_option(arguments, "--preset", "paper")
    app.command(build_train_app(preset), name="train", help="Train a stage; `posegen train STAGE --help` lists its settings.")
    for verb in (evaluate, generate, demo):
        app.command(verb)
    weights_app = SubcommandApp()
    for verb in (weights_list, weights_fetch, weights_verify):
        weights_app.command(verb, name=verb.__name__.removeprefix("weights_"))
    app.command(weights_app, name="weights", help="Pretrained weights: list, fetch, verify.")
    return app, arguments


def take_option(arguments: list[str], option: str, default: str) -> tuple[str, list[str]]:
    """Take one ``--option VALUE`` or ``--option=VALUE`` out of the arguments."""
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}="), arguments[:index] + arguments[index + 1 :]
    return default, arguments


def build_train_app(preset: str) -> SubcommandApp:
    """One command per stage, whose options are the fields of its configuration."""
    app = SubcommandApp()
    for name, stage in STAGES.items():
        if preset not in stage.presets:
            raise ValueError(f"unknown preset {preset!r}, expected one of {sorted(stage.presets)}")
        app.command(_train_command(stage, preset), name=name, help=_train_help(stage, preset))
    return app


def _train_help(stage: type[Stage], preset: str) -> str:
    summary = (stage.__doc__ or "").splitlines()[0]
    return f"{summary}\n\nDefaults shown are those of --preset {preset}; there are {', '.join(stage.presets)}."


def _train_command(stage: type[Stage], preset: str) -> Callable[..., None]:
    from orchestration.train import TrainSettings

    def command(dataset: Any, config: Any = stage.presets[preset], settings: Any = TrainSettings()) -> None:
        from orchestration.progress import ConsoleListener
        from orchestration.train import train

        with ConsoleListener(console) as listener:
            run = train(stage.name, config, dataset, settings, listener=listener)
        console.print(f"{run.name}: trained, in {run}")

    # tyro reads the types: they are known only here.
    command.__annotations__ = {
        "dataset": Positional[str],
        "config": Annotated[stage.Config, tyro.conf.arg(name="")],
        "settings": Annotated[TrainSettings, tyro.conf.arg(name="")],
        "return": None,
    }
    return command


def studio(
    out: Positional[Path],
    people: int = 13,
    actions: int = 16,
    frames: int = 100,
    size: Annotated[tuple[int, int], tyro.conf.arg(constructor=lambda text: parse_size(text), metavar="HxW")] = (384, 256),
    seed: int = 0,
) -> None:
    """Render the built-in studio: people who do the same actions, with their true pose, mask and colours.

    Args:
        out: Folder for PERSON/ACTION.mp4, with the truth beside each video.
        people: How many of the 13 people.
        actions: How many of the 16 actions.
        frames: Frames of each video.
        size: Height and width in pixels.
        seed: Decides the small differences between takes.
    """
