"""From the words of a command line to the call that they stand for: groups of commands, and their options by tyro.

Each file of commands collects them in a `Section` or a `Group`, of which `orchestration.cli.main` makes one group. What
the help lists, which words follow which and which options take several values is read off these objects and off the
annotations of the commands' functions. Nothing else uses tyro, except for types of options.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, is_dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import OmitArgPrefixes, PositionalMetavarFromFieldName
from tyro.conf import Positional as Positional
from tyro.conf import arg as arg
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from orchestration.cli.arguments import Argument, arguments_of, own_arguments, without_commas, words_of
from orchestration.cli.help import HelpParts, format_help, value_name, without_markup
from orchestration.cli.vocabulary import (
    HELP,
    USAGE_ERROR,
    choose_kind,
    command_words,
    known_name,
    own_words,
    refuse,
    with_dashes,
)
from posegen.errors import UsageError, in_one_line
from posegen.inference.option_use import PHOTO, RUN, subject_of

_WIDEST = 100  # columns of a help screen
_SUBJECT_TITLES = {PHOTO: "Only with a photo or a video", RUN: "Only with a run"}
# Patterns of messages of Python and tyro, and what they become.
_PLAINER: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"invalid literal for int\(\) with base 10: (.+)": r"got \1, expected a whole number",
    r"could not convert string to float: (.+)": r"got \1, expected a number",
    r"no type matching .*<class '(?:int|float)'>: (.+)": r"\1",  # of an option that may be left out
    r"\. Expected one of \((.*?),?\)": lambda match: ", expected one of " + match[1].replace("'", ""),
    r"\. Expected 1 values": "",
    r"[Uu]nrecognized options: (.*)": r"unexpected \1 (a name with spaces needs quotes)",
}


class Command:
    """One command: a function whose parameters are its arguments.

    Args:
        functions: The function, by the name of a preset. Functions of several presets have other defaults, or other
            arguments; the first is the default.
        option: The option that chooses among them.
        group_of: The title in the help below which an option of a stage's configuration is listed.
        examples: Command lines; by default those of the function's docstring.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., None]],
        option: str = "--preset",
        *,
        group_of: Callable[[str], str] | None = None,
        examples: Sequence[str] = (),
    ):
        self.functions, self.option, self.group_of, self.examples = functions, option, group_of, tuple(examples)

    @property
    def summary(self) -> str:
        """Description in one sentence."""
        return _paragraphs(next(iter(self.functions.values())))[0]

    def parse(self, path: str, arguments: Sequence[str]) -> partial[None]:
        """Return the call that arguments stand for.

        Args:
            path: The words before the arguments, such as ``posegen motion convert``.
            arguments: Options and their values.

        Raises:
            UsageError: They stand for none. The message is one line, and names the help.
            SystemExit: They asked for help, which is printed.
        """
        kind, arguments = choose_kind(arguments, self.option, list(self.functions), path)
        function = self.functions[kind]
        _require_no_repetition(function, path, arguments)
        if not set(HELP) & set(own_words(arguments)):
            words_of(function).check(arguments, path)
        printed, complaint = _Captured(), io.StringIO()
        try:
            arguments = without_commas(function, arguments)
            with redirect_stdout(printed), redirect_stderr(complaint), _narrow_terminal():
                return tyro.cli(
                    _deferred(function),
                    prog=path,
                    description="\n\n".join(_paragraphs(function)),
                    args=arguments,
                    config=(OmitArgPrefixes, PositionalMetavarFromFieldName),
                    registry=_REGISTRY,
                )
        except UsageError as error:
            refuse(in_one_line(error), path)
        except SystemExit as stop:
            if stop.code == USAGE_ERROR:
                line = error_line(complaint.getvalue(), path)
                raise UsageError(_with_several(line, function, arguments)) from None
            text = _wrap_outside_boxes(printed.getvalue())
            text = format_help(text, self._help_parts(function), _width(), is_terminal=printed.isatty())
            encoding = sys.stdout.encoding or "utf-8"
            print(text.encode(encoding, "replace").decode(encoding), end="")
            raise

    def _help_parts(self, function: Callable[..., None]) -> HelpParts:
        preset: list[str] = []
        shown = next(name for name, one in self.functions.items() if one is function)
        if names := [name for name in self.functions if name]:
            preset = [f"{self.option} {{{','.join(names)}}}  {self._preset_help(shown)}"]
        group_of = self.group_of or _group_by_subject(function)
        last = tuple(_SUBJECT_TITLES.values())
        return HelpParts(_titles(function), preset, group_of, last, self.examples_of(shown))

    def examples_of(self, name: str) -> Sequence[str]:
        """Return the examples in the help of the function of a preset."""
        return self.examples or _examples(self.functions[name])

    def _preset_help(self, shown: str) -> str:
        default = next(iter(self.functions))
        return f"Decides the defaults and options below, which are those of {shown}. (default: {default})"

    @property
    def vocabulary(self) -> dict[str, Any]:
        """Arguments of the command, as `check_words` takes them."""
        return command_words(self.option, {name: words_of(one) for name, one in self.functions.items()})


