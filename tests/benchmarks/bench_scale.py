"""What a dataset of many clips costs before the first step: ``python -m tests.benchmarks.bench_scale``.

Opens, splits and plans a dataset of 20,000 clips and a million frames in a process that may have 1,024 files open, and
plans an epoch of both stages. The clips are links to one file, with an index: nothing of this opens a clip. Compared
with a plan that is made sample by sample, as a list. Prints seconds of the processor, and the ratio.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from posegen.datasets.clip_files import RECOLORING_SCHEMA, Clip, ClipInfo, RecoloringEntry, write_clip
from posegen.datasets.clip_index import save_index
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.datasets.recoloring_index import save_recoloring_entries
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.samples import ColoredFrames, ColoredFrameSettings, FramePairs, FramePairSettings, Sample
from posegen.samples.epoch_plan import shuffled

SIZE = (16, 16)
NUM_RECOLORINGS = 3
MOST_FILES = 1024
T = TypeVar("T")
_MOST_LINKS = 50_000  # of a file; file systems allow 65,000


def write_dataset(folder: StorageFolder, num_clips: int, num_frames: int) -> None:
    """Write one clip with its recolorings, and links to it."""
    info = ClipInfo(
        clip_id="first", person="", action="", fps=25.0, source="", source_sha256="", num_frames=num_frames, size=SIZE
    )
    clip = Clip(
        info=info,
        frames=np.arange(num_frames, dtype=np.int32),
        times=np.arange(num_frames) / info.fps,
        images=np.zeros((num_frames, *SIZE, 3), np.uint8),
        keypoints=np.ones((num_frames, 18, 3), np.float32),
        edges=np.zeros((num_frames, *SIZE), np.uint8),
        masks=np.zeros((num_frames, *SIZE), np.uint8),
    )
    entry = write_clip(folder, clip)
    names = [f"clip{number:06}" for number in range(num_clips)]
    labels = [{"person": f"person{number // 4}", "action": f"{number % 4}"} for number in range(num_clips)]
    infos = [replace(info, clip_id=name, **label) for name, label in zip(names, labels, strict=True)]
    link(Path(folder.uri) / "clips", names)
    save_index(folder, [replace(entry, info=info) for info in infos])
    for kind in ("clip-both", "frame-upper"):
        num_bytes = write_recolorings(folder / "colors" / kind, num_frames)
        link(Path(folder.uri) / "colors" / kind, names)
        facts = {"num_recolorings": NUM_RECOLORINGS, "record": b"", "num_bytes": num_bytes}
        save_recoloring_entries(folder, kind, [RecoloringEntry(clip_id=name, **facts) for name in names])
    people = sorted({info.person for info in infos})
    splits = {"train": people[: len(people) * 9 // 10], "test": people[len(people) * 9 // 10 :]}
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, "person", splits))


def write_recolorings(folder: StorageFolder, num_frames: int) -> int:
    picture = encode_png(np.zeros((*SIZE, 3), np.uint8))
    rows = [
        {"frame": frame, "variant": k, "image": picture, "upper_ab": None, "lower_ab": None, "seed": 0}
        for frame in range(num_frames)
        for k in range(NUM_RECOLORINGS)
    ]
    return write_table(folder, "first.parquet", pa.Table.from_pylist(rows, RECOLORING_SCHEMA))


def link(folder: Path, names: list[str]) -> None:
    """Give the first file other names instead of its own, and copies of it, where there are too many for one."""
    first = folder / "first.parquet"
    for number, name in enumerate(names):
        file = folder / f"{name}.parquet"
        if number % _MOST_LINKS == 0:
            shutil.copy(folder / "first.parquet", file)
            first = file
        else:
            os.link(first, file)
    (folder / "first.parquet").unlink()


def plan_in_a_loop(frames: ColoredFrames, epoch: int) -> list[Sample]:
    """A plan as it reads in the paper: one sample after the other."""
    rng = np.random.default_rng([0, epoch])
    places = [(c, int(row)) for c, clip in enumerate(frames.clips) for row in clip.usable_rows]
    samples = []
    for k, index in enumerate(shuffled(len(places), 0, rng)):
        clip, row = places[index]
        samples.append(Sample(clip, row, row, int(rng.integers(NUM_RECOLORINGS)), False, (0, epoch, k)))
    return samples


def timed(name: str, call: Callable[[], T]) -> tuple[float, T]:
    start, wall = time.process_time(), time.perf_counter()
    result = call()
    seconds = time.process_time() - start
    print(f"{name:<44} {seconds:6.2f} s of the processor, {time.perf_counter() - wall:6.2f} s in all", flush=True)
    return seconds, result


def main() -> None:
    """Print the times and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=50, help="of each clip")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = StorageFolder(name)
        write_dataset(folder, args.clips, args.frames)
        data = ClipDataset(folder)
        timed(f"open and split {args.clips:,} clips", lambda: (data.split("train"), data.split("test")))
        settings = FramePairSettings(true_feature_share=0.2, colors_per_pair=2, rollout_len=4)
        _, pairs = timed("stage II: look recolorings up", lambda: FramePairs(data, "train", settings, latent_dim=8))
        timed("stage II: plan of the first epoch", lambda: pairs.plan(0))
        _, plan = timed("stage II: plan of the next epoch", lambda: pairs.plan(1))
        print(f"{len(plan):,} samples")
        _, frames = timed(
            "stage I: look recolorings up",
            lambda: ColoredFrames(data, "train", ColoredFrameSettings(), region="upper", latent_dim=8),
        )
        first, plan = timed("stage I: plan of the first epoch", lambda: frames.plan(0))
        loop, _ = timed("stage I: the same as a list, in a loop", lambda: plan_in_a_loop(frames, 0))
        print(f"{len(plan):,} samples; as arrays {loop / first:.0f} times as fast")


if __name__ == "__main__":
    main()
