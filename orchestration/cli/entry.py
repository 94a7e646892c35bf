"""The program ``posegen``: help screens that were printed before come from a cache, anything else from `main`.

Help is made of the settings of all stages, which need PyTorch, whose import takes seconds. The screens change with the
files of the packages alone, so each is made once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from orchestration.errors import is_read_no_further
from posegen.io.cache import cache_folder

_HELP = {"-h", "--help"}
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
    if not _HELP & set(words[: words.index("--")] if "--" in words else words):
        _main(words)
        return
    file = _cached(words)
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


def _main(words: Sequence[str]) -> None:
    from orchestration.cli.main import main

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


def _cached(words: Sequence[str]) -> Path:
    """Return the cache file of a help screen, which depends on the words, the terminal, and the files of this
    version."""
    terminal = (shutil.get_terminal_size().columns, sys.stdout.isatty(), sys.stdout.encoding)
    facts = repr((list(words), terminal, sys.version, sorted(_files())))
    return cache_folder() / "help" / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.txt"


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
