"""Files that lie, or that somebody made to do harm: each is refused with one line, and nothing in it is run."""

from __future__ import annotations

import json
import math
import os
import pickle
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from orchestration.cli import main as cli
from orchestration.cluster.check import check_cluster_file, read_cluster_file
from orchestration.data.rejections import load_rejections
from orchestration.data.video_files import find_videos
from orchestration.evaluation import compare_page
from orchestration.evaluation.compare import Comparison, Entry
from orchestration.evaluation.compare_page import _step_of, as_study, write_page
from orchestration.tracking.client import require_store
from orchestration.tracking.queries import Recorded
from orchestration.training.job import TrainSettings
from orchestration.training.runs import history
from posegen.checkpoints.checkpoint import (
    TrainingProgress,
    latest_checkpoint,
    load_progress,
    load_stage,
    load_training_state,
    save_checkpoint,
)
from posegen.checkpoints.run_record import dataset_of
from posegen.color.palette import parse_color
from posegen.datasets.clip_files import (
    METADATA_KEY,
    RECOLORING_SCHEMA,
    Clip,
    ClipFile,
    ClipInfo,
    RecoloringFile,
    write_clip,
    write_table,
)
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.errors import CheckpointError, DatasetError, ImageError, RunError, TrackingError, VideoError, WeightsError
from posegen.evaluation.metric_registry import metric_info
from posegen.inference.movements import open_poses
from posegen.io.images import decode_png, encode_png
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_image, read_video
from posegen.io.video_writer import write_video
from posegen.perception.pose_files import read_pose_files
from posegen.stages import ColorEncoder
from posegen.synthetic.studio import read_truth
from posegen.weights import download as weights
from posegen.weights.registry import WEIGHTS

SIZE = (32, 24)
FRAMES = 20


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    """What the command line makes of an error is one line, and it is not endless."""
    said = " ".join(str(error.value).split())
    assert 0 < len(said) < 1000
    return said


# ---- Clips


