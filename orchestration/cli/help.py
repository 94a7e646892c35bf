"""Help screens: what tyro prints, below titles in plain words, with the preset first and examples last."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_COMMON, _ARGUMENTS = "Common", "Arguments"
_TYRO_TITLES = {"positional arguments": _ARGUMENTS, "options": _COMMON}
# Words for values of options that are texts or paths: the longest end of a name that is here decides.
_VALUES = {
    **dict.fromkeys(("upper", "lower", "upper-to", "lower-to"), "COLOR"),
    **dict.fromkeys(("actor", "refiner", "encoders", "renderer", "restoration", "recognizer", "colorizer"), "RUN"),
    **dict.fromkeys(("encoder", "from", "run", "gan", "behavior-run", "start", "actors"), "RUN"),
    **dict.fromkeys(("decoupled", "end-to-end"), "RUN"),
    **dict.fromkeys(("runs", "folder", "clips", "photos", "out"), "PATH"),
    **dict.fromkeys(("dataset", "labels", "motions"), "DATASET"),
    **dict.fromkeys(("action", "actions", "to-action", "then"), "ACTION"),
    **dict.fromkeys(("behavior", "posture", "first", "second", "target", "keep", "observed"), "MOTION"),
    **dict.fromkeys(("pose", "edges", "mask"), "BACKEND"),
    **dict.fromkeys(("objectives", "metric"), "METRIC"),
    **dict.fromkeys(("name", "names", "experiment", "people", "subjects", "test", "method", "preset"), "NAME"),
    **dict.fromkeys(("content", "appearance"), "PERSON"),
    **dict.fromkeys(("storage", "server", "host", "address"), "ADDRESS"),
    "size": "HxW",
    "checkpoint": "best|last|N",
    "replicas": "N|MIN:MAX",
    "keep-frames": "FROM:TO",
    "path": "X,Z",
    "constraint": "METRIC<=VALUE",
    "set": "STAGE.FIELD=VALUE",
    "classes": "NAME=CLASS",
    "attach": "JOB",
    "accelerator": "KIND",
    "optuna": "STUDY",
    "smpl": "PATH",
    "poses": "POSES",
    "pattern": "PATTERN",
    "device": "DEVICE",
}


@dataclass
class _Box:
    """A titled list of options."""

    title: str
    about: str = ""
    entries: list[list[str]] = field(default_factory=list)
    """Lines of each option, the first of which begins with its name."""


@dataclass(frozen=True)
class HelpParts:
    """Additions to tyro's help screen."""

    titles: Mapping[str, str]
    """Of groups of settings: the first sentence on each, by the name of its parameter."""
    preset: Sequence[str] = ()
    """Lines on the option that chooses a preset."""
    group_of: Callable[[str], str] | None = None
    """The title below which an option is listed; empty for that of its settings."""
    last: Sequence[str] = ()
    """Titles that come last, in this order."""
    examples: Sequence[str] = ()
    """Command lines."""


def without_markup(text: str) -> str:
    """Return a docstring's text as a terminal shows it: names and commands without backticks."""
    return text.replace("`", "")


def value_name(option: str) -> str:
    """Return a word for the values of an option that are texts or paths, by its name; empty where none is known."""
    parts = option.strip("_").replace("_", "-").split("-")
    ends = ("-".join(parts[start:]) for start in range(len(parts)))
    return next((_VALUES[end] for end in ends if end in _VALUES), "")


def format_help(text: str, parts: HelpParts, width: int, *, is_terminal: bool = False) -> str:
    """Rearrange tyro's help.

    Args:
        text: What tyro printed.
        parts: What is added.
        width: Columns of the terminal.
        is_terminal: Print titles in bold letters.
    """
    head, boxes = _parse(_ANSI.sub("", text))
    boxes = [_rename(box, parts.titles, width) for box in boxes]
    if parts.group_of is not None:
        boxes = _merged(split for box in boxes for split in _split(box, parts.group_of))
    if parts.preset:
        common = next(box for box in boxes if box.title == _COMMON)
        common.entries.insert(0, [line for text in parts.preset for line in _entry(text, common, width)])
    last = {title: number for number, title in enumerate(parts.last, 1)}
    order = sorted(boxes, key=lambda box: (box.title != _ARGUMENTS, box.title != _COMMON, last.get(box.title, 0)))
    lines = [*head, *(line for box in order for line in _draw(box, width, is_terminal))]
    if parts.examples:
        lines += ["Examples:", *(f"  {line}" for example in parts.examples for line in _fold(example, width - 2))]
    return "".join(f"{line}\n" for line in lines)


