"""The option --checkpoint, which all commands have that use a run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from posegen.checkpoints.checkpoint import BEST, choosing_checkpoint

_HELP = "Of a run: best by its metric of validation, last, or the number of an epoch that is kept."


def with_checkpoint(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first argument is a run the option --checkpoint."""

    @wraps(command)
    def run_command(*values: Any, checkpoint: str = BEST, **options: Any) -> None:
        with choosing_checkpoint(checkpoint):
            command(*values, **options)

    signature = inspect.signature(command)
    own = inspect.Parameter("checkpoint", inspect.Parameter.KEYWORD_ONLY, default=BEST, annotation=str)
    vars(run_command)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), own])
    run_command.__annotations__ = {**command.__annotations__, "checkpoint": str}
    run_command.__doc__ = re.sub(r"\s*\Z", f"\n        checkpoint: {_HELP}\n    ", command.__doc__ or "")
    return run_command