def make_clip(clip_id: str = "ann-wave") -> Clip:
    info = ClipInfo(
        clip_id=clip_id,
        person="ann",
        action="wave",
        fps=25.0,
        source="",
        source_sha256="",
        num_frames=FRAMES,
        size=SIZE,
    )
    return Clip(
        info=info,
        frames=np.arange(FRAMES, dtype=np.int32),
        times=np.arange(FRAMES) / 25,
        images=np.full((FRAMES, *SIZE, 3), 90, np.uint8),
        keypoints=np.full((FRAMES, 18, 3), 5, np.float32),
        edges=np.zeros((FRAMES, *SIZE), np.uint8),
        masks=np.zeros((FRAMES, *SIZE), np.uint8),
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset of one clip."""
    folder = tmp_path / "data"
    write_clip(StorageFolder(folder), make_clip())
    save_dataset_info(StorageFolder(folder), DatasetInfo(SIZE, {}, {}, "action", {"train": ["wave"], "test": []}))
    return folder


def change_table(dataset: Path, change: Any, *, row_group_size: int = 16, **facts: Any) -> None:
    """Write the clip again with another table, or with other facts."""
    path = dataset / "clips" / "ann-wave.parquet"
    table = pq.read_table(path)
    known = {**json.loads(table.schema.metadata[METADATA_KEY]), **facts}
    table = change(table).replace_schema_metadata({METADATA_KEY: json.dumps(known).encode()})
    pq.write_table(table, path, compression="none", use_dictionary=False, row_group_size=row_group_size)


def replaced(column: str, values: Any) -> Any:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(column)
        kind = table.schema.field(column).type
        new = values if isinstance(values, pa.Array) else pa.array(values, kind)
        return table.set_column(index, pa.field(column, new.type), new)

    return change


def same(table: pa.Table) -> pa.Table:
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["mask"]), "has not mask as binary"),
        (replaced("frame", pa.array(["a"] * FRAMES)), r"has not frame as int32 \(string\)"),
        (lambda t: t.append_column("mask", t["edges"]), r"has not mask as binary \(it once\)"),
        (lambda t: t.slice(0, 5), "has 5 frames, expected 20"),
        (lambda t: t.slice(0, 0), "has 0 frames, expected 20"),
        (replaced("keypoints", [[math.nan] * 54] * FRAMES), "keypoints that are no places"),
        (replaced("keypoints", [[math.inf] * 54] * FRAMES), "keypoints that are no places"),
        (replaced("keypoints", [[1e30] * 54] * FRAMES), "keypoints that are no places"),
        (replaced("keypoints", [None] * FRAMES), "cannot be read: Expected all lists"),
        (replaced("time", [math.nan] * FRAMES), "times that do not increase"),
        (replaced("time", [0.0] * FRAMES), "times that do not increase"),
        (replaced("frame", [None] * FRAMES), "lacks numbers in frame"),
        (replaced("image", [None] * FRAMES), "does not decode"),
        (replaced("image", [b""] * FRAMES), "does not decode"),
        (replaced("image", [b"\xff\xd8\xff\xe0 not a PNG " * 9] * FRAMES), "does not decode"),
        (replaced("image", [png_header(100_000, 100_000)] * FRAMES), "has 100000×100000 pixels, expected 24×32"),
        (replaced("mask", [encode_png(np.zeros((8, 8), np.uint8))] * FRAMES), "has 8×8 pixels, expected 24×32"),
        (replaced("edges", [png_header(24, 32)[:40]] * FRAMES), "does not decode"),
    ],
)
def test_tables_that_are_no_clip(dataset, change, message):
    change_table(dataset, change)
    with pytest.raises(DatasetError, match=message) as error:
        ClipFile(StorageFolder(dataset), "ann-wave").read()
    one_line(error)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"clip_id": "../../escaped"}, "contains the clip '../../escaped'"),
        ({"num_frames": 10**12}, "expected 1000000000000"),
        ({"num_frames": "20"}, "num_frames → Input should be a valid integer"),
        ({"size": [10**6, 10**6]}, "frames of 1000000×1000000 pixels"),
        ({"size": [-1, -1]}, "frames of -1×-1 pixels"),
        ({"size": [32]}, "size"),
        ({"size": None}, "size"),
        ({"fps": 0.0}, "0.0 frames per second"),
        ({"fps": math.nan}, "nan frames per second"),
        ({"split": "validation"}, "split → Input should be 'train' or 'test'"),
        ({"person": ["ann"]}, "person → Input should be a valid string"),
        ({"colour": 1}, "colour → Unexpected keyword"),
    ],
)
def test_facts_that_lie_about_a_clip(dataset, facts, message):
    change_table(dataset, same, **facts)
    with pytest.raises(DatasetError, match=message) as error:
        ClipFile(StorageFolder(dataset), "ann-wave").read()
    one_line(error)


def test_rows_in_other_groups_are_not_read_as_other_frames(dataset):
    change_table(dataset, same, row_group_size=7)
    with pytest.raises(DatasetError, match="not divided into groups of 16 rows"):
        ClipFile(StorageFolder(dataset), "ann-wave").image(9)


def test_a_table_that_claims_more_rows_than_it_has_bytes(tmp_path):
    """A run of equal numbers takes a few bytes on disk and all memory when it is read."""
    count = 16_000
    table = pa.table({"frame": pa.array(np.zeros(count), pa.int32())})
    columns = {field.name: pa.nulls(count, field.type) for field in RECOLORING_SCHEMA if field.name != "frame"}
    for name, values in columns.items():
        table = table.append_column(name, values)
    (tmp_path / "colors" / "k").mkdir(parents=True)
    path = tmp_path / "colors" / "k" / "c.parquet"
    pq.write_table(table.cast(RECOLORING_SCHEMA), path, row_group_size=16, write_statistics=False)
    data = path.read_bytes()
    pq.write_table(table.cast(RECOLORING_SCHEMA), path, row_group_size=count)
    assert len(data) > path.stat().st_size
    with pytest.raises(DatasetError, match="not divided into groups"):
        _ = RecoloringFile(StorageFolder(tmp_path), "k", "c").rows


@pytest.mark.parametrize("cut", [0, 1, 4, 100, -1, -8, -100])
def test_a_file_that_is_cut_off(dataset, cut):
    path = dataset / "clips" / "ann-wave.parquet"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=r"ann-wave.parquet cannot be read") as error:
        _ = ClipDataset(str(dataset)).clips[0].info
    one_line(error)


def test_a_clip_without_facts(dataset):
    path = dataset / "clips" / "ann-wave.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path, row_group_size=16, compression="none")
    with pytest.raises(DatasetError, match="was not written by posegen"):
        _ = ClipFile(StorageFolder(dataset), "ann-wave").info


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "lacks recolorings"),
        ([(0, 0), (0, 0)], "lacks recolorings"),
        ([(0, 0), (0, 2**31 - 1)], "lacks recolorings"),
        ([(0, 0), (0, -1)], "lacks recolorings"),
        ([(0, 0), (0, 1), (1, 0)], "lacks recolorings"),
        ([(0, 0), (1, 0)], "no recoloring 0 of frame 7"),
    ],
)
def test_variants_that_are_not_all_there(tmp_path, rows, message):
    image = encode_png(np.zeros((*SIZE, 3), np.uint8))
    facts = [
        {"frame": frame, "variant": n, "image": image, "upper_ab": None, "lower_ab": None, "seed": 0}
        for frame, n in rows
    ]
    write_table(StorageFolder(tmp_path / "colors" / "k"), "c.parquet", pa.Table.from_pylist(facts, RECOLORING_SCHEMA))
    with pytest.raises(DatasetError, match=message):
        RecoloringFile(StorageFolder(tmp_path), "k", "c", SIZE).image(7, 0)


@pytest.mark.parametrize("ab", [[1.0], [1.0, 2.0, 3.0], [math.nan, 0.0], [None, 0.0], []])
def test_variants_of_no_colour(tmp_path, ab):
    image = encode_png(np.zeros((*SIZE, 3), np.uint8))
    row = {"frame": 0, "variant": 0, "image": image, "upper_ab": ab, "lower_ab": None, "seed": 0}
    write_table(StorageFolder(tmp_path / "colors" / "k"), "c.parquet", pa.Table.from_pylist([row], RECOLORING_SCHEMA))
    with pytest.raises(DatasetError, match="expected a and b"):
        _ = RecoloringFile(StorageFolder(tmp_path), "k", "c").upper_ab


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "schema version None"),
        ("null", "schema version None"),
        ('{"schema_version": 1}', "size → Field required"),
        ({"size": "32x24"}, "size"),
        ({"size": [32, 24.5]}, "size → 1 → Input should be a valid integer"),
        ({"size": [10**9, 10**9]}, "at most 67,108,864"),
        ({"splits": {"train": []}}, r"has the splits \['train'\]"),
        ({"splits": {"train": "wave", "test": []}}, "splits → train → Input should be a valid array"),
        ({"backends": {"pose": "blazepose"}}, "backends → pose → Input should be an object"),
        ({"settings": []}, "settings → Input should be an object"),
        ({"more": 1}, "more → Unexpected keyword"),
    ],
)
def test_descriptions_that_are_of_no_dataset(dataset, content, message):
    path = dataset / "dataset.json"
    path.write_text(content if isinstance(content, str) else json.dumps({**json.loads(path.read_text()), **content}))
    with pytest.raises(ValueError, match=message) as error:
        ClipDataset(str(dataset))
    assert str(dataset) in one_line(error)


def test_the_command_line_says_it_in_one_line(dataset, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    change_table(dataset, same, clip_id="../../escaped")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["colorize", str(dataset), "--workers", "0"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "escaped" in said and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_rejected_may_be_damaged(tmp_path):
    for content in (b"", b"PAR1", b"no table"):
        (tmp_path / "rejected.parquet").write_bytes(content)
        with pytest.raises(DatasetError, match=r"rejected.parquet cannot be read"):
            load_rejections(StorageFolder(tmp_path))
    pq.write_table(pa.table({"source": [1]}), tmp_path / "rejected.parquet")
    with pytest.raises(DatasetError, match=r"rejected.parquet was not written by posegen"):
        load_rejections(StorageFolder(tmp_path))


def test_a_pipe_named_like_a_video_is_not_waited_for(tmp_path):
    (tmp_path / "ann").mkdir()
    os.mkfifo(tmp_path / "ann" / "wave.mp4")
    sources, rejections, _ = find_videos(tmp_path)
    assert not sources and "not a file" in rejections[0].reason


def test_names_in_paths_become_no_paths(tmp_path):
    """Who and what a file's name says may hold anything but a slash."""
    from posegen.datasets.clips import derive_clip_id

    for person, action in (("..", ".."), ("../..", "etc/passwd"), ("a\0b", "c\nd"), ("", "")):
        clip_id = derive_clip_id(person, action, "", {})
        assert not set(clip_id) & set("/\\.\0\n") and (tmp_path / clip_id).parent == tmp_path


# ---- Pictures and videos


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (9_000, 9_000), (0, 10)])
def test_a_picture_that_would_fill_the_memory(tmp_path, size):
    bomb = png_header(*size)
    with pytest.raises(ImageError, match="does not decode"):
        decode_png(bomb)
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb)
    with pytest.raises(VideoError) as error:
        read_image(path)
    assert str(path) in one_line(error)