@dataclass(frozen=True)
class Section:
    """Commands that stand below one title in the help."""

    title: str
    commands: dict[str, Command | Group] = field(default_factory=dict)

    def command(self, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Return a decorator that adds a function as the command of this name."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            self.commands[name] = Command({"": function})
            return function

        return add


@dataclass(frozen=True)
class Group:
    """All that can follow one word, such as ``posegen motion``."""

    summary: str
    """Topic of its commands."""
    sections: Sequence[Section]
    word: str = "command"
    """Noun for its commands."""

    @property
    def commands(self) -> dict[str, Command | Group]:
        """Commands of all sections, by name."""
        return {name: command for section in self.sections for name, command in section.commands.items()}

    def parse(self, path: str, arguments: Sequence[str]) -> partial[None]:
        """Return the call that arguments stand for. The first names a command; see `Command.parse` for the rest."""
        if arguments and arguments[0] in HELP:
            print(self.help(path))
            raise SystemExit(0)
        name = known_name(arguments, list(self.commands), self.word, path)
        return self.commands[name].parse(f"{path} {name}", arguments[1:])

    @property
    def vocabulary(self) -> dict[str, Any]:
        """All commands, as `check_words` takes them."""
        return {"word": self.word, "commands": {name: one.vocabulary for name, one in self.commands.items()}}

    def help(self, path: str) -> str:
        """Return a page with all commands, each with its first sentence."""
        width, column = _width(), max(map(len, self.commands)) + 4
        lines = [f"usage: {path} {self.word.upper()} …"]
        for paragraph in without_markup(self.summary).split("\n\n"):
            lines += ["", *textwrap.wrap(paragraph, width)]
        for section in self.sections:
            lines += ["", section.title]
            for name, command in section.commands.items():
                lead = f"  {name}".ljust(column)
                summary = without_markup(command.summary).rstrip(".")
                lines += textwrap.wrap(summary, width, initial_indent=lead, subsequent_indent=" " * column)
        return "\n".join([*lines, "", f"{path} {self.word.upper()} --help explains a {self.word}."])


def error_line(box: str, path: str) -> str:
    """Fold the box in which tyro says what is wrong with the arguments into one line.

    Args:
        box: What tyro printed, with or without colours.
        path: The words before the arguments, whose help is named.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    content = "\n".join(line[2:].rstrip("│╯ ") for line in plain.splitlines()[1:])  # below the title
    parts = [part for part in re.split(r"^ *[─-]+$", content, flags=re.MULTILINE) if part.strip()]  # between rules
    message, *details = (" ".join(_missing(part).split()) for part in parts)
    message = re.sub(r"^Error parsing (?:(-\S+: )|\S+: )", r"\1", message)  # settings have no name that users see
    for detail in details:
        if detail.startswith("Unrecognized options"):
            message += f"; {detail[0].lower()}{detail[1:]}"
        elif similar := re.match(r"(?:Perhaps you meant|Arguments similar to \S+): (--[\w-]+)", detail):
            message += f" (did you mean {similar[1]}?)"
    for pattern, plainer in _PLAINER.items():
        message = re.sub(pattern, plainer, message)
    return f"{message[0].lower()}{message[1:].rstrip('.')}; see {path} --help"


def _with_several(line: str, function: Callable[..., None], arguments: Sequence[str]) -> str:
    """Say how several values are given, where words are left over behind an option that has a plural, as --action has
    --actions. The line is that of `error_line`."""
    known = words_of(function).options
    for index, option in enumerate(arguments):
        behind = list(takewhile(lambda word: not word.startswith("-"), arguments[index + 1 :]))
        unexpected = f"unexpected {' '.join(behind[1:])} "
        names = all(re.fullmatch(r"\w+", word) for word in behind)  # a file among them is no value
        if f"{option}s" in known and len(behind) > 1 and names and line.startswith(unexpected):
            ways = f"{option}s {' '.join(behind)} for all in a row, or {option} {','.join(behind)} for a video each"
            return line.replace(" (a name with spaces needs quotes)", f": give {ways}")
    return line


def _missing(part: str) -> str:
    """Of a list of arguments that are missing, their names alone; everything else as it is."""
    if not part.lstrip().startswith("Missing from"):
        return part
    names = re.findall(r"^ {4}(\S+)", part, flags=re.MULTILINE)
    return f"missing {', '.join(names)}"


def _require_no_repetition(function: Callable[..., None], path: str, arguments: Sequence[str]) -> None:
    """Raise UsageError for an option of several values that is given twice: the last one alone would count."""
    options = [with_dashes(one.partition("=")[0]) for one in own_words(arguments) if one.startswith("--")]
    if len(set(options)) == len(options):
        return
    twice = [one.option for one in arguments_of(function) if one.has_many and options.count(one.option) > 1]
    if twice:
        refuse(f"got {twice[0]} twice: give it once, with all its values behind it", path)


def _deferred(command: Callable[..., None]) -> Callable[..., partial[None]]:
    """Return a function with the same parameters that does nothing yet, but returns the call that does it.

    What is printed while arguments are parsed is captured; what the command prints is not.
    """

    def defer(*values: Any, **options: Any) -> partial[None]:
        for path in _paths_in([*values, *options.values()]):
            if re.match(r"\w{2,}:/", str(path)):  # a path has one slash of an address left
                raise UsageError(f"got {path}, expected a local file or folder: only datasets and runs lie elsewhere")
        return partial(command, *values, **options)

    # Not by functools.wraps, since tyro would read the docstring of the command itself, and keep its line breaks.
    text = without_markup((inspect.getdoc(command) or "").partition("\nExamples:\n")[0])
    defer.__doc__ = re.sub(r"\n {5,}", " ", text)
    hints = get_type_hints(command, include_extras=True)
    defer.__annotations__ = {name: _with_plain_help(kind, name) for name, kind in hints.items()}
    vars(defer)["__signature__"] = inspect.signature(command)
    return defer


def _paths_in(value: object) -> Iterator[Path]:
    """The paths among the values of a command, also of its groups of settings and its lists."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _paths_in(inner)
    elif is_dataclass(value):
        yield from _paths_in(list(vars(value).values()))


def _examples(function: Callable[..., None]) -> list[str]:
    """The command lines below ``Examples:`` in a docstring."""
    _, _, text = (inspect.getdoc(function) or "").partition("\nExamples:\n")
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip().startswith("posegen ")]


