"""Readers and bytes that nobody meant: each reads them, or raises the error that it documents.

The ordinary tests try few and always the same examples. ``make fuzz`` tries many, and others each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import search_spaces
from orchestration.cluster.check import check_cluster_file
from orchestration.data.video_files import find_videos
from orchestration.option_types import parse_size
from orchestration.search.space_binding import load_space
from posegen.checkpoints.checkpoint import (
    TrainingProgress,
    load_progress,
    load_stage,
    load_training_state,
    save_checkpoint,
)
from posegen.checkpoints.run_record import dataset_of
from posegen.color.palette import parse_color
from posegen.datasets.clip_files import (
    RECOLORING_SCHEMA,
    Clip,
    ClipFile,
    ClipInfo,
    RecoloringFile,
    write_clip,
    write_table,
)
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motion_formats import read
from posegen.datasets.motion_formats.bvh import write_bvh
from posegen.datasets.motion_formats.source import ImportOptions
from posegen.datasets.motions import MotionDataset
from posegen.datasets.published.h36m_annotation import Annotation, ViewRows, view_columns, write_annotation
from posegen.datasets.published.h36m_cameras import calibrate, read_metadata
from posegen.datasets.published.h36m_names import CAMERAS, CameraView, Take
from posegen.datasets.published.h36m_poses import read_poses
from posegen.datasets.published.vunet_index import read_index
from posegen.errors import ArchiveError, DatasetError, ImageError, MotionError, RunError
from posegen.io.images import decode_png, encode_png
from posegen.io.storage import StorageFolder
from posegen.io.tar import extract_members, list_members
from posegen.motion.editing import first_frames
from posegen.motion.motion import read_motion, write_motion
from posegen.motion.rotations import matrix_to_axis_angle, rot6d_rows_to_matrix
from posegen.perception.pose_files import read_pose_files
from posegen.stages import ColorEncoder
from posegen.synthetic.motions import make_subject, perform
from tests.support import h36m_files

ROOT = Path(__file__).parents[2]
_LONG = bool(os.environ.get("POSEGEN_FUZZ"))
_EXAMPLES = int(os.environ.get("POSEGEN_FUZZ") or 25)
fuzz = settings(
    max_examples=_EXAMPLES,
    derandomize=not _LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Good bytes with some of them changed, cut out, doubled or replaced by numbers that mean much."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        # Most of a file is pictures or weights; what may do harm stands near its ends.
        near = draw(st.sampled_from([0, len(content), None]))
        place = draw(st.integers(0, len(content)) if near is None else st.integers(-1500, 1500))
        place = min(max(place + (near or 0), 0), len(content))
        match draw(st.sampled_from(["byte", "cut", "insert", "number", "double"])):
            case "byte":
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del content[place : place + draw(st.integers(1, 64))]
            case "insert":
                content[place:place] = draw(st.binary(max_size=32))
            case "number":
                number = draw(st.sampled_from([0, 1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]))
                packed = struct.pack("<Q", number)[: draw(st.sampled_from([1, 2, 4, 8]))]
                content[place : place + len(packed)] = packed
            case "double":
                content[place:place] = content[place : place + draw(st.integers(1, 64))]
    return bytes(content)


def any_json(depth: int = 8) -> st.SearchStrategy[object]:
    """Anything that JSON can say."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=depth,
    )


@st.composite
def spoiled_json(draw: st.DrawFn, good: object) -> object:
    """A JSON value with a part of it replaced, left out or added."""
    if isinstance(good, dict) and good and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(good)))
        match draw(st.sampled_from(["inside", "drop", "add"])):
            case "inside":
                return {**good, key: draw(spoiled_json(good[key]))}
            case "drop":
                return {name: value for name, value in good.items() if name != key}
            case _:
                return {**good, draw(st.text(max_size=5)): draw(any_json())}
    if isinstance(good, list) and good and draw(st.booleans()):
        index = draw(st.integers(0, len(good) - 1))
        return [*good[:index], draw(spoiled_json(good[index])), *good[index + 1 :]]
    return draw(any_json())


def reads_or_refuses(error: type[Exception], read: Callable[[], object]) -> None:
    """Whatever is there is read, or refused with the one error and a short line."""
    try:
        read()
    except error as refusal:
        assert 0 < len(str(refusal)) < 5000


# ---- Clips