def test_only_png_is_decoded_of_a_dataset():
    import cv2

    for suffix in (".jpg", ".bmp", ".tiff", ".webp"):
        content = cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        with pytest.raises(ImageError):
            decode_png(content)


def test_a_video_whose_pixels_claim_to_be_very_wide(tmp_path, monkeypatch):
    """Square pixels are made of wide ones, which takes more memory than the file's own size tells."""
    import av

    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 20
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    assert read_video(path, size=None).images.shape[1:] == (64, 1280, 3)
    monkeypatch.setattr("posegen.io.video_reader.MAX_PIXELS", 64 * 64)
    with pytest.raises(VideoError, match=r"wide.mp4: 1280×64 pixels, expected at most 4,096"):
        read_video(path)


def test_a_video_that_is_something_else(tmp_path):
    for name, content in (
        ("a.mp4", b"\0\0\0\x20ftypisom" + b"\xff" * 400),
        ("b.mkv", b"\x1aE\xdf\xa3" + b"\xff" * 400),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError) as error:
            read_video(tmp_path / name)
        one_line(error)


def test_truth_that_lies(tmp_path):
    write_video(tmp_path / "a.mp4", np.zeros((2, 32, 32, 3), np.uint8), fps=25)
    path = tmp_path / "a.truth.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match="not a file of the studio"):
        read_truth(path)
    columns = {name: [png_header(100_000, 100_000)] for name in ("mask", "garments", "edges")}
    facts = {"person": "a", "action": "b", "fps": 1.0, "width": 8, "height": 8, "seed": 0}
    table = pa.table({"frame": [0], "keypoints": [[0.0] * 54], **columns})
    for more, message in (
        ({}, "upper_lab"),
        ({"upper_lab": [1, 2, 3], "lower_lab": [1, 2, 3]}, "100000×100000 pixels"),
    ):
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps({**facts, **more}).encode()}), path)
        with pytest.raises(ValueError, match=message):
            read_truth(path)


