"""Command lines of small groups: presets, repeated options, and tyro's errors in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tyro.conf import UseAppendAction

from orchestration.cli.arguments import arguments_of, without_commas
from orchestration.cli.parsing import Command, Group, Positional, Section, error_line
from orchestration.cli.vocabulary import check_words, take_option
from orchestration.option_types import FrameSize
from posegen.errors import UsageError

SPIN = Section("Motions of one place")


@dataclass(frozen=True)
class SpinSettings:
    """How it turns."""

    turns: int = 1
    """Whole turns of the
    body.

    A second paragraph."""
    axes: tuple[str, ...] = ("y",)
    """Axes."""
    marks: UseAppendAction[tuple[str, ...]] = ()
    """May be given again."""
    size: FrameSize = (4, 4)
    """Not a list."""
    span: tuple[int, int] = (0, 1)
    """Not a list either."""


@SPIN.command("spin-around")
def _spin(name: Positional[str], settings: SpinSettings, folder: Path = Path("here")) -> None:
    """Turn somebody around, for as many words as it takes to fill more than one line of a terminal of this width.

    Second paragraph, which
    goes on.

    Args:
        name: A name whose help
            is in two lines.
        folder: Anywhere.
    """
    print(name, settings.turns, folder)


def _jump(height: int) -> Callable[..., None]:
    def jump(height: int = height) -> None:
        print(height)

    return jump


GROUP = Group("All motions.", [SPIN, Section("Others", {"jump_up": Command({"low": _jump(1), "high": _jump(9)})})])


def parse(*words: str) -> Callable[[], None]:
    return GROUP.parse("do", words)


def test_a_command_is_parsed_first_and_run_afterwards(capsys):
    call = parse("spin-around", "ann", "--turns", "3")
    assert capsys.readouterr().out == ""
    call()
    assert capsys.readouterr().out == "ann 3 here\n"


def test_a_preset_decides_the_defaults(capsys):
    for words in ((), ("--preset", "high"), ("--preset=high", "--height", "4")):
        parse("jump_up", *words)()
    assert capsys.readouterr().out.split() == ["1", "9", "4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("jump-up", "--preset", "middle"),
            "unknown preset 'middle', expected one of high, low; see do jump_up --help",
        ),
        (("jump-up", "--preset"), "got --preset twice or without a value"),
        (("jump-up", "--preset", "low", "--preset=high"), "got --preset twice or without a value"),
        (
            ("spin-around", "ann", "--axes", "x", "--axes=z"),
            "got --axes twice: give it once, with all its values behind",
        ),
        (("spin-around", "ann", "--folder", "s3://bucket/a"), "got s3:/bucket/a, expected a local file or folder"),
        (("spin-arond",), "unknown command 'spin-arond' \\(did you mean spin-around\\?\\); see do --help"),
        (("--turns", "3"), "unknown command '--turns', expected one of spin-around, jump_up"),
        ((), "expected a command, one of spin-around, jump_up; see do --help"),
    ],
)
def test_what_cannot_be_parsed_is_refused(words, message):
    with pytest.raises(UsageError, match=message):
        parse(*words)


def test_a_scalar_or_an_option_that_is_repeatable_is_given_again(capsys):
    parse("spin-around", "ann", "--turns", "3", "--turns", "4", "--marks", "a", "--marks", "b")()
    assert capsys.readouterr().out == "ann 4 here\n"
    parse("spin-around", "--axes", "x", "--", "--axes")()
    assert capsys.readouterr().out == "--axes 1 here\n"


def test_options_of_many_values_are_read_off_the_annotations():
    found = list(arguments_of(_spin))
    assert {one.option for one in found if one.has_many} == {"--axes"}
    assert {one.option for one in found if one.is_positional} == {"--name"}
    assert {one.option for one in found} == {
        *("--name", "--folder", "--turns", "--axes", "--marks", "--size", "--span"),
    }


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("ann --axes x, y ,z , --turns 2", "ann --axes x y z --turns 2"),
        ("ann --axes x,y", "ann --axes x,y"),
        ("ann, --folder a, --axes=x, y,", "ann, --folder a, --axes=x, y,"),
        ("ann --axes x -- --axes y,", "ann --axes x -- --axes y,"),
    ],
)
def test_commas_between_the_values_of_a_list_are_left_out(line, meant):
    assert without_commas(_spin, line.split()) == meant.split()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ann --turns 3, 4", "--turns takes one value, got 3, 4; see do spin-around --help"),
        ("ann --marks a, b", "--marks takes one value, got a, b; several are one word: a,b; see"),
    ],
)
def test_several_values_of_an_option_of_one_are_refused(line, message):
    with pytest.raises(UsageError, match=message):
        parse("spin-around", *line.split())


def test_help_lists_commands_below_titles(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert GROUP.help("do").splitlines()[:8] == [
        "usage: do COMMAND …",
        "",
        "All motions.",
        "",
        "Motions of one place",
        "  spin-around  Turn somebody around, for as many words as it",
        "               takes to fill more than one line of a",
        "               terminal of this width",
    ]


def test_sentences_of_helps_are_wrapped_and_not_broken(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        parse("spin-around", "--help")
    out = capsys.readouterr().out
    assert "Turn somebody around, for as many words as it takes to fill more than one line\nof a terminal" in out
    for sentence in (
        "Second paragraph, which goes on.",
        "A name whose help is in two lines.",
        "Whole turns of the body.",
    ):
        assert sentence in out


def test_words_are_checked_as_the_parser_checks_them(capsys):
    """What is kept of the commands is enough to refuse words, in the same way, and to pass all others on."""
    known = json.loads(json.dumps(GROUP.vocabulary))
    for words in (("spin-arond",), (), ("jump-up", "--preset", "middle"), ("spin-around", "a", "--turn", "3"), ("x",)):
        with pytest.raises(UsageError) as parsed:
            parse(*words)
        with pytest.raises(UsageError) as checked:
            check_words(words, "do", known)
        assert str(parsed.value) == str(checked.value)
    for words in (
        ("jump_up", "--preset=low", "--height", "4"),
        ("spin_around", "a", "--", "--turn"),
        ("jump-up", "-h"),
    ):
        check_words(words, "do", known)


def test_an_option_is_taken_out():
    assert take_option(["a", "--b", "c", "d"], "--b", "") == ("c", ["a", "d"])
    assert take_option(["a", "--b=c"], "--b", "") == ("c", ["a"])
    assert take_option(["a", "--b"], "--b", "x") == ("x", ["a", "--b"])


def test_boxes_fold_in_colour_and_in_plain_letters():
    coloured = (
        "\x1b[31m╭─ Oh ─╮\x1b[0m\n\x1b[31m│\x1b[0m No \x1b[1m--a\x1b[0m, │\n│ b. │\n│ ──── │\n│ For help │\n╰────╯\n"
    )
    plain = " Oh      \n ------- \n  No --a,\n  b.\n  -----\n  For help\n        \n"
    for box in (coloured, plain):
        assert error_line(box, "posegen train actor") == "no --a, b; see posegen train actor --help"