def _titles(function: Callable[..., object]) -> dict[str, str]:
    """The first sentence on each group of settings of a command, by the name of its parameter or field."""
    found: dict[str, str] = {}
    for one in own_arguments(function):
        if one.is_group:
            sentence = " ".join(without_markup(inspect.getdoc(one.kind) or "").split("\n\n")[0].split()).split(". ")[0]
            found |= {one.field: sentence.rstrip(".")} | _titles(one.kind)
    return found


def _group_by_subject(function: Callable[..., object]) -> Callable[[str], str] | None:
    """For a command that takes photos and runs: the title below which options are listed that one of them alone uses.

    None for all other commands.
    """
    subjects = _subjects(function)
    if set(subjects.values()) != set(_SUBJECT_TITLES):
        return None
    return lambda option: _SUBJECT_TITLES.get(subjects.get(option, ""), "")


def _subjects(function: Callable[..., object]) -> dict[str, str]:
    """Return the subject of each option that is used with one alone, by its name."""
    found = ((one.field, subject_of(mark)) for one in arguments_of(function) for mark in one.marks
             if isinstance(mark, Mapping))  # fmt: skip
    return {name: subject for name, subject in found if subject}


def _paragraphs(function: Callable[..., None]) -> list[str]:
    """The paragraphs of a docstring, each in one line, up to the list of arguments."""
    text = re.split(r"^(?:Args|Examples):$", inspect.getdoc(function) or "", flags=re.MULTILINE)[0]
    return [without_markup(" ".join(paragraph.split())) for paragraph in text.strip().split("\n\n")]