# ---- Checkpoints


@pytest.fixture(scope="module")
def trained() -> ColorEncoder:
    """A stage of the smallest size, of which checkpoints are written."""
    from dataclasses import replace

    small = {"generator_width": 4, "encoder_width": 4, "discriminator_width": 4}
    return ColorEncoder(replace(ColorEncoder.presets["tiny"], **small))


@pytest.fixture
def checkpoint(trained: ColorEncoder, tmp_path: Path) -> Path:
    """A checkpoint to be spoiled."""
    folder = tmp_path / "run" / "checkpoints" / "epoch-0001"
    save_checkpoint(StorageFolder(folder), trained, TrainingProgress(epoch=1, step=1, data_fingerprint="x", size=SIZE))
    return folder


def test_tensors_that_are_a_pickle_are_not_opened(checkpoint, trained, tmp_path):
    mark = tmp_path / "ran"
    for content in (pickle.dumps(Bomb(mark)), b"", b"\xff" * 8, struct.pack("<Q", 2**60) + b"{}"):
        (checkpoint / "tensors.safetensors").write_bytes(content)
        for read in (load_stage, lambda folder: load_training_state(folder, trained)):
            with pytest.raises(CheckpointError, match=r"tensors.safetensors is damaged") as error:
                read(StorageFolder(checkpoint))
            one_line(error)
    torch.save({"networks/x": Bomb(mark)}, checkpoint / "tensors.safetensors")
    with pytest.raises(CheckpointError):
        load_stage(StorageFolder(checkpoint))
    assert not mark.exists()


