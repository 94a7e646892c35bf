"""Builds datasets of clips step by step: what is there stays, what is missing is made, what is stale is deleted.

A build is the same for videos, for Human3.6M and for DeepFashion and Market: plan which clips there should be, `make`
those that are missing on Ray Data, `delete` those that are stale, and `finish` with the splits and the index. A clip
that is in the index, or was made by this build, is not opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestration.data.clip_sheets import SHEETS, sheet_name
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, map_rows
from posegen.datasets.clip_files import ClipEntry, ClipInfo
from posegen.datasets.clip_index import complete_entries, decode_entries, load_index, save_index
from posegen.datasets.clips import ClipGroup, DatasetInfo, load_dataset_info, save_dataset_info
from posegen.datasets.dataset import DatasetBuild, Split
from posegen.io.storage import StorageFolder


class ClipBuild(DatasetBuild[ClipEntry]):
    """One build of a dataset of clips.

    Args:
        folder: The dataset; need not be there yet.

    Raises:
        DatasetError: A clip that is not in the index is damaged.
    """

    def __init__(self, folder: StorageFolder):
        self._indexed = load_index(folder)
        super().__init__(folder, "clips", complete_entries(folder, self._indexed))

    def infos(self) -> list[ClipInfo]:
        """Descriptions of the clips, in the order of their ids."""
        return [self.entries[clip_id].info for clip_id in sorted(self.entries)]

    def make(
        self, rows: Sequence[Row], work: RowWork, workers: int, on_progress: ProgressCallback = ignore_progress
    ) -> list[Row]:
        """Make clips on Ray Data, see `orchestration.runtime.ray_data.map_rows`.

        Args:
            rows: What to make.
            work: A worker whose results have, as ``entries``, the clips that it wrote, by `encode_entries`.
            workers: Processes; 0 works in this process, without Ray.
            on_progress: Called after every row.

        Returns:
            The results of all rows; those of rows whose processes died have a key and a ``reason`` alone.
        """
        results = []
        for result in map_rows(rows, work, out=self.folder, workers=workers, on_progress=on_progress):
            self.add({entry.info.clip_id: entry for entry in decode_entries(result.get("entries", "[]"))})
            results.append(result)
        if rows:  # a process that died, or another build, may have written clips that no result names
            self.entries = complete_entries(self.folder, self.entries)
        return results

    def move_sources(self, sources: dict[str, str]) -> None:
        """Note where the videos of some clips are now, by clip id. No clip is rewritten: the index says it."""
        for clip_id, source in sources.items():
            entry = self.entries[clip_id]
            self.entries[clip_id] = replace(entry, info=replace(entry.info, source=source))

    def delete_files(self, entry_id: str) -> None:
        delete_clip(self.folder, entry_id)

    def split_groups(self, split_by: ClipGroup, side: Callable[[str], Split | None]) -> dict[str, list[str]]:
        """Divide the people, or actions, of all clips by a rule; those for which it has no split are in none."""
        groups = sorted({getattr(info, split_by) for info in self.infos()})
        return {split: [group for group in groups if side(group) == split] for split in ("train", "test")}

    def split_before(self) -> Callable[[str], Split | None]:
        """Return the rule by which the dataset is divided until now."""
        if not self.folder.exists("dataset.json"):
            return lambda group: None
        return load_dataset_info(self.folder).split_of_group

    def finish(self, info: DatasetInfo) -> None:
        """Write the index and what is known of the dataset as a whole, and delete what killed processes left."""
        if self.entries != self._indexed:
            save_index(self.folder, self.entries.values())
        save_dataset_info(self.folder, info)
        self.sweep()


def describe_changes(num_made: int, num_removed: int) -> str:
    """Say what a build changed, in the same words for datasets of every kind."""
    return f"{num_made:,} new" + (f", {num_removed:,} removed" if num_removed else "")


def delete_clip(folder: StorageFolder, clip_id: str) -> None:
    """Delete a clip with its recolorings and its sheet."""
    folder.delete(f"clips/{clip_id}.parquet")
    if (folder / SHEETS).exists(sheet_name(clip_id)):
        (folder / SHEETS).delete(sheet_name(clip_id))
    for kind in (folder / "colors").folders():
        if (folder / "colors" / kind).exists(f"{clip_id}.parquet"):
            folder.delete(f"colors/{kind}/{clip_id}.parquet")
