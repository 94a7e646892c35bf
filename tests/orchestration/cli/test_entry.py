"""The program `posegen`: the version, and help screens that cost little."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from orchestration.cli import entry
from orchestration.errors import naming_system_errors
from posegen.errors import StorageError

RUN = [sys.executable, "-c", "import sys; from orchestration.cli.entry import run; run(sys.argv[1:])"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path))
    return tmp_path / "help"


def screens(cache: Path) -> list[Path]:
    return list(cache.glob("*.txt"))


def show(*words: str) -> str:
    return subprocess.run([*RUN, *words], check=True, capture_output=True, text=True).stdout


def test_the_version_is_printed(capsys):
    entry.run(["--version"])
    assert capsys.readouterr().out == f"posegen {version('posegen')}\n"


def test_a_help_screen_is_made_once(cache, capsys):
    with pytest.raises(SystemExit, match="0"):
        entry.run(["colorways", "--help"])
    made = capsys.readouterr().out
    assert made.startswith("usage: posegen colorways") and len(screens(cache)) == 1
    entry.run(["colorways", "--help"])
    assert capsys.readouterr().out == made


def test_a_cached_screen_imports_no_library(cache):
    first = show("train", "actor", "--preset", "small", "--help")
    check = "; assert not {'torch', 'numpy', 'rich', 'tyro', 'ray'} & set(sys.modules)"
    second = subprocess.run(
        [RUN[0], "-c", RUN[2] + check, "train", "actor", "--preset", "small", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert second.stdout == first and "usage: posegen train actor" in first


def test_another_width_and_other_files_have_screens_of_their_own(cache, monkeypatch):
    show("--help")
    monkeypatch.setenv("COLUMNS", "60")
    show("--help")
    assert len(screens(cache)) == 2
    before = entry._screen(["--help"]), entry._vocabulary()
    monkeypatch.setattr(entry, "_files", lambda: iter([("other.py", 1)]))
    assert entry._screen(["--help"]) != before[0] and entry._vocabulary() != before[1]


def test_the_program_alone_shows_its_help(cache):
    assert show() == show("--help") and "usage: posegen COMMAND" in show()


def test_mistakes_are_not_kept(cache):
    failed = subprocess.run([*RUN, "gnerate", "--help"], capture_output=True, text=True)
    assert failed.returncode == 2 and "did you mean generate?" in failed.stderr and not screens(cache)


def test_misspelt_words_import_no_library_and_have_the_answer_of_the_parser(cache):
    careful = (
        "import sys; from orchestration.cli.entry import run\n"
        "try: run(sys.argv[1:])\n"
        "finally: assert not {'torch', 'numpy', 'rich', 'tyro', 'ray'} & set(sys.modules)"
    )
    first = subprocess.run([*RUN, "trian"], capture_output=True, text=True)  # keeps the words of all commands
    assert (
        first.returncode == 2
        and first.stderr == "posegen: unknown command 'trian' (did you mean train?); see posegen --help\n"
    )
    for line, message in {
        "trian": first.stderr,
        "animate a.jpg --color red --out b.mp4": "unknown option --color (did you mean --upper or --lower?)",
        "motion": "expected a command, one of",
        "animate": "missing PHOTO|VIDEO|RUN; see posegen animate --help",
        "animate a.jpg --action wave --out b.avi": "the video is written as .mp4, got 'b.avi'; see posegen animate",
        "preview a.jpg --out=b.jpg": "the preview is written as .png, got 'b.jpg'; see posegen preview",
        "colorways a.jpg --upper teal --out /dev/null/b.png": "/dev/null is no folder",
    }.items():
        again = subprocess.run([RUN[0], "-c", careful, *line.split()], capture_output=True, text=True)
        assert again.returncode == 2 and message in again.stderr, line


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setitem(os.environ, "POSEGEN_CACHE", str(tmp_path / "file"))
    assert "usage: posegen COMMAND" in show("--help")


@pytest.mark.parametrize("words", [["--version"], ["weights", "--help"], ["weights", "list"], ["completion", "fish"]])
def test_a_reader_that_goes_away_is_no_error(words, tmp_path):
    """As in ``posegen --help | head -3``; a screen that is cached, and one that is not, print alike."""
    for _ in range(2 if "--help" in words else 1):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as closed:
            done = subprocess.run([*RUN, *words], stdout=closed, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, "")


def test_a_broken_pipe_that_is_not_the_output_is_told(monkeypatch):
    """Such as a connection that another program closed."""

    def break_off(words):
        with naming_system_errors():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(entry, "_main", break_off)
    with pytest.raises(StorageError, match="Broken pipe"):
        entry.run(["weights", "list"])