@pytest.mark.parametrize(
    "header",
    [
        {"networks/a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"networks/a": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]}},
        {"networks/a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"networks/a": {"dtype": "pickle", "shape": [1], "data_offsets": [0, 4]}},
        {"networks/a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "networks/b": {"dtype": "F32"}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"optimizers/a/b/c": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"networks/../a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
    ],
)
def test_headers_of_tensors_that_lie(checkpoint, header):
    text = json.dumps(header).encode()
    (checkpoint / "tensors.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 4)
    with pytest.raises(CheckpointError) as error:
        load_stage(StorageFolder(checkpoint))
    one_line(error)


def test_tensors_of_another_shape(checkpoint, trained):
    path = checkpoint / "tensors.safetensors"
    good = load_file(path)
    name = next(name for name in good if name.endswith("weight"))
    for other, message in (
        ({**good, name: torch.zeros(3)}, r"it has torch.float32 \(3,\) as"),
        ({**good, name: good[name].double()}, "it has torch.float64"),
        ({key: x for key, x in good.items() if key != name}, "it has nothing as"),
        ({**good, "networks/more": torch.zeros(3)}, "as more, expected nothing"),
    ):
        path.write_bytes(save(other))
        for read in (load_stage, lambda folder: load_training_state(folder, trained)):
            with pytest.raises(CheckpointError, match=message):
                read(StorageFolder(checkpoint))


def test_optimizers_of_another_shape(checkpoint, trained):
    path = checkpoint / "tensors.safetensors"
    good = load_file(path)
    name = next(iter(trained.optimizers))
    for slot in (f"optimizers/{name}/0/exp_avg", f"optimizers/{name}/99999/exp_avg", f"optimizers/{name}/-9/exp_avg"):
        path.write_bytes(save({**good, slot: torch.zeros(3)}))
        with pytest.raises(CheckpointError, match=f"its optimizer '{name}' is another one"):
            load_training_state(StorageFolder(checkpoint), trained)
    path.write_bytes(save(good))
    facts = json.loads((checkpoint / "checkpoint.json").read_text())
    for groups in ({}, {name: []}, {name: [{}]}, {name: [{"params": [0]}]}):
        (checkpoint / "checkpoint.json").write_text(json.dumps({**facts, "optimizers": groups}))
        with pytest.raises(CheckpointError, match="is another one"):
            load_training_state(StorageFolder(checkpoint), trained)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "../evil"}, "of the stage '../evil', expected one of"),
        ({"stage": 3}, "stage → Input should be a valid string"),
        ({"config": []}, "config → Input should be an object"),
        ({"config": {"generator_width": "four"}}, "generator_width → Input should be a valid integer"),
        ({"config": {"generator_width": 100_000}}, "does not fit its own configuration"),
        ({"config": {"num_epochs": 0}}, "num_epochs must be at least 1"),
        ({"config": {"pickle": 1}}, "pickle → Unexpected keyword"),
        ({"progress": {}}, "progress → epoch → Field required"),
        ({"progress": {"epoch": "1", "step": 1, "data_fingerprint": "x", "size": [1, 1]}}, "progress → epoch"),
        ({"progress": {"epoch": 1, "step": 1, "data_fingerprint": "x", "size": [10**9, 10**9]}}, "1000000000×"),
        ({"optimizers": None}, "optimizers → Input should be an object"),
        ({"tensor_bytes": "many"}, "tensor_bytes → Input should be a valid integer"),
        ([], "Input should be an object"),
        (None, "Input should be an object"),
    ],
)
def test_facts_of_a_checkpoint_that_are_of_the_wrong_kind(checkpoint, change, message):
    path = checkpoint / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change} if isinstance(change, dict) else change))
    with pytest.raises(CheckpointError, match=message) as error:
        load_stage(StorageFolder(checkpoint))
        load_progress(StorageFolder(checkpoint))
    one_line(error)


