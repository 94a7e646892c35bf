"""What the index of a clip dataset saves when it is opened: ``python -m tests.benchmarks.bench_open_dataset``.

Opens a dataset of many small clips as a training does, up to knowing people, actions, lengths and splits of all clips,
with its index and without, in turns; prints the times and their ratio, which is what compares between machines.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from posegen.datasets.clip_files import INDEX_FILE, Clip, ClipInfo, write_clip
from posegen.datasets.clip_index import complete_entries, save_index
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.io.storage import StorageFolder

SIZE = (32, 24)
NUM_FRAMES = 4
ROUNDS = 3


def write_dataset(folder: StorageFolder, count: int) -> None:
    """Write clips of a few frames: pictures of a shop have as many a person."""
    info = ClipInfo(
        clip_id="", person="", action="", fps=1.0, source="", source_sha256="", num_frames=NUM_FRAMES, size=SIZE
    )
    clip = Clip(
        info=info,
        frames=np.arange(NUM_FRAMES, dtype=np.int32),
        times=np.arange(NUM_FRAMES) / info.fps,
        images=np.zeros((NUM_FRAMES, *SIZE, 3), np.uint8),
        keypoints=np.ones((NUM_FRAMES, 18, 3), np.float32),
        edges=np.zeros((NUM_FRAMES, *SIZE), np.uint8),
        masks=np.zeros((NUM_FRAMES, *SIZE), np.uint8),
    )
    for number in range(count):
        names = {"clip_id": f"clip-{number:06}", "person": f"person{number // 4}", "action": f"clothes{number % 4}"}
        write_clip(folder, replace(clip, info=replace(info, **names)))
    people = [f"person{number}" for number in range(count // 4 + 1)]
    splits = {"train": people[::2], "test": people[1::2]}
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, "person", splits))


def measure_opening(folder: StorageFolder) -> float:
    """Seconds until everything is known of all clips but their frames."""
    start = time.perf_counter()
    dataset = ClipDataset(folder)
    clips = [*dataset.split("train"), *dataset.split("test")]
    assert sum(clip.info.num_frames for clip in clips) == NUM_FRAMES * len(dataset.clips)
    return time.perf_counter() - start


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    count = parser.parse_args().clips
    with_index, without = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = StorageFolder(Path(name) / "data")
        write_dataset(folder, count)
        entries = complete_entries(folder, {})
        for _ in range(ROUNDS):
            without.append(measure_opening(folder))
            save_index(folder, entries.values())
            with_index.append(measure_opening(folder))
            folder.delete(INDEX_FILE)
    print(f"{count:,} clips: {min(without):.3f} s without the index, {min(with_index):.3f} s with it")
    print(f"ratio: {min(without) / min(with_index):.0f} times as fast")


if __name__ == "__main__":
    main()