def _width() -> int:
    """Columns of help screens: those of the terminal, or fewer where lines would be too long to read."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


@contextmanager
def _narrow_terminal() -> Iterator[None]:
    """Have tyro write one column of boxes that is no wider than help screens are."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_width())
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _wrap_outside_boxes(text: str) -> str:
    """Wrap the lines of a help page that are wider than the terminal. Boxes fit already."""
    wrapped = []
    for line in text.splitlines():
        indent = "    " if line.startswith("usage: ") else ""
        is_wide = len(line) > _width() and line[0].isalpha()
        lines = textwrap.wrap(line, _width(), subsequent_indent=indent, break_on_hyphens=False)
        wrapped += lines if is_wide else [line]
    return "".join(f"{line}\n" for line in wrapped)


class _Captured(io.StringIO):
    """Keeps what is printed, boxes included. Whether it is a terminal is as of standard output."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = sys.stdout

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def isatty(self) -> bool:
        return self.shown.isatty()


def _with_plain_help(kind: Any, name: str) -> Any:
    """The type of an option whose help calls its values by what they are.

    A default that is nothing is left out: what nothing means, the option's sentence says.
    """
    inner, *marks = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if is_dataclass(inner):
        return kind
    one = Argument(name, inner, marks, is_needed=False)
    if one.is_repeatable:
        return Annotated[kind, arg(metavar=value_name(name) or "TEXT")]
    metavar = _positional_metavar(inner, one.name) if one.is_positional else _metavar(inner, one.name)
    return Annotated[kind, arg(metavar=metavar, help_behavior_hint=_default_hint)]


def _positional_metavar(kind: Any, name: str) -> str | None:
    """Return the placeholder of a positional argument that takes any number of values; None leaves others to tyro."""
    return f"{name.upper()} …" if get_origin(kind) is tuple and Ellipsis in get_args(kind) else None


def _metavar(kind: Any, name: str) -> str | None:
    """Return the placeholder of an option's values in help; None leaves it to tyro."""
    given = [one for one in get_args(kind) if one is not type(None)] if type(None) in get_args(kind) else [kind]
    if len(given) != 1:
        return None
    [one] = given
    if get_origin(one) is Literal and "" in get_args(one):  # nothing is the default, and not to be typed
        return f"{{{','.join(filter(None, get_args(one)))}}}"
    if get_origin(one) is dict:
        return "[NAME VALUE [NAME VALUE ...]]"
    is_list = get_origin(one) is tuple and Ellipsis in get_args(one)
    value = get_args(one)[0] if is_list else one
    if value in (str, Path):
        word = value_name(name) or {str: "TEXT", Path: "PATH"}[value]
    elif one is not kind and isinstance(value, type):
        word = value.__name__.upper()
    else:
        return None
    return f"[{word} [{word} ...]]" if is_list else word


def _default_hint(default: str) -> str:
    return "" if default in ("", "''", "None") else f"(default: {default})"


_REGISTRY = ConstructorRegistry()
_being_read: list[StructTypeInfo] = []


@_REGISTRY.struct_rule
def _with_whole_paragraphs(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Read settings as tyro does, but with plain helps, and each paragraph of a docstring in one line."""
    if not is_dataclass(info.type) or info in _being_read:
        return None
    _being_read.append(info)
    try:
        settings = ConstructorRegistry.get_struct_spec(info)
    finally:
        _being_read.pop()
    if not isinstance(settings, StructConstructorSpec):
        return None

    def unbroken(text: str | Callable[[], str | None] | None) -> str:
        text = text() if callable(text) else text
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in without_markup(text or "").split("\n\n"))

    plain = [
        replace(one, helptext=unbroken(one.helptext), type=_with_plain_help(one.type, one.name))
        for one in settings.fields
    ]
    return replace(settings, fields=tuple(plain))