def test_a_checkpoint_that_is_deeply_nested(checkpoint):
    (checkpoint / "checkpoint.json").write_text('{"config":' * 50_000)
    with pytest.raises(CheckpointError, match="recursion limit"):
        latest_checkpoint(StorageFolder(checkpoint.parents[1]))


# ---- Weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse_weights(name: str, file: Path, cache: Path) -> str:
    """Hand over a file that must be refused, and leave the cache empty."""
    with pytest.raises(WeightsError) as error:
        weights.provide(name, file)
    assert [path.name for path in cache.iterdir() if path.name != ".lock"] == []
    return one_line(error)


@pytest.mark.parametrize("name", ["rcf", "openpose", "siggraph17-retrained", "gru-humanact12"])
def test_weights_with_code_in_them_are_not_opened(name, cache, tmp_path):
    mark, file = tmp_path / "ran", tmp_path / "weights.pth"
    for content in (Bomb(mark), {"state_dict": {"a.weight": Bomb(mark)}}, {"a": [Bomb(mark)]}):
        torch.save(content, file)
        said = refuse_weights(name, file, cache)
        assert "holds more than tensors, which may be code" in said and "weights_only" not in said
    file.write_bytes(pickle.dumps(Bomb(mark)))
    refuse_weights(name, file, cache)
    assert not mark.exists()


@pytest.mark.parametrize("content", [3, [1, 2], torch.zeros(3), {"a": 3}, {1: torch.zeros(3)}, {"state_dict": 3}])
@pytest.mark.parametrize("name", ["rcf", "openpose", "siggraph17-retrained", "gru-humanact12"])
def test_weights_that_are_no_tensors_by_name(name, content, cache, tmp_path):
    torch.save(content, tmp_path / "weights.pth")
    assert f"as weights '{name}'" in refuse_weights(name, tmp_path / "weights.pth", cache)


@pytest.mark.parametrize("name", ["hed", "blazepose-detector", "vgg19", "siggraph17"])
def test_weights_with_another_hash(name, cache, tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "weights.pth")
    refuse_weights(name, tmp_path / "weights.pth", cache)


def readers() -> dict[str, Any]:
    from posegen.metrics.image import STLPIPS
    from posegen.networks.recognition import GRURecognizer
    from posegen.networks.siggraph17 import SIGGRAPH17
    from posegen.networks.vgg import VGGFeatures
    from posegen.perception.hed import HED
    from posegen.perception.openpose import load_network
    from posegen.perception.rcf import RCF

    return {
        "st_lpips": STLPIPS.pretrained,
        "siggraph17": SIGGRAPH17.pretrained,
        "vgg19": lambda: VGGFeatures.pretrained("vgg19"),
        "hed": HED,
        "openpose": load_network,
        "rcf": RCF,
        "gru-humanact12": GRURecognizer.pretrained,
    }


@pytest.mark.parametrize("name", ["st_lpips", "siggraph17", "vgg19", "hed", "openpose", "rcf", "gru-humanact12"])
def test_a_cached_weight_that_changed(name, cache):
    cache.mkdir()
    file = cache / WEIGHTS[name].file
    file.write_bytes(b"garbage" * 9)
    with pytest.raises(WeightsError, match="is damaged or not of this network"):
        readers()[name]()
    save_file({"a": torch.zeros(3)}, file)
    with pytest.raises(WeightsError) as error:
        readers()[name]()
    assert str(file) in one_line(error)


def test_an_onnx_file_that_is_none(cache, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "pose.onnx").write_bytes(b"garbage" * 50)
    weights.provide("openpose", tmp_path / "pose.onnx")
    with pytest.raises(WeightsError, match="is damaged or not of this network"):
        readers()["openpose"]()


# ---- Poses and colours


