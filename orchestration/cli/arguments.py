"""Arguments of commands, read off the parameters of their functions and the fields of their settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tyro.conf import Positional, UseAppendAction

from orchestration.cli.vocabulary import CommandWords, own_words, with_dashes
from posegen.errors import UsageError
from posegen.io.output_files import OutputKind, kind_of


@dataclass(frozen=True)
class Argument:
    """One argument of a command."""

    field: str
    """Name of the parameter, or of the field of settings."""
    kind: Any
    """Type of its value."""
    marks: Sequence[Any]
    """Metadata of its annotation, and of the field: for tyro, and for posegen."""
    is_needed: bool
    """True if it has no default."""

    @property
    def name(self) -> str:
        """The name as people write it."""
        return next((mark.name for mark in self.marks if getattr(mark, "name", None)), self.field)

    @property
    def option(self) -> str:
        """The option, such as ``--num-epochs``; of a positional argument what it would be."""
        return f"--{with_dashes(self.name)}"

    @property
    def is_group(self) -> bool:
        """True if it is a group of settings, whose fields are arguments of their own."""
        return isinstance(self.kind, type) and is_dataclass(self.kind)

    @property
    def is_positional(self) -> bool:
        """True if it has no name on the command line."""
        return any(mark in get_args(Positional[str]) for mark in self.marks)

    @property
    def is_repeatable(self) -> bool:
        """True if it is given again for each of several values."""
        return UseAppendAction in self.marks

    @property
    def has_many(self) -> bool:
        """True if it takes any number of values at once: a tuple of no fixed length."""
        return Ellipsis in get_args(self.kind) and not self.is_repeatable


def own_arguments(function: Callable[..., object]) -> Iterator[Argument]:
    """Yield the arguments of a command, or of a group of settings; groups inside are one argument each."""
    own = {one.name: one for one in fields(function) if one.init} if is_dataclass(function) else None
    for name, kind in get_type_hints(function, include_extras=True).items():
        inner, *marks = get_args(kind) if get_origin(kind) is Annotated else (kind,)
        if own is None and name != "return":
            default = inspect.signature(function).parameters[name].default
            yield Argument(name, inner, marks, default is inspect.Parameter.empty)
        elif own is not None and name in own:
            one = own[name]
            is_needed = one.default is MISSING and one.default_factory is MISSING
            yield Argument(name, inner, [*marks, one.metadata], is_needed)


def arguments_of(function: Callable[..., object]) -> Iterator[Argument]:
    """Yield the arguments of a command with those of its groups of settings, at any depth.

    None is needed of a group that has a default.
    """
    for one in own_arguments(function):
        if one.is_group:
            yield from (replace(each, is_needed=each.is_needed and one.is_needed) for each in arguments_of(one.kind))
        else:
            yield one


def words_of(function: Callable[..., object]) -> CommandWords:
    """Return the arguments of a command as they are checked before it is parsed."""
    options, required, positionals = ["--help"], [], []
    outputs: dict[str, OutputKind] = {}
    for one in arguments_of(function):
        if one.is_positional:
            shown = next((mark.metavar for mark in one.marks if getattr(mark, "metavar", None)), one.field.upper())
            positionals += [shown] if one.is_needed and get_origin(one.kind) is not tuple else []
            continue
        options += [one.option, f"--no-{one.option[2:]}"] if one.kind is bool else [one.option]
        required += [one.option] if one.is_needed and not one.is_repeatable else []
        for mark in one.marks:
            if isinstance(mark, Mapping) and (kind := kind_of(mark)):
                outputs[one.option] = kind
    return CommandWords(list(dict.fromkeys(options)), required, positionals, outputs)


def without_commas(function: Callable[..., object], words: Sequence[str]) -> list[str]:
    """Return a command line without the commas that people write between the values of a list.

    Args:
        function: The command.
        words: The command line.

    Raises:
        UsageError: An option that takes one value is given several with commas between them.
    """
    known = {one.option: one for one in arguments_of(function)}
    taken, one, left = own_words(words), None, []
    for word, after in zip(taken, [*taken, "--"][1:], strict=True):
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            one = None if equals else known.get(with_dashes(name))
            left.append(word)
        elif one is None or not (word.startswith(",") or word.endswith(",")):
            left.append(word)
            one = one if one is not None and one.has_many else None
        elif one.has_many:
            left += [word.strip(",")] if word.strip(",") else []
        elif after.startswith("-"):
            left.append(word)
        else:
            several = f"; several are one word: {word}{after}" if one.is_repeatable else ""
            raise UsageError(f"{one.option} takes one value, got {word} {after}{several}")
    return [*left, *words[len(taken) :]]
