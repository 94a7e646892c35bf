"""The page of a preparation: every clip and every rejected video with its frames, in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from orchestration.data.clip_sheets import SHEETS, sheet_name
from orchestration.data.rejections import Rejection
from posegen.datasets.clip_files import ClipInfo
from posegen.io.storage import StorageFolder

PAGE = "preview.html"
"""The page, in a dataset's folder."""

_MOST = 300  # pictures of the page, which browsers still open


@dataclass(frozen=True)
class _Shown:
    """A video on the page."""

    title: str
    text: str
    picture: str
    """Picture as a data address; empty for none."""


def write_preparation_page(
    dataset: StorageFolder,
    clips: Sequence[tuple[ClipInfo, str]],
    rejections: Sequence[Rejection],
    summary: str,
    lines: Sequence[str],
) -> None:
    """Write the page, which needs neither network nor server.

    Args:
        dataset: The dataset, with its sheets.
        clips: What the clips are, each with a line on it.
        rejections: Videos that gave no clip.
        summary: What is in the dataset.
        lines: What else is to be known of it.
    """
    sheets = set((dataset / SHEETS).files(".jpg")) if dataset.exists(SHEETS) else set()
    room = _Room(dataset, sheets)
    rejected = [_Shown(one.source, one.reason, room.picture(clip_of_key(one.key))) for one in rejections]
    accepted = [
        _Shown(f"{info.person}/{info.action} — {info.source}", text, room.picture(info.clip_id)) for info, text in clips
    ]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("preparation_page.html.j2").render(
        summary=summary, lines=lines, rejected=rejected, clips=accepted, left_out=room.left_out, folder=SHEETS
    )
    dataset.write_bytes(PAGE, page.encode())


def clip_of_key(key: str) -> str:
    """Return the clip id in a rejection's key; empty where it has none."""
    return key.partition("/")[0]


class _Room:
    """Gives the page as many pictures as it has room for."""

    def __init__(self, dataset: StorageFolder, sheets: set[str]):
        self._dataset, self._sheets = dataset, sheets
        self._given = self.left_out = 0

    def picture(self, clip_id: str) -> str:
        name = sheet_name(clip_id)
        if name not in self._sheets:
            return ""
        if self._given >= _MOST:
            self.left_out += 1
            return ""
        self._given += 1
        content = (self._dataset / SHEETS).read(name)
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