@pytest.mark.parametrize(
    "people",
    [
        [{"pose_keypoints_2d": [math.nan] * 54}],
        [{"pose_keypoints_2d": [math.inf] * 54}],
        [{"pose_keypoints_2d": [1e308] * 54}],
        [{"pose_keypoints_2d": [10**400] * 54}],
        [{"pose_keypoints_2d": [[1, 2], [3]] * 27}],
        [{"pose_keypoints_2d": {"a": 1}}],
        [{"pose_keypoints_2d": None}],
        [{"pose_keypoints_2d": [0.5] * 53}],
        ["pose_keypoints_2d"],
        [3],
        {"a": 3},
        "people",
        None,
    ],
)
def test_poses_that_are_none(tmp_path, people):
    file = tmp_path / "a_keypoints.json"
    file.write_text(json.dumps({"people": people}))
    with pytest.raises(ValueError, match=r"a_keypoints.json") as error:
        read_pose_files(file)
    one_line(error)


@pytest.mark.parametrize("content", ["", "[]", "null", '{"people": ' + "[" * 100_000, "\ud800", "9" * 5000])
def test_files_of_poses_that_are_none(tmp_path, content):
    file = tmp_path / "a_keypoints.json"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"a_keypoints.json") as error:
        open_poses(file, fps=25)
    one_line(error)


@pytest.mark.parametrize(
    "text",
    [
        "rgb(300, 0, 0)",
        "rgb(99999999999999999999, 0, 0)",
        "hsl(0, 200%, 50%)",
        "lab(50 1000 0)",
        f"lab(50 {'9' * 400} 0)",
        f"lab(50 {'1' * 30_000}x 0)",
        "#" + "0" * 10_000,
        "lab(nan 0 0)",
        "",
    ],
)
def test_colours_that_are_none(text):
    with pytest.raises(ValueError, match="colour") as error:
        parse_color(text)
    one_line(error)


# ---- Runs, names and the tracking store


@pytest.mark.parametrize("name", ["../../escaped", "..", ".", "a/b", "/tmp/a"])
def test_names_that_lead_elsewhere(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"a run's name has no '/' and is no '\.\.'"):
        TrainSettings(name=name)
    for command in (["train", "color_encoder", "data"], ["tune", "joint", "data"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*command, "--name", name])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and "name has no '/'" in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"dataset": 3}', '{"stage": "../x", "config": {}, "dataset": "d", "data_fingerprint": "f"}'],
)
def test_a_record_that_is_of_no_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError) as error:
        dataset_of(str(tmp_path))
    assert str(tmp_path) in one_line(error)


@pytest.mark.parametrize("content", ["", "[]", '{"a": {}}', '{"1": 3}', '{"1": {"val/l1": "low"}}'])
def test_metrics_that_are_none(checkpoint, content):
    run = checkpoint.parents[1]
    (run / "metrics.json").write_text(content)
    with pytest.raises(TrackingError, match=r"metrics.json is damaged"):
        history(StorageFolder(run))


def test_a_store_that_is_no_store(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ValueError, match="does not answer: it is not a store of MLflow") as error:
        require_store()
    one_line(error)
    assert (tmp_path / "mlflow.db").read_bytes() == b"garbage" * 1000


# ---- The page of a comparison

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}"


