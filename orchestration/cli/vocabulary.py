"""The words of a command line: names of commands and options, and what is wrong with others.

Imports no library: the program checks a command line by the words that it kept (see `orchestration.cli.entry`) before
PyTorch is imported, which takes seconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from posegen.errors import ConfigError, UsageError, suggestion
from posegen.io.output_files import OutputKind

HELP = ("-h", "--help")
USAGE_ERROR = 2
"""Exit code where the user can put something right."""
# What people type for an option that is called otherwise.
_MEANT = {
    **dict.fromkeys(("--color", "--colour", "--colors", "--colours", "--exact-colour"), ("--upper", "--lower")),
    **dict.fromkeys(("--top", "--shirt", "--jacket"), ("--upper",)),
    **dict.fromkeys(("--bottom", "--trousers", "--pants", "--skirt"), ("--lower",)),
    **dict.fromkeys(("--duration", "--seconds", "--length"), ("--frames",)),
    **dict.fromkeys(("--resolution", "--width", "--height", "--res"), ("--size",)),
    **dict.fromkeys(("--video", "--pose", "--driving"), ("--poses",)),
    **dict.fromkeys(("--force", "--replace", "-f"), ("--overwrite",)),
    **dict.fromkeys(("--save", "--dest", "--destination", "-o"), ("--out",)),
    **dict.fromkeys(("--image", "--person-image", "--photo"), ("--content",)),
    **dict.fromkeys(("--gpu", "--cuda"), ("--gpus",)),
    **dict.fromkeys(("--learning-rate",), ("--lr",)),
}

_OF_COLORS = ("--upper", "--lower", "--upper-to", "--lower-to")


@dataclass(frozen=True)
class CommandWords:
    """Arguments of a command."""

    options: list[str]
    """All of them, such as ``--out`` and ``--no-overwrite``."""
    required: list[str]
    """Options without which there is no call."""
    positionals: list[str]
    """Arguments without a name that have to be given, as the help calls them."""
    outputs: dict[str, OutputKind] = field(default_factory=dict)
    """Kinds of the files to write that options name."""

    def check(self, arguments: Sequence[str], path: str) -> None:
        """Raise UsageError for unknown options, required ones that are missing, or files that cannot be written."""
        given = [with_dashes(one.partition("=")[0]) for one in own_words(arguments) if one.startswith("--")]
        if unknown := [one for one in dict.fromkeys(given) if one not in self.options]:
            noun = "option" if len(unknown) == 1 else "options"
            refuse(f"unknown {noun} {', '.join(unknown)}{_hint(unknown, self.options)}", path)
        if arguments and arguments[-1] in _OF_COLORS:
            refuse(
                f"missing value of {arguments[-1]}: a shell drops #2a6fdb and what follows; quote it, '#2a6fdb'", path
            )
        self._require_outputs(arguments, path)
        missing = [one for one in self.required if one not in given]
        if not arguments:
            missing = [*self.positionals, *missing]
        elif sum(not one.startswith("-") for one in arguments) < len(self.positionals):
            return  # which of them are values of options, only the parser knows
        if missing:
            refuse(f"missing {', '.join(missing)}", path)

    def _require_outputs(self, arguments: Sequence[str], path: str) -> None:
        for option, kind in self.outputs.items():
            file, _ = take_option(list(own_words(arguments)), option, "")
            if not file:
                continue
            try:
                OutputKind(*kind).require(Path(file))
            except ConfigError as error:
                refuse(str(error), path)
            except (OSError, ValueError):
                continue  # of a name that is none, the system says what is wrong with it


def check_words(words: Sequence[str], path: str, known: Mapping[str, Any]) -> None:
    """Raise UsageError where a command line has words that are unknown.

    Args:
        words: The command line.
        path: The words before.
        known: Of a group, its ``word`` and ``commands``; of a command, the ``option`` that chooses among its ``kinds``.
    """
    if "commands" in known:
        if words and words[0] in HELP:
            return
        name = known_name(words, list(known["commands"]), known["word"], path)
        check_words(words[1:], f"{path} {name}", known["commands"][name])
        return
    kind, rest = choose_kind(words, known["option"], list(known["kinds"]), path)
    if not set(HELP) & set(own_words(rest)):
        CommandWords(**known["kinds"][kind]).check(rest, path)


def command_words(option: str, kinds: Mapping[str, CommandWords]) -> dict[str, Any]:
    """Return the arguments of a command as `check_words` takes them, in types that JSON has."""
    return {"option": option, "kinds": {name: asdict(words) for name, words in kinds.items()}}


def known_name(words: Sequence[str], names: Sequence[str], noun: str, path: str) -> str:
    """Return the name that the first word stands for. Raises UsageError where there is none."""
    if not words:
        refuse(f"expected a {noun}, one of {', '.join(names)}", path)
    spelled = {with_dashes(name): name for name in names}
    word = with_dashes(words[0])
    if word in spelled:
        return spelled[word]
    meant = [spelled[one] for one in difflib.get_close_matches(word, spelled, n=1)]
    if word == "help" or (word == "version" and path == "posegen"):
        meant = [f"--{word}"]
    hint = f" (did you mean {meant[0]}?)" if meant else f", expected one of {', '.join(names)}"
    refuse(f"unknown {noun} {words[0]!r}{hint}", path)


def choose_kind(arguments: Sequence[str], option: str, names: Sequence[str], path: str) -> tuple[str, list[str]]:
    """Return the value of the option that chooses among the kinds of a command, and the arguments without it.

    Args:
        arguments: Those of the command.
        option: Such as ``--preset``.
        names: Its values, the default first; one empty name where there is nothing to choose.
        path: The words before.
    """
    default, rest = names[0], list(arguments)
    if not default:
        return default, rest
    name, rest = take_option(rest, option, default)
    shown = ", ".join(sorted(names))
    if any(argument.partition("=")[0] == option for argument in rest):
        refuse(f"got {option} twice or without a value, expected one of {shown}", path)
    if name not in names:
        hint = suggestion(name, names)
        refuse(f"unknown {option.strip('-')} {name!r}{hint}, expected one of {shown}", path)
    return name, rest


def take_option(arguments: list[str], option: str, default: str) -> tuple[str, list[str]]:
    """Take one ``--option VALUE`` or ``--option=VALUE`` out of the arguments."""
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}="), arguments[:index] + arguments[index + 1 :]
    return default, arguments


def own_words(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments before ``--``: what follows is another command's."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def with_dashes(name: str) -> str:
    """Return a name as tyro spells it: dashes and underscores count as the same."""
    return name.replace("_", "-") if not name.startswith("--") else f"--{name[2:].replace('_', '-')}"


def refuse(message: str, path: str) -> NoReturn:
    """Raise a UsageError that names the help."""
    raise UsageError(f"{message}; see {path} --help") from None


def _hint(unknown: Iterable[str], options: Sequence[str]) -> str:
    """The options that are meant by the first unknown one of which that can be told."""
    for name in unknown:
        meant = [one for one in _MEANT.get(name, ()) if one in options]
        longer = [one for one in options if one.endswith(f"-{name.strip('-')}") and not one.startswith("--no-")]
        if found := meant or longer[:2] or difflib.get_close_matches(name, options, n=1, cutoff=0.7):
            return f" (did you mean {' or '.join(found)}?)"
    return ""
