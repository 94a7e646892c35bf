"""The clip dataset: one Parquet file a clip, one row a frame, readable by plain pyarrow.

Layout of ``DATASET/``::

    dataset.json                           settings, backends with their weights, splits
    index.parquet                          what the clips are, see `posegen.datasets.clip_index`
    clips/CLIP_ID.parquet                  frame, time, image, keypoints, edges, mask
    colors/SCOPE-REGION.parquet            what these are, see `posegen.datasets.recoloring_index`
    colors/SCOPE-REGION/CLIP_ID.parquet    frame, variant, image, upper_ab, lower_ab, seed
    rejected.json                          source, reason
    preview.html, preview/CLIP_ID.jpg      pictures of clips and of rejected videos, for people

A file is there whole or not at all, see `posegen.io.storage`. A clip's id is derived from the video's content and the
settings that made it, so preparing again redoes only what changed. Which split a clip is in follows from its person or
action and from ``dataset.json`` alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from posegen.color.garment_segmentation import GarmentMethod
from posegen.datasets.clip_files import ClipFile, RecoloringFile
from posegen.datasets.clip_index import load_index, match_entries
from posegen.datasets.dataset import Dataset, Split, find_labelled, readable_id
from posegen.datasets.recoloring_index import load_recolorings
from posegen.errors import DatasetError
from posegen.io.records import check_size, parse_json
from posegen.io.storage import StorageFolder

ClipGroup = Literal["person", "action"]
"""Unit that is in one split as a whole."""
CLIPS_VERSION = 2
"""Of the dataset's format. In version 1, which is read, each clip's file had its split, too."""
_READABLE = (1, CLIPS_VERSION)
GarmentChoice = Literal["dataset", "heuristic", "parser"]
"""Method that finds garments: the dataset's own, the heuristic of colours and places, or the person parser."""


@dataclass(frozen=True)
class DatasetInfo:
    """The content of ``dataset.json``."""

    size: tuple[int, int]
    settings: dict[str, Any]
    """Every option of the preparation that changes its output."""
    backends: dict[str, dict[str, Any]]
    """``pose``, ``edges``, ``mask``: the backend's name and the sha256 of its weights."""
    split_by: ClipGroup
    splits: dict[str, list[str]]
    """``train`` and ``test``: the actions, or persons, of each."""
    schema_version: int = CLIPS_VERSION

    def garment_method(self, choice: GarmentChoice = "dataset") -> GarmentMethod:
        """Return the method that finds garments in the clips. Raises DatasetError if the dataset names an unknown one.

        Datasets without a word on it are from before the person parser: theirs is the heuristic.
        """
        method = self.settings.get("garments", "heuristic") if choice == "dataset" else choice
        if method not in get_args(GarmentMethod):
            raise DatasetError(
                f"garments are found by {method!r}, expected one of {', '.join(get_args(GarmentMethod))}"
            )
        return method

    def split_of_group(self, group: str) -> Split | None:
        """Return the split of a person, or action, None where it is in neither."""
        return self._split_by_group.get(group)

    @cached_property
    def _split_by_group(self) -> dict[str, Split]:
        return {group: split for split in reversed(get_args(Split)) for group in self.splits[split]}


def derive_clip_id(person: str, action: str, source_sha256: str, settings: dict[str, Any]) -> str:
    """Return a file name that tells people what the clip is, and machines whether anything in it changed."""
    canonical = json.dumps([person, action, source_sha256, settings], sort_keys=True)
    return readable_id(person, action, canonical.encode())


