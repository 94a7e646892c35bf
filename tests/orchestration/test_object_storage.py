"""Datasets, runs and checkpoints in an object store, against a real server on this machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import boto3
import numpy as np
import pytest
import torch
from PIL import Image

from orchestration.cli import main as cli
from orchestration.data import clip_preparer
from orchestration.runtime import folder_lock
from orchestration.training.train import train
from posegen.checkpoints.checkpoint import TrainingProgress, find_checkpoint, latest_checkpoint, save_checkpoint
from posegen.checkpoints.run_record import RunRecord
from posegen.datasets.clips import ClipDataset
from posegen.errors import RunError
from posegen.io import storage
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder, without_user
from posegen.samples import EpochLoader
from posegen.stages import ColorEncoder, VideoGenerator
from posegen.synthetic.studio import truth_path
from tests.support.narrow import CONFIG, QUIET
from tests.support.object_store import ObjectStore, serve_objects

POSEGEN = Path(sys.executable).parent / "posegen"
NARROW = "--preset tiny --generator-width 4 --encoder-width 4 --discriminator-width 4 --batch-size 2 --epoch-size 4"
TRUTH = "--size 96x64 --crop none --pose truth --edges truth --mask truth --train-fraction 0.5"
KINDS = ("--scope frame --region upper", "--scope frame --region lower", "--scope clip --region both")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A server whose address and keys are in the environment."""
    with serve_objects(tmp_path_factory.mktemp("store")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def client(store):
    return boto3.client("s3")


@pytest.fixture
def bucket(client, request) -> StorageFolder:
    """A bucket of this test alone."""
    name = re.sub("[^a-z]+", "-", request.node.name)[:60].strip("-")
    client.create_bucket(Bucket=name)
    return StorageFolder(f"s3://{name}")


@pytest.fixture
def noise(bucket, noise_clips) -> StorageFolder:
    """The dataset of noise, in the store."""
    (bucket / "noise").upload(Path(noise_clips))
    return bucket / "noise"


def keys(client, bucket: StorageFolder) -> list[str]:
    return [found["Key"] for found in client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


def uploads(client, bucket: StorageFolder) -> list[str]:
    """Keys of which an upload has begun, and neither ended nor been given up."""
    return [found["Key"] for found in client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])]


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    cli.main(line.split())
    return capsys.readouterr().out


def person_of_clip(folder: StorageFolder) -> dict[str, bytes]:
    """Every file below a folder."""
    found = {name: folder.read(name) for name in folder.files()}
    for inside in folder.folders():
        found |= {f"{inside}/{name}": content for name, content in person_of_clip(folder / inside).items()}
    return found


# ---- Files


def test_files_and_folders(bucket, client):
    folder = bucket / "a" / "b"
    assert not folder.exists() and not folder.files() and not folder.folders() and bucket.name
    folder.write_bytes("x.bin", b"first")
    folder.write_json("y.json", {"one": 1})
    folder.write_bytes("x.bin", b"second")
    assert keys(client, bucket) == ["a/b/x.bin", "a/b/y.json"]  # nothing that only stands for a folder
    assert (bucket / "a").folders() == ["b"] and (bucket / "a").files() == [] and bucket.folders() == ["a"]
    assert folder.files(".bin") == ["x.bin"] and folder.read("x.bin") == b"second"
    assert folder.exists() and bucket.exists("a/b/x.bin") and not folder.exists("x")
    folder.delete("y.json")
    (bucket / "a").delete("b")
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        folder.read("x.bin")


def test_one_process_works_in_a_folder(bucket, monkeypatch):
    monkeypatch.setattr(folder_lock, "_HANDOVER", 0.0)
    run = bucket / "runs" / "video"
    with folder_lock.hold_folder(run, ""):
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"), folder_lock.hold_folder(run, ""):
            pytest.fail("two in one folder")
        assert len(run.files()) == 1
    assert not run.files()


def test_names_may_have_any_letters(bucket):
    folder = bucket / "my rüns [2]" / "100 %#"
    folder.write_bytes("é.bin", b"content")
    assert (bucket / "my rüns [2]").folders() == [folder.name] == ["100 %#"] and folder.files() == ["é.bin"]


