"""Tables of frames: as many as fit are open, the others come back when they are asked for."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posegen.datasets import frame_table
from posegen.datasets.clip_files import ClipFile, write_clip
from posegen.datasets.clip_index import save_index
from posegen.datasets.clips import DatasetInfo, save_dataset_info
from posegen.datasets.frame_table import OPENED_TABLES
from posegen.io.storage import StorageFolder
from tests.posegen.datasets.test_clips import make_clip

COUNT = 12


@pytest.fixture
def clips(tmp_path: Path) -> list[ClipFile]:
    folder = StorageFolder(tmp_path / "data")
    entries = [write_clip(folder, make_clip(f"person{number}")) for number in range(COUNT)]
    gc.collect()  # tables of other tests
    return [ClipFile(folder, entry.info.clip_id) for entry in entries]


def test_no_more_files_are_open_than_may_be(clips, monkeypatch):
    monkeypatch.setattr(frame_table, "_most_handles", lambda: 4)
    before, whole = num_descriptors(), make_clip()
    for _ in range(2):
        for clip in clips:
            np.testing.assert_array_equal(clip.image(3), whole.images[3])
            np.testing.assert_array_equal(clip.keypoints, whole.keypoints)
            assert len(OPENED_TABLES) <= 4
    assert num_descriptors() <= before + 4


def test_a_file_in_use_stays_open(clips, monkeypatch):
    monkeypatch.setattr(frame_table, "_most_handles", lambda: 2)
    opened = clips[0]._table._file
    for clip in clips[1:]:
        assert clip.image(0).any() and clips[0]._table._file is opened


def test_what_was_read_does_not_fill_the_memory(clips, monkeypatch):
    most = 3 * sum(ClipFile(clips[0].dataset, clips[0].clip_id).image(0).nbytes for _ in range(16))
    monkeypatch.setattr(frame_table, "_MOST_BYTES", most)
    for clip in clips:
        clip.image(0)
        assert OPENED_TABLES._num_bytes <= most
    assert 1 < len(OPENED_TABLES) < COUNT
    again = [clip.image(1) for clip in clips]
    assert all((image == make_clip().images[1]).all() for image in again)


def test_a_table_that_nobody_has_is_closed(clips):
    before = len(OPENED_TABLES)
    clips[0].image(0)
    assert len(OPENED_TABLES) == before + 1
    clips.clear()
    gc.collect()
    assert len(OPENED_TABLES) == before


def test_handles_follow_the_limit_of_the_process(monkeypatch):
    for limit, expected in ((1024, 256), (100_000, 1024), (2, 1), (frame_table.resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(frame_table.resource, "getrlimit", lambda kind, limit=limit: (limit, limit))
        assert frame_table._most_handles() == expected


LOADING = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
from posegen.datasets.clips import ClipDataset
from posegen.samples import EpochLoader, HintedFrames
samples = HintedFrames(ClipDataset(sys.argv[1]), "train", recolored_share=0, epoch_size=0, seed=0)
for processes in (0, 1):
    loader = EpochLoader(samples, 10, num_processes=processes)
    print(sum(len(batch["ab"]) for batch in loader.epoch(0)))
"""


def test_a_dataset_has_more_clips_than_a_process_may_open_files(tmp_path):
    """Links to one file, of which each counts as a file that is open."""
    folder, count = StorageFolder(tmp_path), 200
    entry = write_clip(folder, make_clip(num_frames=1))
    one = tmp_path / "clips" / f"{entry.info.clip_id}.parquet"
    for number in range(count):
        os.link(one, one.with_name(f"c{number}.parquet"))
    one.unlink()
    infos = [replace(entry.info, clip_id=f"c{number}") for number in range(count)]
    save_index(folder, [replace(entry, info=info) for info in infos])
    save_dataset_info(folder, DatasetInfo((32, 24), {}, {}, "action", {"train": ["wave"], "test": []}))
    command = [sys.executable, "-c", LOADING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["200", "200"], done.stderr


def num_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