class ClipDataset(Dataset):
    """A folder of clips, opened for reading."""

    def __init__(self, folder: StorageFolder | str):
        self.folder = StorageFolder(folder)
        if not self.folder.exists("dataset.json"):
            if self.folder.exists("motions.json"):
                raise DatasetError(f"{self.folder} holds motions, expected clips; make them with `posegen prepare`")
            raise DatasetError(f"no dataset in {self.folder}: dataset.json is missing; make one with `posegen prepare`")
        self.info = load_dataset_info(self.folder)
        self._recolored: dict[str, dict[str, RecoloringFile]] = {}  # by kind and clip, as they were last looked for

    @cached_property
    def clips(self) -> list[ClipFile]:
        """All clips, sorted by id. Those that are in the index are not opened."""
        entries = match_entries(self.folder, load_index(self.folder))
        return [
            ClipFile(self.folder, clip_id, None if isinstance(entry, int) else entry)
            for clip_id, entry in entries.items()
        ]

    def split_of(self, clip: ClipFile) -> Split | None:
        """Return the split of a clip, by ``dataset.json``; None where that does not name its person, or action.

        Such a clip is of a preparation that was stopped; what version 0.1 wrote into its file counts.
        """
        return self.info.split_of_group(getattr(clip.info, self.info.split_by)) or clip.recorded_split

    def split(self, split: Split) -> list[ClipFile]:
        """Return the clips of one split. Raises DatasetError if there are none."""
        clips = [clip for clip in self.clips if self.split_of(clip) == split]
        if not clips:
            raise DatasetError(f"{self.folder} has no clips in the split {split!r}")
        return clips

    @cached_property
    def fingerprint(self) -> str:
        """Names the data: equal for equal clips in equal splits, wherever the dataset lies."""
        content = [*(clip.clip_id for clip in self.clips), json.dumps(self.info.splits, sort_keys=True)]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]

    @property
    def full_fingerprint(self) -> str:
        """Names the clips and their recoloured frames."""
        return f"{self.fingerprint}-{self.colors_fingerprint}"

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.info.size

    def has(self, split: Split) -> bool:
        return bool(self.info.splits[split])

    @cached_property
    def colors_fingerprint(self) -> str:
        """Names the recoloured frames: equal where all clips were painted with equal settings."""
        digest = hashlib.sha256()
        for kind in (self.folder / "colors").folders():
            for clip_id, file in load_recolorings(self.folder, kind).items():
                digest.update(f"{kind}/{clip_id}.parquet".encode() + file.record)
        return digest.hexdigest()[:16]

    def recolorings(self, scope: str, region: str, clip: ClipFile) -> RecoloringFile:
        """Return the recoloured frames of a clip. Raises DatasetError where `posegen colorize` has not made them."""
        kind = f"{scope}-{region}"
        if clip.clip_id not in self._recolored.get(kind, {}):  # not looked for yet, or made since
            self._recolored[kind] = load_recolorings(self.folder, kind, self.info.size)
        file = self._recolored[kind].get(clip.clip_id)
        if file is None:
            raise DatasetError(
                f"{self.folder} has no recolorings {kind!r} of clip {clip.clip_id}; "
                f"make them with `posegen colorize {self.folder} --scope {scope} --region {region}`"
            )
        return file

    def find(self, name: str) -> ClipFile:
        """Return the clip whose id is or begins with `name`, or that is ``PERSON/ACTION``.

        Of several of one person and action, ``PERSON/ACTION/2`` is the second by id. Raises DatasetError.
        """
        matches = [clip for clip in self.clips if clip.clip_id == name]
        matches = matches or [clip for clip in self.clips if clip.clip_id.startswith(name)]
        labels = [f"{clip.info.person}/{clip.info.action}" for clip in self.clips]
        matches = matches or [self.clips[index] for index in find_labelled(name, labels, self.folder)]
        if len(matches) != 1:
            found = "several clips" if matches else "no clip"
            known = ", ".join(f"{clip.info.person}/{clip.info.action}" for clip in self.clips[:6])
            raise DatasetError(
                f"{found} {name!r} in {self.folder}; it has {known}{', …' if len(self.clips) > 6 else ''}"
            )
        return matches[0]


def load_dataset_info(folder: StorageFolder) -> DatasetInfo:
    """Read ``dataset.json``. Raises DatasetError for one of another schema version, or that is none."""
    content = folder.read_json("dataset.json")
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found not in _READABLE:
        raise DatasetError(
            f"{folder} has schema version {found}, expected at most {CLIPS_VERSION}: "
            "prepare it again, or take a newer posegen"
        )
    place = f"{folder}/dataset.json"
    info = parse_json(DatasetInfo, json.dumps(content), place, DatasetError)
    check_size(info.size, place, DatasetError)
    if info.splits.keys() != {"train", "test"}:
        raise DatasetError(f"{place} has the splits {sorted(info.splits)}, expected train and test; prepare it again")
    return info


def save_dataset_info(folder: StorageFolder, info: DatasetInfo) -> None:
    """Write ``dataset.json``."""
    folder.write_json("dataset.json", asdict(info))