def compared(**parameters: list[str]) -> Comparison:
    """Four runs with names and parameters that would be HTML."""
    entries = []
    for number in range(4):
        own = {name: values[number] for name, values in parameters.items()}
        tags = {"posegen.state": f'x" onclick="alert(3)">{EVIL}'} if number else {}
        run = Recorded(f"run{number}", EVIL, "FINISHED", own, {"val/l1": float(number)}, tags)
        entries.append(Entry(run, float(number), None, own))
    return Comparison(EVIL, metric_info("val/l1"), ["val/l1"], list(parameters), entries, 0)


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without files whose metric has a history."""
    monkeypatch.setattr(compare_page, "metric_history", lambda run_id, name: {1: 0.5, 2: 0.4})
    monkeypatch.setattr(compare_page, "list_files", lambda run_id, folder="": [f"images/generated%step%3%{EVIL}.png"])
    monkeypatch.setattr(compare_page, "read_file", lambda run_id, path: b"<svg onload=alert(4)>")


def test_names_of_runs_are_text_on_the_page(tmp_path, no_store):
    page = write_page(compared(**{f"stage.{EVIL}": [EVIL, "a", "b", "c"]}), tmp_path / "page.html").read_text()
    body = page[page.rindex("</script>", 0, page.index("<body>")) :]
    for raw in ("<script>alert", "<img src=x", "<svg onload", 'onclick="alert'):
        assert raw not in body
    assert "&lt;script&gt;alert(1)" in body and "{{7*7}}" in body


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("images/generated%step%12%timestamp%3%uuid.png", 12),
        ("images/generated~step~7~x.png", 7),
        ("images/generated%step", -1),
        ("images/generated%step%²%.png", -1),
        ("images/generated%step%-1%.png", -1),
        ("images/generated.png", -1),
    ],
)
def test_names_of_pictures_that_tell_no_step(path, step):
    assert _step_of(path) == step


@pytest.mark.parametrize(
    "values", [["nan", "inf", "-inf", "1"], ["1e999", "2", "3", "4"], ["0", "-0", "1e308", "-1e308"]]
)
def test_parameters_that_are_no_numbers(values):
    assert len(as_study(compared(lr=values)).trials) == 4


# ---- Files of clusters


def bomb_of_aliases(line: str) -> str:
    names = "abcdefghij"
    return 'a: &a ["x"]\n' + "".join(
        line.format(new=new, many=", ".join([f"*{old}"] * 9)) for old, new in pairwise(names)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.mkdir [ran]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("!<tag:yaml.org,2002:python/object/new:os.mkdir> [ran]", "could not determine a constructor"),
        (bomb_of_aliases("{new}: &{new} [{many}]\n"), "aliases written out"),
        (
            "a: &a {k: v}\n" + bomb_of_aliases("{new}: &{new} {{<<: [{many}]}}\n").partition("\n")[2],
            "aliases written out",
        ),
        ("a: &a [*a]", "aliases written out"),
        ("a: &a {b: *a}", "aliases written out"),
        ("[" * 5_000, "nested deeper"),
        ("a: " + "x" * 200_000, "longer than 131,072 bytes"),
        ("a: !!int x", "not YAML as it should be"),
        ("a: !!bool x", "not YAML as it should be"),
        ("a: !!timestamp x", "not YAML as it should be"),
        ("a: 2001-99-99", "not YAML as it should be"),
        ("a: " + "9" * 5000, "not YAML as it should be"),
        ("{[]: 1}", "found unhashable key"),
        ("a: 1\n---\nb: 2", "but found another document"),
        ("\0", "not YAML"),
        ("", "holds NoneType, expected a cluster"),
        ("[1, 2]", "holds list, expected a cluster"),
    ],
)
def test_files_of_clusters_that_would_do_harm(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    Path("cluster.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_cluster_file(Path("cluster.yaml"))
    one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.yaml"]


def test_aliases_that_repeat_little_are_read(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("a: &a {k: v}\nb: *a\nc: {<<: *a, l: w}\n")
    assert read_cluster_file(path) == {"a": {"k": "v"}, "b": {"k": "v"}, "c": {"k": "v", "l": "w"}}


def test_a_command_that_is_slow_to_read(tmp_path):
    """Patterns look at each place of a text once."""
    path = tmp_path / "cluster.yaml"
    text = (Path(__file__).parents[2] / "cluster.yaml").read_text()
    path.write_text(text.replace("head_setup_commands:\n", "head_setup_commands:\n  - x" + "-" * 60_000 + "\n"))
    check_cluster_file(path)


def test_a_mount_of_nobodys_home(tmp_path):
    path = tmp_path / "cluster.yaml"
    config = read_cluster_file(Path(__file__).parents[2] / "cluster.yaml")
    path.write_text(json.dumps({**config, "file_mounts": {"/x": "~nobody-of-this-name/x"}}))
    assert "file_mounts: ~nobody-of-this-name/x is not there" in check_cluster_file(path).open
    assert StorageFolder("~nobody-of-this-name/x").uri.endswith("/~nobody-of-this-name/x")
