"""The option --checkpoint, which all commands have that use a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from posegen.checkpoints.checkpoint import BEST, choosing_checkpoint
from posegen.inference.option_use import RUN, used_with

_HELP = "Which checkpoint of a run: best (by its validation metric), last, or the number of an epoch that was kept."
_OPTION = Annotated[str, used_with(RUN)]


def with_checkpoint(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first argument is a run the option --checkpoint."""

    @wraps(command)
    def run_command(*values: Any, checkpoint: str = BEST, **options: Any) -> None:
        with choosing_checkpoint(checkpoint):
            command(*values, **options)

    signature = inspect.signature(command)
    own = inspect.Parameter("checkpoint", inspect.Parameter.KEYWORD_ONLY, default=BEST, annotation=_OPTION)
    vars(run_command)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), own])
    run_command.__annotations__ = {**command.__annotations__, "checkpoint": _OPTION}
    arguments, examples, shown = (command.__doc__ or "").partition("\n\n    Examples:\n")
    run_command.__doc__ = f"{arguments.rstrip()}\n        checkpoint: {_HELP}\n    {examples}{shown}"
    return run_command
