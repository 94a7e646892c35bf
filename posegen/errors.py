"""Every named error, and how errors are put in one line.

A `PosegenError` says what was got, what was expected and what to do. The command line prints it in one line and ends
with code 2; any other exception is a fault of the program and ends with a traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_USER = re.compile(r"(?<=://)(?:[^/\s@'\"]*:[^\s'\"]*|[^/\s@'\"]*)@(?=[\w.\[])")  # a password may have / and @
_SECRET_OPTION = re.compile(r"(?i)([?&][\w-]*(?:password|passwd|secret|token|access_key)[\w-]*=)[^&\s'\"]+")


class PosegenError(ValueError):
    """An error that its reader can put right. The message is one line, without user and password of addresses."""

    def __init__(self, message: object = ""):
        super().__init__(hide_credentials(str(message)))


class ConfigError(PosegenError):
    """A setting, or a combination of settings and arguments, that cannot work."""


class UsageError(PosegenError):
    """A command line that cannot be parsed."""


class StorageError(PosegenError):
    """A file, folder or bucket that cannot be read or written."""


class ImageError(PosegenError):
    """A picture that cannot be decoded, or has another size than expected."""


class VideoError(PosegenError):
    """A video that cannot be decoded or written."""


class ArchiveError(PosegenError):
    """A file of a published dataset that is missing, damaged or something else. The message names the file."""


class PickleError(PosegenError):
    """A pickle that is damaged, or that holds what the restricted reader does not construct."""


class WeightsError(PosegenError):
    """Pretrained weights that cannot be fetched, verified or read."""


class ColorError(PosegenError):
    """A colour that cannot be parsed or reached."""


class MotionError(PosegenError):
    """A motion, or a file of motions, that cannot be read or used."""


class MissingRateError(MotionError):
    """A motion file without a frame rate, where none was given."""


class SmplError(PosegenError):
    """A file of SMPL's body model that cannot be used."""


class DatasetError(PosegenError):
    """A dataset that is missing, damaged, of another kind, or lacks what is asked of it."""


class PerceptionError(PosegenError):
    """Frames, or files about frames, in which a backend finds nothing that can be used."""


class CheckpointError(PosegenError):
    """A checkpoint that is missing, damaged, or of another stage."""


class CheckpointImportError(PosegenError):
    """A checkpoint of published code that cannot be imported."""


class RunError(PosegenError):
    """A run that cannot be started, continued or used as asked."""


class DivergenceError(RunError):
    """Losses that are not finite any more, of which all workers know: training again ends in the same way."""


class EvaluationError(PosegenError):
    """Evaluations that are missing, or that cannot be compared."""


class SearchError(PosegenError):
    """A search that cannot be started or continued as asked."""


class CapacityError(SearchError):
    """A trial whose settings are valid but which needs more memory than there is."""


class TrackingError(PosegenError):
    """An MLflow store that does not answer, or that lacks what is asked for."""


class ClusterError(PosegenError):
    """A cluster file or a job that cannot be used as asked."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return hide_credentials((str(error).strip() or type(error).__name__).splitlines()[0])


def in_one_line(error: BaseException) -> str:
    """Return an error's whole message in one line, or its type where it has none."""
    return hide_credentials(" ".join(str(error).split()) or type(error).__name__)


_PLURALS = {"person": "people", "entry": "entries", "class": "classes"}


def counted(number: float, noun: str) -> str:
    """Return a number of things in words, such as ``1 clip`` or ``1,203 held-out motions``.

    Args:
        number: How many.
        noun: One of them.
    """
    words, _, last = noun.rpartition(" ")
    plural = _PLURALS.get(last, f"{last}s")
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {words}{' ' * bool(words)}{plural}"


def suggestion(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return the known word that is most like an unknown one, as `` (did you mean wave?)``; empty where none is like
    it, from 0 for any to 1 for the same."""
    similar = difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)
    return f" (did you mean {similar[0]}?)" if similar else ""


def hide_credentials(text: str) -> str:
    """Return the text without user and password in its addresses, such as those of
    ``postgresql://ann:secret@host/studies``."""
    return _SECRET_OPTION.sub(r"\1…", _USER.sub("", text))
