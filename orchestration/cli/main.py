"""``posegen COMMAND …``: parse a command line, and run the command that it names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from rich.logging import RichHandler

from orchestration.cli.app import APP_COMMANDS
from orchestration.cli.behavior import BEHAVIOR_COMMANDS
from orchestration.cli.cluster import cluster_commands
from orchestration.cli.console import errors
from orchestration.cli.data import DATA_COMMANDS
from orchestration.cli.machine import machine_commands
from orchestration.cli.motion import MOTION_COMMANDS
from orchestration.cli.parsing import Group, Section
from orchestration.cli.report import REPORT_COMMANDS
from orchestration.cli.search import SEARCH_COMMANDS
from orchestration.cli.train import TRAINING_COMMANDS, train_group
from orchestration.cli.video import VIDEO_COMMANDS
from orchestration.cli.vocabulary import USAGE_ERROR
from orchestration.cli.weights import WEIGHTS_COMMANDS
from orchestration.errors import naming_system_errors
from orchestration.runtime.termination import TERMINATED, exiting_on_sigterm
from posegen.errors import PosegenError, hide_credentials, in_one_line
from posegen.io.storage import without_user
from posegen.parallel import one_thread

_STOPPED = "posegen: stopped; the same command goes on from what is finished"
_INTERRUPTED = 130
DESCRIPTION = """Generate a video of a person from a picture, a pose sequence and a clothing colour.

From one photo, without training: posegen animate photo.jpg --action wave --upper teal --out wave.mp4

From networks trained on your own videos (or on those of studio): prepare → colorize → train color_encoder (upper,
lower) → train video_generator → evaluate, generate, animate. `posegen demo` runs all steps in about ten minutes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ends with code 2 and one line for what the user can put right."""
    handler = RichHandler(console=errors, show_path=False, show_time=False)
    handler.addFilter(_hide_credentials)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    for name in ("posegen.tracking", "posegen.checkpoints", "posegen.weights"):  # new files, epochs taken, downloads
        logging.getLogger(name).setLevel(logging.INFO)
    given = list(sys.argv[1:] if arguments is None else arguments)
    own = given.index("--") if "--" in given else len(given)  # what follows is another machine's command
    try:
        with exiting_on_sigterm(), one_thread(), naming_system_errors():
            build_app().parse("posegen", [*map(without_user, given[:own]), *given[own:]])()
    except PosegenError as error:
        errors.print("posegen:", in_one_line(error), markup=False)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        errors.print(_STOPPED)
        sys.exit(_INTERRUPTED)
    except SystemExit as stop:
        if stop.code == TERMINATED:
            errors.print(_STOPPED)
        raise


def _hide_credentials(record: logging.LogRecord) -> bool:
    """Take user and password out of the addresses of a message."""
    record.msg, record.args = hide_credentials(record.getMessage()), ()
    return True


def build_app() -> Group:
    """Return all commands, in the order of the help."""
    training = Section(TRAINING_COMMANDS.title, {"train": train_group(), **TRAINING_COMMANDS.commands})
    motions = Section("Motions and behaviour", {"motion": MOTION_COMMANDS, "behavior": BEHAVIOR_COMMANDS})
    weights = Section("Pretrained weights", {"weights": WEIGHTS_COMMANDS})
    return Group(
        DESCRIPTION,
        (
            DATA_COMMANDS,
            training,
            SEARCH_COMMANDS,
            VIDEO_COMMANDS,
            APP_COMMANDS,
            motions,
            REPORT_COMMANDS,
            weights,
            machine_commands(build_app),
            cluster_commands(lambda arguments: build_app().parse("posegen", arguments)),
        ),
    )
