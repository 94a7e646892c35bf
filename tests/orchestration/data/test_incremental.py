"""A build of a dataset: what is there stays, whoever wrote it and whatever was killed on the way."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.data.clip_preparer import PoseFinder, PrepareSettings, clip_steps
from orchestration.data.incremental import ClipBuild
from orchestration.data.prepare import prepare_videos
from orchestration.data.rejections import Rejection, load_rejections, save_rejections
from orchestration.data.video_files import find_videos
from orchestration.runtime.ray_data import RowWork, Step, map_rows
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clip_index import load_index
from posegen.datasets.clips import ClipDataset
from posegen.errors import DatasetError
from posegen.io.storage import StorageFolder
from tests.support import processes
from tests.support.old_datasets import make_old

TINY = PrepareSettings(size=(64, 48), pose="truth", edges="truth", mask="truth", workers=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data"


def files(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "clips").iterdir()}


def splits(out: Path) -> dict[str, str | None]:
    dataset = ClipDataset(out)
    return {clip.clip_id: dataset.split_of(clip) for clip in dataset.clips}


def test_a_dataset_of_version_0_1_is_taken_over(videos, out, monkeypatch):
    """Its clips and its rejections stay, its splits too, and it gets an index and rejected.json."""
    (videos / "ada" / "text.mp4").write_text("this is not a video\n" * 50)
    (videos / "ada" / "empty.mp4").touch()
    prepare_videos(videos, out, TINY)
    rejected, before = (out / "rejected.json").read_text(), splits(out)
    sides = {action: split for split, actions in ClipDataset(out).info.splits.items() for action in actions}
    make_old(StorageFolder(out), sides)
    written = files(out)
    assert sorted(path.name for path in out.iterdir()) == ["clips", "dataset.json", "rejected.parquet"]
    assert splits(out) == before
    with monkeypatch.context() as patch:
        patch.setattr(PoseFinder, "work", pytest.fail)  # neither clips nor what was refused is tried again
        summary = prepare_videos(videos, out, TINY)
    assert (summary.num_clips, summary.num_made, summary.num_removed, len(summary.rejections)) == (5, 0, 0, 2)
    assert files(out) == written and splits(out) == before
    assert (out / "rejected.json").read_text() == rejected
    names = ["clips", "dataset.json", "index.parquet", "preview.html", "rejected.json", "videos.parquet"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert ClipDataset(out).info.schema_version == 2


def test_other_splits_rewrite_no_clip(videos, out):
    prepare_videos(videos, out, TINY)
    written = files(out)
    before = splits(out)
    for seed in range(1, 20):
        prepare_videos(videos, out, replace(TINY, seed=seed))
        if splits(out) != before:
            break
    else:
        raise AssertionError("no clip ever changed sides")
    prepare_videos(videos, out, replace(TINY, split_by="person"))
    assert set(ClipDataset(out).info.splits["train"]) < {"ada", "bruno"} and files(out) == written


def test_a_first_preparation_opens_none_of_its_clips(videos, out, monkeypatch):
    def refuse(clip: ClipFile) -> None:
        raise AssertionError(f"{clip.clip_id} was opened")

    monkeypatch.setattr(ClipFile, "_table", property(refuse))
    assert prepare_videos(videos, out, TINY).num_usable == 50
    assert prepare_videos(videos, out, replace(TINY, min_usable=0.2)).num_made == 0


def test_what_was_lost_with_the_index_is_read_again(videos, out):
    first = prepare_videos(videos, out, TINY)
    index = (out / "index.parquet").read_bytes()
    (out / "index.parquet").unlink()
    again = prepare_videos(videos, out, TINY)
    assert (again.num_clips, again.num_usable, again.num_made) == (5, first.num_usable, 0)
    assert (out / "index.parquet").read_bytes() == index


def prepare_two_and_die(videos: Path, out: Path) -> None:
    """Prepare videos, and be killed after the second."""

    def die(done: int, total: int) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    prepare_videos(videos, out, TINY, on_progress=die)


def test_a_killed_preparation_neither_loses_nor_doubles_a_clip(videos, out, tmp_path):
    calm = tmp_path / "calm"
    prepare_videos(videos, calm, TINY)
    killed = processes.start(prepare_two_and_die, videos, out)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL and len(files(out)) == 2
    left = files(out)
    (out / "clips" / ".99999999@elsewhere.0123456789abcdef0123456789abcdef.x.parquet").touch()  # half of a third one
    assert prepare_videos(videos, out, TINY).num_made == 3
    assert left.items() <= files(out).items()
    for name in ("index.parquet", "dataset.json"):
        assert (out / name).read_bytes() == (calm / name).read_bytes()


class Forgetful:
    """Makes clips as `prepare` does, and dies before it says so."""

    def __init__(self, *arguments: object):
        self.make = RowWork(clip_steps(*arguments), "source").load()

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        self.make(row)
        return {"source": row["source"], "reason": "the process that worked on it died 4 times"}


def test_clips_of_processes_that_died_are_found(videos, out):
    prepare_videos(videos, out, TINY)
    entries = load_index(StorageFolder(out))
    rows = [asdict(video) for video in find_videos(videos).sources]
    other = StorageFolder(out.parent / "other")
    build = ClipBuild(other)
    build.make(rows, RowWork((Step(Forgetful, (other, TINY)),), "source"), workers=0)
    assert build.entries == entries
    build.delete([min(entries)])
    assert len(build.entries) == 4 == len((other / "clips").files())


class Doubler:
    """Doubles a number."""

    def __call__(self, row: dict[str, int]) -> dict[str, int]:
        return {"number": row["number"], "twice": 2 * row["number"]}


def test_rows_of_any_key_are_mapped(tmp_path):
    rows = [{"number": number} for number in range(4)]
    heard: list[tuple[int, int]] = []
    work = RowWork((Step(Doubler),), key="number")
    results = map_rows(
        rows,
        work,
        out=StorageFolder(tmp_path),
        workers=0,
        on_progress=lambda done, total: heard.append((done, total)),
    )
    assert [result["twice"] for result in results] == [0, 2, 4, 6] and heard == [(done, 4) for done in (1, 2, 3, 4)]
    assert list(map_rows([], work, out=StorageFolder("/nowhere"), workers=0)) == []


def test_rejections_come_back(tmp_path):
    folder = StorageFolder(tmp_path)
    assert load_rejections(folder) == []
    rejections = [Rejection("b.mp4", "not a video"), Rejection("a.mp4", "too long", "key")]
    save_rejections(folder, rejections)
    assert load_rejections(folder) == rejections[::-1]
    assert json.loads((tmp_path / "rejected.json").read_text())[1] == {"source": "b.mp4", "reason": "not a video"}
    save_rejections(folder, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"source": "a"}]', '[{"source": "a", "reason": 1}]'])
def test_a_damaged_list_of_rejections_is_refused_in_a_line(tmp_path, content):
    (tmp_path / "rejected.json").write_text(content)
    with pytest.raises(DatasetError, match=r"rejected\.json is damaged or was not written by posegen: .*; delete it"):
        load_rejections(StorageFolder(tmp_path))


def test_a_list_that_is_written_takes_the_place_of_an_old_one(tmp_path):
    pq.write_table(
        pa.table({"source": ["a.mp4"], "reason": ["not a video"], "key": ["k"]}), tmp_path / "rejected.parquet"
    )
    folder = StorageFolder(tmp_path)
    (one,) = load_rejections(folder)
    save_rejections(folder, [one, Rejection("b.mp4", "zero bytes")])
    assert [path.name for path in tmp_path.iterdir()] == ["rejected.json"]
    assert [found.source for found in load_rejections(folder)] == ["a.mp4", "b.mp4"]