SIZE = (16, 12)
INFO = ClipInfo(
    clip_id="c",
    person="ann",
    action="wave",
    fps=25.0,
    source="",
    source_sha256="",
    num_frames=18,
    size=SIZE,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one clip with variants, a checkpoint and a motion; tests spoil copies of what is in it."""
    folder = tmp_path_factory.mktemp("fuzz")
    rng, count = np.random.default_rng(0), INFO.num_frames
    write_clip(
        StorageFolder(folder),
        Clip(
            info=INFO,
            frames=np.arange(count, dtype=np.int32),
            times=np.arange(count) / 25,
            images=rng.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8),
            keypoints=rng.random((count, 18, 3), dtype=np.float32),
            edges=np.zeros((count, *SIZE), np.uint8),
            masks=np.zeros((count, *SIZE), np.uint8),
        ),
    )
    save_dataset_info(
        StorageFolder(folder), DatasetInfo(SIZE, {"crop": "none"}, {}, "action", {"train": ["wave"], "test": []})
    )
    image = encode_png(np.zeros((*SIZE, 3), np.uint8))
    rows = [
        {"frame": row, "variant": n, "image": image, "upper_ab": [1.0, 2.0], "lower_ab": None, "seed": 0}
        for row in range(count)
        for n in range(2)
    ]
    write_table(StorageFolder(folder / "colors" / "k"), "c.parquet", pa.Table.from_pylist(rows, RECOLORING_SCHEMA))
    save_checkpoint(
        StorageFolder(folder / "checkpoint"),
        small_stage(),
        TrainingProgress(epoch=1, step=1, data_fingerprint="x", size=SIZE, losses={"l1": 0.5}),
    )
    write_motion(StorageFolder(folder), "m.npz", perform("wave", make_subject(0)))
    return folder


def small_stage() -> ColorEncoder:
    small = {"generator_width": 4, "encoder_width": 4, "discriminator_width": 4}
    stage = ColorEncoder(replace(ColorEncoder.presets["tiny"], **small))
    optimizer = next(iter(stage.optimizers.values()))
    parameter = optimizer.param_groups[0]["params"][0]
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return stage


@contextlib.contextmanager
def instead(path: Path, content: bytes):
    """A file holds something else for a while."""
    good = path.read_bytes()
    try:
        path.write_bytes(content)
        yield
    finally:
        path.write_bytes(good)


@fuzz
@given(data=st.data())
def test_motions(place, data):
    path = place / "m.npz"
    with instead(path, data.draw(spoiled(path.read_bytes()) | st.binary(max_size=200))):
        reads_or_refuses(MotionError, lambda: read_motion(StorageFolder(place), "m.npz"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of other programs, of a few frames each, and a dataset of motions."""
    folder = tmp_path_factory.mktemp("foreign")
    motion = first_frames(perform("wave", make_subject(0)), 4)
    write_bvh(StorageFolder(folder), "m.bvh", motion)
    rotations = rot6d_rows_to_matrix(torch.from_numpy(motion.rot6d))
    pose = matrix_to_axis_angle(rotations).numpy()
    track = {"pose": pose.reshape(4, 72), "frame_ids": np.arange(4), "orig_cam": np.ones((4, 4))}
    joblib.dump({1: track}, folder / "m.pkl")
    np.savez(folder / "amass.npz", poses=np.zeros((4, 156)), trans=np.zeros((4, 3)), mocap_framerate=25.0)
    np.savez(
        folder / "humanact12.npz",
        joints=motion.joints,
        lengths=np.array([4]),
        names=np.array(["P01G01R01F0001T0004A0101"]),
        label=np.array([0]),
    )
    write_motions(StorageFolder(folder / "motions"), [NamedMotion(motion, "ann", "wave", "here")], settings={})
    return folder


@fuzz
@given(data=st.data(), name=st.sampled_from(["m.bvh", "m.pkl", "amass.npz", "humanact12.npz"]))
def test_motions_of_other_programs(foreign, data, name):
    path = foreign / name

    def load_all() -> None:
        for motion in read(path, ImportOptions(fps=25.0)):
            motion.load()

    load_all()
    with instead(path, data.draw(spoiled(path.read_bytes()))):
        reads_or_refuses(MotionError, load_all)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as those of Human3.6M and DeepFashion."""
    folder = tmp_path_factory.mktemp("published")
    view = CameraView(Take("S9", 14, 1), CAMERAS[0])
    camera, world = h36m_files.lens_camera("S9", view.camera), h36m_files.world_poses(view.take, 4)
    positions = h36m_files.before_camera(world, camera)
    found = calibrate(positions, camera, None, None)
    rows = ViewRows(found.world, found.intrinsics, found.extrinsics, (100, 96), np.arange(1, 5))
    write_annotation(folder / "annot_export.h5", [view_columns(view, found.keypoints, positions, rows)])
    h36m_files.write_cdf(folder / "Walking 1.cdf", world)
    h36m_files.pack_bytes(folder / "Videos_S9.tgz", {f"{number}.mp4": bytes(200) for number in range(3)})
    (folder / "metadata.xml").write_text(h36m_files.metadata())
    index = {"imgs": ["a", "b"], "joints": np.full((2, 18, 2), 0.5), "train": [True, False]}
    (folder / "index.p").write_bytes(pickle.dumps(index))
    return folder


def _read_annotation(path: Path) -> None:
    annotation = Annotation(path)
    for view in annotation.views:
        annotation.read(view)


PUBLISHED: dict[str, Callable[[Path], object]] = {
    "annot_export.h5": _read_annotation,
    "Walking 1.cdf": read_poses,
    "Videos_S9.tgz": lambda path: extract_members(
        path, list_members(path, lambda name: name.endswith(".mp4"), "'a.mp4'"), StorageFolder(path.parent / "out")
    ),
    "metadata.xml": read_metadata,
    "index.p": lambda path: read_index(path.parent, "deepfashion"),
}


@fuzz
@given(data=st.data(), name=st.sampled_from(sorted(PUBLISHED)))
def test_published_datasets(published, data, name):
    path = published / name
    PUBLISHED[name](path)
    with instead(path, data.draw(spoiled(path.read_bytes()) | st.binary(max_size=200))):
        reads_or_refuses(ArchiveError, lambda: PUBLISHED[name](path))


@fuzz
@given(data=st.data())
def test_manifests_of_motions(foreign, data):
    path = foreign / "motions" / "motions.json"

    def read_all() -> None:
        dataset = MotionDataset(str(foreign / "motions"))
        for entry in dataset.info.motions:
            dataset.read(entry)

    read_all()
    with instead(path, json.dumps(data.draw(spoiled_json(json.loads(path.read_text())))).encode()):
        reads_or_refuses(DatasetError, read_all)


@fuzz
@given(data=st.data())
def test_clips(place, data):
    path = place / "clips" / "c.parquet"
    with instead(path, data.draw(spoiled(path.read_bytes()) | st.binary(max_size=200))):
        reads_or_refuses(DatasetError, ClipFile(StorageFolder(place), "c").read)


@fuzz
@given(data=st.data())
def test_facts_of_clips(place, data):
    """The same file with other facts in it: they are JSON of the same length as the good ones, or end early."""
    path = place / "clips" / "c.parquet"
    good = path.read_bytes()
    start = good.index(b'{"clip_id"')
    end = good.index(b"}", start) + 1
    facts = json.dumps(data.draw(spoiled_json(json.loads(good[start:end])))).encode()
    content = good[:start] + facts[: end - start].ljust(end - start) + good[end:]
    with instead(path, content):
        reads_or_refuses(DatasetError, ClipFile(StorageFolder(place), "c").read)


@fuzz
@given(data=st.data())
def test_variants(place, data):
    path = place / "colors" / "k" / "c.parquet"

    def read() -> None:
        file = RecoloringFile(StorageFolder(place), "k", "c", SIZE)
        for frame, recoloring in file.rows:
            file.image(frame, recoloring)
        assert (
            len(file.upper_ab) == len(file.lower_ab) == len(file.rows) and file.num_recolorings and file.record == b""
        )

    with instead(path, data.draw(spoiled(path.read_bytes()))):
        reads_or_refuses(DatasetError, lambda: (RecoloringFile(StorageFolder(place), "k", "c").record, read()))


@fuzz
@given(data=st.data())
def test_descriptions_of_datasets(place, data):
    path = place / "dataset.json"
    good = path.read_bytes()
    changed = spoiled_json(json.loads(good)).map(lambda content: json.dumps(content).encode())
    with instead(path, data.draw(changed | spoiled(good) | st.binary(max_size=200))):
        reads_or_refuses(ValueError, lambda: ClipDataset(str(place)).fingerprint)


@fuzz
@given(data=st.data(), gray=st.booleans())
def test_pictures(data, gray):
    good = encode_png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    content = data.draw(spoiled(good) | st.binary(max_size=200))
    reads_or_refuses(ImageError, lambda: decode_png(content, gray=gray))


# ---- Checkpoints and runs


@fuzz
@given(data=st.data())
def test_tensors_of_checkpoints(place, data):
    folder = place / "checkpoint"
    path = folder / "tensors.safetensors"
    stage = small_stage()
    with instead(path, data.draw(spoiled(path.read_bytes()) | st.binary(max_size=200))):
        for read in (load_stage, lambda folder: load_training_state(folder, stage)):
            reads_or_refuses(ValueError, lambda read=read: read(StorageFolder(folder)))


@fuzz
@given(data=st.data())
def test_facts_of_checkpoints(place, data):
    folder = place / "checkpoint"
    path, stage = folder / "checkpoint.json", small_stage()
    good = path.read_bytes()
    changed = spoiled_json(json.loads(good)).map(lambda content: json.dumps(content).encode())
    with instead(path, data.draw(changed | spoiled(good) | st.binary(max_size=200))):
        for read in (load_progress, load_stage, lambda folder: load_training_state(folder, stage)):
            reads_or_refuses(ValueError, lambda read=read: read(StorageFolder(folder)))


@fuzz
@given(data=st.data())
def test_records_of_runs(tmp_path_factory, data):
    good = {"stage": "color_encoder", "config": {"lr": 0.1}, "dataset": "d", "data_fingerprint": "f"}
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text(json.dumps(data.draw(spoiled_json(good))))
    reads_or_refuses(RunError, lambda: dataset_of(str(folder)))


# ---- What people write


@fuzz
@given(data=st.data())
def test_poses(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("poses") / "a_keypoints.json"
    good = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [0.5] * 54}]}
    numbers = st.lists(st.floats() | st.integers(), min_size=54, max_size=54).map(
        lambda numbers: {"people": [{"pose_keypoints_2d": numbers}]}
    )
    changed = (spoiled_json(good) | numbers).map(lambda content: json.dumps(content).encode())
    file.write_bytes(data.draw(changed | spoiled(json.dumps(good).encode()) | st.binary(max_size=200)))

    def read() -> None:
        for people in read_pose_files(file).people.values():
            assert people.shape[1:] == (18, 3) and np.isfinite(people).all()

    reads_or_refuses(ValueError, read)


_NUMBERS = st.integers(-1000, 1000).map(str) | st.floats().map(str) | st.text("0123456789.%", max_size=70)
_COLOURS = st.builds(
    lambda kind, parts, between: f"{kind}({between.join(parts)})",
    st.sampled_from(["rgb", "rgba", "hsl", "hsv", "hsb", "lab", "LAB", "cmyk"]),
    st.lists(_NUMBERS, min_size=0, max_size=5),
    st.sampled_from([",", ", ", " ", " / "]),
)


@fuzz
@given(st.text() | _COLOURS | st.text("#0123456789abcdef", max_size=12))
def test_colours(text):
    def read() -> None:
        assert np.isfinite(parse_color(text)).all()

    reads_or_refuses(ValueError, read)


@fuzz
@given(st.text() | st.text("0123456789x×", max_size=12))
def test_sizes(text):
    reads_or_refuses(ValueError, lambda: parse_size(text))


@fuzz
@given(st.text() | st.sampled_from(["space", "__init__", "..joint", "os", "joint.SPACE"]))
def test_names_of_search_spaces(name):
    """Spaces are Python of our own: of all names only theirs import anything."""
    if name not in search_spaces.names():
        with pytest.raises(ValueError, match="unknown search space"):
            load_space(name)


@fuzz
@given(st.text(max_size=30) | st.text("{}*/personacti_.()[]\\+?", max_size=30).map(lambda text: text + "{action}"))
def test_patterns_of_paths(place, pattern):
    reads_or_refuses(ValueError, lambda: find_videos(place, pattern))


@fuzz
@given(data=st.data())
def test_files_of_clusters(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cluster") / "cluster.yaml"
    good = (ROOT / "cluster.yaml").read_text()
    config = yaml.safe_load(good)
    config["file_mounts"] = {"/home/ray/nothing": "/nothing"}  # nobody's folders are walked
    mounts_nothing = yaml.safe_dump(config).encode()
    changed = spoiled_json(config).map(lambda content: yaml.safe_dump(content).encode())
    path.write_bytes(data.draw(changed | spoiled(mounts_nothing) | st.binary(max_size=200)))
    reads_or_refuses(ValueError, lambda: check_cluster_file(path))