def _parse(text: str) -> tuple[list[str], list[_Box]]:
    """Lines above the boxes, and the boxes."""
    head: list[str] = []
    boxes: list[_Box] = []
    is_inside = False
    for line in text.splitlines():
        if title := re.match(r"╭─ (.*?) ─*╮$", line):
            boxes.append(_Box(title[1]))
            is_inside = True
        elif line.startswith("╰"):
            is_inside = False
        elif is_inside:
            _add(boxes[-1], line[2:-2].rstrip())
        elif not boxes:
            head.append(line)
    return head, boxes


def _add(box: _Box, line: str) -> None:
    if line and set(line) == {"─"}:  # below a description
        box.about, box.entries = " ".join(part.strip() for lines in box.entries for part in lines), []
    elif box.entries and (line.startswith(" ") or not line):
        box.entries[-1].append(line)
    else:
        box.entries.append([line])


def _rename(box: _Box, titles: Mapping[str, str], width: int) -> _Box:
    if box.title in _TYRO_TITLES:
        box.title = _TYRO_TITLES[box.title]
        return box
    name = box.title.removesuffix(" options").split(".")[-1].replace("-", "_")
    title = titles.get(name, "")
    if title and len(title) <= width - 8:
        box.title, box.about = title, box.about.removeprefix(f"{title}.").strip()
    else:
        box.title = name.replace("_", " ").capitalize()
    return box


def _split(box: _Box, group_of: Callable[[str], str]) -> list[_Box]:
    """A box of a stage's configuration by the titles of its options; any other as it is."""
    groups: dict[str, _Box] = {}
    for entry in box.entries:
        name = re.match(r"--([\w-]+)", entry[0])
        title = group_of(name[1].replace("-", "_")) if name else ""
        groups.setdefault(title or box.title, _Box(title or box.title)).entries.append(entry)
    if box.title in groups:
        groups[box.title].about = box.about
    return list(groups.values())


def _merged(boxes: Iterable[_Box]) -> list[_Box]:
    """Boxes of one title as one, in the place of the first; a box that is left without options goes."""
    found: dict[str, _Box] = {}
    for box in boxes:
        kept = found.setdefault(box.title, _Box(box.title))
        kept.about, kept.entries = kept.about or box.about, kept.entries + box.entries
    return [box for box in found.values() if box.entries]


def _entry(text: str, box: _Box, width: int) -> list[str]:
    """Lines of an option that is added to a box, its text in the column of the others."""
    column = min((_column(entry) for entry in box.entries if _column(entry)), default=16)
    name, _, words = text.partition("  ")
    wrapped = [" " * column + line for line in textwrap.wrap(words, width - 4 - column)]
    return [name, *wrapped]


def _column(entry: Sequence[str]) -> int:
    """Return the column at which the description of an option begins; 0 if it is not known."""
    if len(entry) > 1 and entry[1].strip():
        return len(entry[1]) - len(entry[1].lstrip())
    found = re.match(r"\S+(?:, \S+| \S+)* {2,}", entry[0])
    return found.end() if found else 0


def _draw(box: _Box, width: int, is_terminal: bool) -> list[str]:
    inner = width - 4
    title = f"{_BOLD}{box.title}{_PLAIN}" if is_terminal else box.title
    lines = [f"╭─ {title} {'─' * (width - 5 - len(box.title))}╮"]
    rows = [*textwrap.wrap(box.about, inner), *([""] if box.about else [])]
    required_first = sorted(box.entries, key=lambda entry: not " ".join(entry).rstrip().endswith("(required)"))
    rows += [row for entry in required_first for row in entry]
    lines += [f"│ {row.ljust(inner)} │" for row in rows]
    return [*lines, f"╰{'─' * (width - 2)}╯"]


def _fold(command: str, width: int) -> list[str]:
    """A command line over several lines, as a shell takes it."""
    lines = textwrap.wrap(command, width - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return [f"{line} \\" if number < len(lines) - 1 else line for number, line in enumerate(lines)]