def test_options_of_an_address_hold_inside_of_it(bucket, store, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = store.endpoint.removeprefix("http://")
    folder = StorageFolder(f"s3://test:test@{bucket.name}/data/?scheme=http&endpoint_override={host}")
    (folder / "clips").write_bytes("x.bin", b"content")
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    assert (bucket / "data" / "clips").read("x.bin") == b"content"
    assert folder.name == "data" and StorageFolder(str(folder / "clips")) == folder / "clips"


def test_key_and_secret_of_an_address_stay_in_memory(bucket, store, monkeypatch):
    """They serve every folder of the bucket, here and where one is unpickled, and stand in no address."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "wrong")
    monkeypatch.setattr(storage, "_users", {})
    given = f"s3://test:secret%2Fkey@{bucket.name}/runs"
    run = StorageFolder(given) / "video"
    assert [str(run), repr(run), run.uri, without_user(f"--runs={given}")] == [
        f"s3://{bucket.name}/runs/video",
        f"StorageFolder('s3://{bucket.name}/runs/video')",
        f"s3://{bucket.name}/runs/video",
        f"--runs=s3://{bucket.name}/runs",
    ]
    content = pickle.dumps(run)
    storage._users.clear()
    assert pickle.loads(content) == run == StorageFolder(f"s3://{bucket.name}/runs/video")
    assert storage._users == {("s3", bucket.name): "test:secret%2Fkey"}
    run.write_bytes("run.json", b"{}")
    assert (bucket / "runs" / "video").read("run.json") == b"{}"
    assert without_user("abfss://container@account/a s3://bucket/a@b") == "abfss://container@account/a s3://bucket/a@b"


def test_a_run_is_written_without_key_and_secret(bucket):
    config = VideoGenerator.Config(upper_encoder=f"s3://test:hunter2@{bucket.name}/runs/upper")
    record = RunRecord.of(config, str(StorageFolder(f"s3://test:hunter2@{bucket.name}/data")), "")
    text = json.dumps(asdict(record))
    assert "hunter2" not in text and f"s3://{bucket.name}/runs/upper" in text


def test_a_write_that_fails_leaves_what_was_there(bucket, client):
    bucket.write_bytes("clip.parquet", b"whole")
    with pytest.raises(ValueError, match="no more"), bucket.write("clip.parquet") as stream:
        stream.write(b"half" * 2**20)
        raise ValueError("no more")
    assert bucket.read("clip.parquet") == b"whole"
    assert keys(client, bucket) == ["clip.parquet"] and not uploads(client, bucket)


def test_a_large_file_is_read_at_once(bucket):
    """It comes in parts that are uploaded side by side, and goes in one request."""
    content = os.urandom(25 * 2**20)
    bucket.write_bytes("tensors.safetensors", content)
    assert bucket.read("tensors.safetensors") == content


def test_an_empty_file(bucket):
    bucket.write_bytes("empty", b"")
    assert bucket.read("empty") == b""


# ---- Loading


def test_processes_that_load_have_connections_of_their_own(noise, noise_clips):
    """They are forked from one that has files open, whose answers they would read."""

    def load(folder: str, processes: int) -> list[torch.Tensor]:
        samples = ColorEncoder.open_samples(CONFIG, ClipDataset(folder), "train")
        batches = list(EpochLoader(samples, 2, num_processes=processes).epoch(0))
        return [tensor for batch in batches for _, tensor in sorted(batch.items())]

    for one, two in zip(load(str(noise), 2), load(noise_clips, 0), strict=True):
        assert torch.equal(one, two)


def test_a_fork_does_not_inherit_a_connection(noise):
    clip = ClipDataset(noise).clips[0]
    opened = clip.keypoints, clip._table._file
    connection = noise.resolve()[0]

    def look(answer) -> None:
        answer.put((clip._table._file is opened[1], noise.resolve()[0] is connection, clip.image(0).shape))

    fork = multiprocessing.get_context("fork")
    answer = fork.SimpleQueue()
    process = fork.Process(target=look, args=(answer,))
    process.start()
    assert answer.get() == (False, False, (64, 64, 3))
    process.join()


# ---- Commands


def test_what_is_prepared_and_painted_is_what_a_local_folder_gets(bucket, client, studio_videos, dataset, capsys):
    data = bucket / "data"
    commands = [f"prepare {studio_videos} {data} {TRUTH} --workers 0"]
    commands += [f"colorize {data} {kind} --recolorings 3 --workers 0" for kind in KINDS]
    for command in commands:
        assert re.search(r", 5 (clips )?new", run(command, capsys))
    assert person_of_clip(data) == person_of_clip(StorageFolder(dataset))

    before = written(client, bucket)
    for command in commands:
        assert re.search(r", 0 (clips )?new", run(command, capsys))
    assert written(client, bucket) == before and len(before) == 28  # with sheets of clips, and indexes of recolorings


def test_videos_of_a_store_become_the_clips_of_a_folder(bucket, studio_videos, dataset, tmp_path, capsys, monkeypatch):
    videos, data = bucket / "videos", tmp_path / "data"
    videos.upload(Path(studio_videos))
    write_gif(tmp_path / "wave.gif")
    videos.write_bytes("ada/wave.gif", (tmp_path / "wave.gif").read_bytes())
    for number in range(2):
        videos.write_bytes(f"ada/walk/{number}.png", encode_png(np.full((40, 40, 3), 99 * number, np.uint8)))
    command = f"prepare {videos} {data} {TRUTH} --workers 0"
    assert ", 5 new, 2 rejected" in run(command, capsys)
    sources = {clip.clip_id: clip.info.source for clip in ClipDataset(data).clips}
    assert f"{videos}/ada/bow.mp4" in sources.values()
    for clip, local in zip(ClipDataset(data).clips, ClipDataset(dataset).clips, strict=True):
        assert clip.info == replace(local.info, source=sources[clip.clip_id])
        assert np.array_equal(clip.read().edges, local.read().edges)
    reasons = {Path(one["source"]).name: one["reason"] for one in json.loads((data / "rejected.json").read_text())}
    assert reasons.keys() == {"walk", "wave.gif"} and "no true poses of s3://" in reasons["walk"]
    with monkeypatch.context() as patch:  # what is known by size and time is not asked for
        patch.setattr(clip_preparer, "on_this_machine", None)
        assert ", 0 new, 2 rejected" in run(command, capsys)
    videos.delete("ada/bow.mp4")
    assert ", 0 new, 1 removed" in run(command, capsys)


LETTERS = ("who?", "a?b=c", "#1 100%", "%3F", "ä + ö, it's (not) [so] & so")
"""Names in which an address has letters with a meaning, or others that HTTP writes otherwise."""


def test_keys_may_have_any_letters(bucket, studio_videos, tmp_path, capsys):
    """As in a local folder: what is found is the same, and is not made again."""
    local, videos = tmp_path / "local", bucket / "v?deos"
    given = sorted(Path(studio_videos).glob("*/*.mp4"))
    for video, person, letters in zip(given, LETTERS, reversed(LETTERS), strict=True):
        (local / person).mkdir(parents=True)
        shutil.copy(video, local / person / f"{letters}.mp4")
        shutil.copy(truth_path(video), truth_path(local / person / f"{letters}.mp4"))
    videos.upload(local)
    found = {}
    for source, data in ((local, tmp_path / "data"), (videos, bucket / "d#ta 100%?")):
        command = ["prepare", str(source), str(data), *TRUTH.split(), "--workers", "0"]
        cli.main(command)
        assert f", {len(LETTERS)} new" in capsys.readouterr().out
        cli.main(command)
        assert ", 0 new" in capsys.readouterr().out
        clips = ClipDataset(str(data)).clips
        found[str(source)] = {(clip.info.person, clip.info.action, len(clip.read().images)) for clip in clips}
        assert all(StorageFolder(source).contains(clip.info.source) for clip in clips)
    of_folder, of_store = found.values()
    assert of_folder == of_store and {person for person, *_ in of_store} == set(LETTERS)


def write_gif(path: Path) -> None:
    first, second = (Image.fromarray(np.full((40, 40, 3), level, np.uint8)) for level in (0, 200))
    first.save(path, save_all=True, append_images=[second], duration=40)


def written(client, bucket: StorageFolder) -> dict[str, datetime]:
    """When every clip and every file of colours was written."""
    found = client.list_objects_v2(Bucket=bucket.name)["Contents"]
    return {one["Key"]: one["LastModified"] for one in found if "-" in one["Key"]}


def test_a_run_is_measured_and_draws(bucket, dataset, tmp_path, capsys):
    """One that has not learned anything."""
    data, run_folder = bucket / "data", bucket / "runs" / "video"
    data.upload(Path(dataset))
    stage = VideoGenerator(replace(VideoGenerator.presets["tiny"], generator_width=4, num_blocks=1, encoder_width=4))
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=(96, 64))
    save_checkpoint(run_folder / "checkpoints" / "epoch-0001", stage, progress)
    record = RunRecord(stage=stage.name, config={}, dataset=str(data), data_fingerprint="")
    run_folder.write_json("run.json", asdict(record))

    assert f"{run_folder}/evaluation" in run(f"evaluate {run_folder} --perceptual --swaps 0 --max-clips 1", capsys)
    assert [Path(name).suffix for name in (run_folder / "evaluation").files()] == [".mp4", ".png", ".json"]
    line = f"generate {run_folder} --content ada/bow --poses bruno/bow --out {tmp_path}/x.mp4"
    assert "10 frames" in run(line, capsys) and (tmp_path / "x.mp4").stat().st_size


@pytest.mark.parametrize("file", ["tensors.safetensors", pytest.param("checkpoint.json", marks=pytest.mark.slow)])
def test_a_kill_in_the_middle_of_an_upload(file, noise, noise_clips, bucket, client, store, tmp_path):
    """The checkpoint before counts, and the run ends with the bytes of one that was left alone."""
    settings = replace(QUIET, cpus=1, runs=str(tmp_path))
    calm = train(CONFIG, noise_clips, settings)
    words = f"train color_encoder {noise} --runs {bucket / 'runs'} --name run {NARROW} --num-epochs 2".split()
    with store.holding(f"epoch-0002/{file}") as is_held:
        training = subprocess.Popen([POSEGEN, *words, "--workers", "0", "--cpus", "1", "--no-track"], cwd=tmp_path)
        deadline = time.monotonic() + 120
        while not is_held():
            assert training.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        training.send_signal(signal.SIGKILL)
        training.wait()
    run, checkpoint = bucket / "runs" / "run", f"runs/run/checkpoints/epoch-0002/{file}"
    assert uploads(client, bucket) == [checkpoint] and checkpoint not in keys(client, bucket)
    assert latest_checkpoint(run) == run / "checkpoints" / "epoch-0001-step-000002"  # saved before it was validated

    train(CONFIG, str(noise), replace(settings, runs=str(bucket / "runs")))

    assert find_checkpoint(run).name == "epoch-0002"
    assert find_checkpoint(run).read("tensors.safetensors") == find_checkpoint(calm).read("tensors.safetensors")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_commands_on_ray(bucket, client, studio_videos, dataset, tmp_path):
    """Workers find the store as the command does that starts them."""
    data, runs = bucket / "data", bucket / "runs"
    lines = [
        f"prepare {studio_videos} {data} {TRUTH} --workers 2",
        f"colorize {data} {KINDS[0]} --recolorings 3 --workers 2",
        f"train color_encoder {data} --runs {runs} --name upper {NARROW} --workers 2 --loader-processes 1",
        f"compare {runs}/upper --out comparison.html",
    ]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    for line in lines:
        subprocess.run([POSEGEN, *line.split()], cwd=tmp_path, env=environment, check=True)

    made = {
        name: content
        for name, content in person_of_clip(StorageFolder(dataset)).items()
        if "lower" not in name and "both" not in name
    }
    assert person_of_clip(data) == made
    assert find_checkpoint(runs / "upper") and (tmp_path / "comparison.html").exists() and not uploads(client, bucket)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_a_search_keeps_its_runs_there(bucket, dataset, tmp_path):
    """Its study in a database elsewhere."""
    words = f"tune latent_sizes {dataset} --runs {bucket}/runs --storage sqlite:///{tmp_path}/study.db --preset tiny"
    words += (
        " --trials 2 --objectives l1 --workers 0 --no-track --set color_encoder.num_epochs=1 color_encoder.epoch_size=8"
    )
    words += " video_generator.num_epochs=1 video_generator.epoch_size=8 video_generator.decay_epochs=1"
    done = subprocess.run([POSEGEN, *words.split()], cwd=tmp_path, capture_output=True, text=True)
    assert "2 trials" in done.stdout, done.stdout + done.stderr
    assert {"trial-0000", "trial-0001"} <= set((bucket / "runs" / "latent_sizes").folders())


# ---- What cannot work


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("train color_encoder s3://no-bucket/data --workers 0", "no dataset in s3://no-bucket/data"),
        ("prepare VIDEOS s3://no-bucket/data --workers 0 " + TRUTH, "NO_SUCH_BUCKET"),
        ("prepare s3://no-bucket/videos data --workers 0 " + TRUTH, "no folder of videos at s3://no-bucket/videos"),
        ("train color_encoder DATA --runs s3://no-bucket/runs --workers 0 --no-track " + NARROW, "NO_SUCH_BUCKET"),
        ("evaluate s3://no-bucket/runs/x", "no run in s3://no-bucket/runs/x"),
        (
            "tune codes_and_losses DATA --runs s3://no-bucket/runs --preset tiny --no-track",
            "give its address",
        ),
        ("generate s3://b/runs/x --content a/b --poses a/b --out s3://b/x.mp4", "expected a local file or folder"),
        ("train color_encoder s5://bucket/data", "Unrecognized filesystem type in URI: s5://"),
    ],
)
def test_what_cannot_work_is_one_line(line, complaint, store, studio_videos, dataset, capsys):
    line = line.replace("VIDEOS", str(studio_videos)).replace("DATA", dataset)
    assert complaint in complain(line, capsys)


def test_credentials_that_are_missing(bucket, client, monkeypatch, capsys):
    client.put_object(Bucket=bucket.name, Key="data/dataset.json", Body=b"{}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    line = complain(f"train color_encoder {bucket}/data", capsys)
    assert "ACCESS_DENIED" in line and "AWS_SECRET_ACCESS_KEY" in line


def test_an_endpoint_that_is_away(monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begin = time.monotonic()
    assert "AWS_ENDPOINT_URL" in complain("train color_encoder s3://endpoint-away/data", capsys)
    assert time.monotonic() - begin < 30


def complain(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The only line that a command says which ends with code 2."""
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    [said] = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and said.startswith("posegen: ")
    return said
