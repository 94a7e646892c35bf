"""Accuracy of person parsing in labelled photos: the person parser beside the heuristic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.datasets.dataset import Split
from posegen.datasets.parsing import ParsingDataset
from posegen.errors import ConfigError, counted

if TYPE_CHECKING:
    from posegen.evaluation.parsing import ParsingScore, PhotoParser

_PICTURE_HEIGHT = 384
_IN_A_ROW = 4


@dataclass(frozen=True, kw_only=True)
class ParsingReportSettings:
    """Settings of the evaluation on labelled photos."""

    run: str = ""
    """Run of the stage person_parser; by default the shipped weights."""
    split: Split = "test"
    """Photos to measure."""
    out: Path | None = None
    """Folder for pictures: each photo beside its labels and what was found; by default none are made."""
    pictures: int = 32
    """Photos that are shown there, those with the lowest agreement first."""


@dataclass(frozen=True)
class ParsingReport:
    """Scores by method, and by all photos or those without dresses."""

    scores: dict[str, dict[str, ParsingScore]]
    """Scores by column and by the name of the figure."""
    notes: list[str]

    @property
    def columns(self) -> list[str]:
        """Heads of the columns."""
        return list(self.scores)

    def rows(self) -> Iterator[list[str]]:
        """Return a row a figure."""
        for name in next(iter(self.scores.values())):
            yield [name.replace("_", " "), *(str(scores[name]) for scores in self.scores.values())]


def report_parsing(
    dataset: str, settings: ParsingReportSettings, *, on_progress: ProgressCallback = ignore_progress
) -> ParsingReport:
    """Measure the parser and the heuristic on the same photos.

    Args:
        dataset: Labelled photos.
        settings: What is measured.
        on_progress: Called after every photo, twice for each.

    Raises:
        PosegenError: The dataset, the run or the weights cannot be read, or `out` has files.
    """
    from posegen.evaluation.parsing import count_photos, parse_by_heuristic, score_parsing, without_one_piece

    if settings.out is not None and settings.out.is_dir() and any(settings.out.iterdir()):
        raise ConfigError(f"{settings.out} has files in it: choose another folder")
    data = ParsingDataset(dataset)
    methods: dict[str, PhotoParser] = {"parser": load_photo_parser(settings.run), "heuristic": parse_by_heuristic}
    total, scores, by_method = len(methods) * len(data.split(settings.split)), {}, {}
    for number, (name, parse) in enumerate(methods.items()):
        start = number * len(data.split(settings.split))

        def report(done: int, start: int = start) -> None:
            on_progress(start + done, total)

        by_method[name] = counts = count_photos(data, settings.split, parse, report)
        scores[name] = score_parsing(counts)
    for name, counts in by_method.items():
        plain = without_one_piece(counts)
        if len(plain):
            scores[f"{name}, {counted(len(plain), 'photo')} without dresses"] = score_parsing(plain)
    notes = [
        f"{counted(total // len(methods), 'photo')} of the {settings.split} split (data "
        f"{data.fingerprint}), pixels pooled, "
        "95 % bootstrap intervals over photos"
    ]
    if settings.out is not None:
        pages = _write_pictures(data, settings, methods["parser"], by_method["parser"])
        notes.append(
            f"photo, labels and what was found, the lowest agreement first: {settings.out} "
            f"({counted(pages, 'picture')})"
        )
    return ParsingReport(scores, notes)


def load_photo_parser(run: str) -> Callable[..., np.ndarray]:
    """Return a parser of labelled photos, by a run or, without one, by the shipped weights."""
    from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
    from posegen.perception.person_parser import PictureParser
    from posegen.stages import PersonParser

    if run:
        stage = load_stage(find_checkpoint(run), PersonParser)
        parser = PictureParser(stage.averaged, stage.config.size)
    else:
        parser = PictureParser()
    return lambda photo: parser(photo.image, photo.keypoints)


def _write_pictures(
    data: ParsingDataset, settings: ParsingReportSettings, parse: PhotoParser, counts: np.ndarray
) -> int:
    """Write pictures of photos with their labels and what was found, and return how many."""
    import cv2

    from posegen.io.images import write_picture
    from posegen.metrics.parsing import class_ious
    from posegen.stages.person_parser import color_classes

    assert settings.out is not None
    entries = data.split(settings.split)
    order = class_ious(counts).mean(axis=-1).argsort()[: settings.pictures]
    tiles = []
    for index in order:
        photo = data.read(entries[index])
        found = [color_classes(labels) // 2 + photo.image // 2 for labels in (photo.labels, parse(photo))]
        tile = np.concatenate([photo.image, *found], axis=1)
        scale = _PICTURE_HEIGHT / tile.shape[0]
        tiles.append(cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    pages = [tiles[start : start + _IN_A_ROW] for start in range(0, len(tiles), _IN_A_ROW)]
    for number, page in enumerate(pages):
        width = max(tile.shape[1] for tile in page)
        padded = [np.pad(tile, ((0, 4), (0, width - tile.shape[1]), (0, 0))) for tile in page]
        write_picture(settings.out / f"parsing-{number:02}.png", np.concatenate(padded))
    return len(pages)
