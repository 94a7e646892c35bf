"""Messages of the library in the words of the page: without options of the command line and without paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from posegen.errors import hide_credentials

_KINDER: tuple[tuple[str, str], ...] = (
    (
        r"no person is found in the picture.*",
        "We could not find a person in this picture. Choose a photo that shows somebody from head to hips or further.",
    ),
    (r"no person is found in .*", "We could not find a person in this video. Choose one that shows somebody."),
    (
        r"(?:one person is|\d+ people are) seen in the picture, expected (\d+).*",
        r"There is no person number \1 in this picture. Choose a lower number.",
    ),
    (
        r"the photo does not show the trunk.*|shoulders or hips are not seen.*",
        "This photo does not show shoulders and hips. Choose one that shows the person from head to hips or further.",
    ),
    (
        r"the person is about (\d+) pixels tall.*",
        r"The person is small in this picture (about \1 pixels tall). A closer photo gives clearer faces and hands.",
    ),
    (
        r"the person is enlarged ([\d.]+) times.*",
        r"The person is drawn \1 times as large as in your picture, which is blurred. A larger picture looks sharper.",
    ),
    (r"1 more of comparable size.*", "There is one more person. Choose who is meant below the picture."),
    (r"(\d+) more of comparable size.*", r"There are \1 more people. Choose who is meant below the picture."),
    (
        r"(\S+) needs (arm|leg)s, which the photo does not show.*",
        r"“\1” needs \2s, which this photo does not show. Choose another action, or a photo of the whole person.",
    ),
    (
        r"(\S+) ((?:stays on the spot|covers [\d.]+ m) instead of [\d.]+ m), so that the person stays large.*",
        r"“\1” \2, so that the person stays large in the picture. Choose “all the way” under More to show all of it.",
    ),
    (r"no (upper|lower) garment is seen.*", "This garment is not seen in the photo. Leave its colour out."),
    (r"the person wears a one-piece.*", "The person wears a dress or an overall. Give it one colour."),
    (r"unknown colour (.+?), expected.*", r"\1 is not a colour. Write one like #2a6fdb or teal."),
    (r".*damaged or cut off.*", "This picture is damaged or cut off. Save it again, or choose another one."),
    (r".*truncated: .*", "This video is cut off. Export it again as MP4."),
    (
        r".*cannot fetch weights.*|weights .* cannot be fetched.*",
        "The network that finds people is not on this machine yet. Ask the person who installed posegen to run "
        "`posegen weights fetch`, then try again.",
    ),
)  # fmt: skip
_ACTION = re.compile(r"[a-z]+(?:_[a-z]+)+")


def say_kindly(text: str, shown: Mapping[str, str] | None = None) -> str:
    """Return a message of the library as a sentence for people who know no command line.

    Args:
        text: The message, one line.
        shown: What files were called, by their paths.
    """
    plain = hide_credentials(" ".join(text.split()))
    for path, name in (shown or {}).items():
        plain = plain.replace(path, name).replace(Path(path).name, name).replace(Path(path).stem, name)
    plain = re.sub(r"(?:/[\w.-]+){2,}", "the file", plain)
    for pattern, kinder in _KINDER:
        if re.fullmatch(pattern, plain, flags=re.DOTALL):
            plain = re.sub(pattern, kinder, plain, flags=re.DOTALL)
            break
    plain = _ACTION.sub(lambda match: match[0].replace("_", " "), plain)
    plain = re.sub(r"[;:,]? ?[^;:,.]*--\w[\w-]*[^;.]*", "", plain).strip() or "This cannot be drawn."
    sentence = plain[0].upper() + plain[1:]
    return sentence if sentence[-1] in ".!?" else f"{sentence}."


def say_all_kindly(lines: Iterable[str], shown: Mapping[str, str] | None = None) -> list[str]:
    """Return messages as `say_kindly` says them, each once."""
    return list(dict.fromkeys(say_kindly(line, shown) for line in lines))
