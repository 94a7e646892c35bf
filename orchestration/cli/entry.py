"""The program ``posegen``: help screens and misspelt words are answered from a cache, anything else by `main`.

Help is made of the settings of all stages, which need PyTorch, whose import takes seconds. The screens, and the words
that commands know, change with the files of the packages alone, so each is made once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from orchestration.cli.vocabulary import HELP, USAGE_ERROR, check_words, own_words
from orchestration.errors import is_read_no_further
from posegen.errors import UsageError, in_one_line
from posegen.io.cache import cache_folder

_PACKAGES = ("orchestration", "posegen", "search_spaces")


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: Words behind the program's name; by default those of this process.
    """
    with _leaving_quietly():
        _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(words: list[str]) -> None:
    if words == ["--version"]:
        print(f"posegen {version('posegen')}")
        return
    words = words or ["--help"]
    _check(words)
    if not set(HELP) & set(own_words(words)):
        _main(words)
        return
    file = _screen(words)
    with contextlib.suppress(OSError, UnicodeError):
        text = file.read_text(encoding="utf-8")
        text.encode(sys.stdout.encoding or "utf-8")
        print(text, end="")
        return
    kept = _Copied()
    try:
        with contextlib.redirect_stdout(kept):
            _main(words)
    except SystemExit as stop:
        if stop.code in (0, None):
            _store(file, kept.getvalue())
        raise


@contextlib.contextmanager
def _leaving_quietly() -> Iterator[None]:
    """End without a word where the output is read no further, as in ``posegen --help | head``.

    As Python's documentation of SIGPIPE recommends, which is no signal that a library may handle.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):  # what is left of it goes nowhere
            if is_read_no_further(stream):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(1)


def _check(words: Sequence[str]) -> None:
    """End with one line for words that no command has, where the words of all commands are kept."""
    try:
        known = json.loads(_vocabulary().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the first time
    try:
        check_words(words, "posegen", known)
    except UsageError as error:
        print("posegen:", in_one_line(error), file=sys.stderr)
        sys.exit(USAGE_ERROR)


def _main(words: Sequence[str]) -> None:
    from orchestration.cli.main import build_app, main

    if not (file := _vocabulary()).exists():
        _store(file, json.dumps(build_app().vocabulary))
    main(words)


class _Copied(io.StringIO):
    """Passes on what is printed, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = sys.stdout

    def write(self, text: str) -> int:
        self._shown.write(text)
        return super().write(text)

    def isatty(self) -> bool:
        return self._shown.isatty()

    def fileno(self) -> int:
        return self._shown.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._shown.encoding or "utf-8"


def _screen(words: Sequence[str]) -> Path:
    """Return the cache file of a help screen, which depends on the words and the terminal."""
    terminal = (shutil.get_terminal_size().columns, sys.stdout.isatty(), sys.stdout.encoding)
    return _cached(f"{_digest((list(words), terminal))}.txt")


def _vocabulary() -> Path:
    """Return the cache file of the words that commands know."""
    return _cached("words.json")


def _cached(name: str) -> Path:
    """Return a file of the cache of this version's files."""
    return cache_folder() / "help" / f"{_digest((sys.version, sorted(_files())))}-{name}"


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _files() -> Iterator[tuple[str, int]]:
    """The Python files of the packages, with their dates."""
    root = Path(__file__).resolve().parents[2]
    folders = [root / name for name in _PACKAGES]
    while folders:
        for entry in os.scandir(folders.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat().st_mtime_ns


def _store(file: Path, text: str) -> None:
    """Write a help screen whole or not at all; a cache that cannot be written is left alone."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
