"""Training: runs on any number of workers, goes on where it stopped, and refuses what cannot work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestration.progress import Event, Listener
from orchestration.train import RunError, TrainSettings, train
from posegen.checkpoint import find_checkpoint, load_progress, load_stage
from posegen.clips import (
    VARIANT_SCHEMA,
    Clip,
    ClipDataset,
    ClipInfo,
    DatasetError,
    DatasetInfo,
    encode_png,
    save_dataset_info,
    write_clip,
    write_table,
)
from posegen.stages import STAGES, ColorEncoder
from posegen.storage import Folder

SIZE = (64, 64)
NUM_FRAMES = 6
CONFIG = replace(
    ColorEncoder.presets["tiny"],
    generator_width=4,
    encoder_width=4,
    discriminator_width=4,
    batch_size=2,
    epoch_size=4,
    num_epochs=2,
)
QUIET = TrainSettings(name="run", workers=0, track=False)


def standing_person() -> np.ndarray:
    """(18, 3) keypoints of somebody who faces the camera."""
    xy = [(32, 10), (32, 16), (26, 16), (24, 26), (23, 34), (38, 16), (40, 26), (41, 34), (28, 36), (28, 47), (28, 58)]
    xy += [(36, 36), (36, 47), (36, 58), (30, 8), (34, 8), (28, 9), (36, 9)]
    return np.array([(x, y, 1.0) for x, y in xy], np.float32)


def write_painted_clip(folder: Folder, person: str, split: str) -> None:
    import pyarrow as pa

    rng = np.random.default_rng(len(person))
    info = ClipInfo(
        clip_id=f"{person}-wave",
        person=person,
        action="wave",
        split=split,
        fps=25.0,
        source="",
        source_sha256="",
        num_frames=NUM_FRAMES,
        size=SIZE,
    )
    images = rng.integers(0, 256, (NUM_FRAMES, *SIZE, 3), dtype=np.uint8)
    clip = Clip(
        info=info,
        frames=np.arange(NUM_FRAMES, dtype=np.int32),
        times=np.arange(NUM_FRAMES) / 25,
        images=images,
        keypoints=np.repeat(standing_person()[None], NUM_FRAMES, axis=0),
        edges=rng.integers(0, 256, (NUM_FRAMES, *SIZE), dtype=np.uint8),
        masks=np.full((NUM_FRAMES, *SIZE), 255, np.uint8),
    )
    write_clip(folder, clip)
    rows = [(frame, variant) for frame in range(NUM_FRAMES) for variant in range(2)]
    table = pa.table(
        {
            "frame": [frame for frame, _ in rows],
            "variant": [variant for _, variant in rows],
            "image": [encode_png(images[frame] // (1 + variant)) for frame, variant in rows],
            "upper_ab": [[10.0 * variant, 5.0] for _, variant in rows],
            "lower_ab": [None for _ in rows],
            "seed": [0 for _ in rows],
        },
        schema=VARIANT_SCHEMA,
    )
    for kind in ("frame-upper", "clip-both"):
        write_table(folder / "colors" / kind, f"{info.clip_id}.parquet", table)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    folder = Folder(tmp_path_factory.mktemp("data"))
    for person, split in (("ann", "train"), ("bob", "train"), ("cleo", "test")):
        write_painted_clip(folder, person, split)
    splits = {"train": ["ann", "bob"], "test": ["cleo"]}
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, split_by="person", splits=splits))
    return str(folder)


def weights_of(run: Folder) -> dict[str, torch.Tensor]:
    return load_stage(find_checkpoint(run)).state_dict()


def assert_equal_weights(left: Folder, right: Folder) -> None:
    one, two = weights_of(left), weights_of(right)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=0, equal_nan=True, msg=name)


class Recorder(Listener):
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.epochs: list[dict[str, float]] = []

    def hear(self, event):
        self.events.append(event)

    def hear_epoch(self, run, epoch, num_epochs, metrics):
        self.epochs.append(dict(metrics))


def test_training_in_this_process(dataset, tmp_path):
    recorder = Recorder()
    run = train("color_encoder", CONFIG, dataset, replace(QUIET, runs=str(tmp_path)), listener=recorder)
    assert load_progress(find_checkpoint(run)).step == 4
    assert len(recorder.events) == 4 and len(recorder.epochs) == 2
    assert {"train/gan", "train/l1", "train/kl", "val/l1", "val/sensitivity"} <= recorder.epochs[0].keys()
    assert load_stage(find_checkpoint(run)).codebook.is_fitted


def test_same_name_goes_on_and_equals_one_run(dataset, tmp_path):
    """1 epoch and then 2 more are 3 epochs."""
    settings = replace(QUIET, runs=str(tmp_path))
    whole = train("color_encoder", replace(CONFIG, num_epochs=3), dataset, replace(settings, name="whole"))
    # The schedule reads num_epochs, so both runs must have the same one: the first is stopped by its listener.
    with pytest.raises(StopIteration):
        train("color_encoder", replace(CONFIG, num_epochs=3), dataset, settings, listener=StopAfter(3))
    recorder = Recorder()
    parts = train("color_encoder", replace(CONFIG, num_epochs=3), dataset, settings, listener=recorder)
    assert len(recorder.epochs) == 2
    assert_equal_weights(whole, parts)


class StopAfter(Listener):
    """Stops the training in the middle of an epoch."""

    def __init__(self, steps: int):
        self.steps = steps

    def hear(self, event):
        self.steps -= 1
        if self.steps == 0:
            raise StopIteration


def test_another_run_of_that_name_is_refused(dataset, tmp_path):
    settings = replace(QUIET, runs=str(tmp_path))
    train("color_encoder", CONFIG, dataset, settings)
    with pytest.raises(RunError, match=r"other settings \(lr 0.001 → 0.5\): take another --name"):
        train("color_encoder", replace(CONFIG, lr=0.5), dataset, settings)


@pytest.mark.parametrize(
    ("stage", "changes", "settings", "message"),
    [
        ("color_encoder", {"batch_size": 64, "epoch_size": 8}, {}, "8 usable samples are fewer than one batch of 64"),
        ("color_encoder", {"batch_size": 4}, {"workers": 3}, r"3 workers cannot share a batch of 4.*\[1, 2, 4\]"),
        ("color_encoder", {"num_downs": 7}, {}, "multiples of 128"),
        ("color_encoder", {"region": "lower"}, {}, "posegen colorize .* --scope frame --region lower"),
        ("video_generator", {}, {}, "upper_encoder is missing"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(stage, changes, settings, message, dataset, tmp_path):
    base = CONFIG if stage == "color_encoder" else STAGES[stage].presets["tiny"]
    with pytest.raises(ValueError, match=message):
        train(stage, replace(base, **changes), dataset, replace(QUIET, runs=str(tmp_path), **settings))
    assert not list(Path(tmp_path).iterdir())


def test_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match="posegen prepare"):
        train("color_encoder", CONFIG, str(tmp_path), replace(QUIET, runs=str(tmp_path)))


def test_broken_loss_names_itself(dataset, tmp_path):
    with pytest.raises(RunError, match="not finite in epoch 0"):
        train("color_encoder", replace(CONFIG, lr=1e30), dataset, replace(QUIET, runs=str(tmp_path)))


def test_old_checkpoints_are_dropped(dataset, tmp_path):
    run = train("color_encoder", replace(CONFIG, num_epochs=4), dataset, replace(QUIET, runs=str(tmp_path)))
    assert (run / "checkpoints").folders() == ["epoch-0003", "epoch-0004"]


@pytest.fixture
def two_threads():
    """As many threads as the only worker has on a Ray of two CPUs: sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
class TestOnRay:
    def test_workers_do_what_one_process_does(self, dataset, tmp_path, two_threads):
        """One worker ends with the same bits, two with the same losses: they add gradients in another order."""
        runs, losses = {}, {}
        for workers in (0, 1, 2):
            settings = replace(QUIET, runs=str(tmp_path), name=f"workers-{workers}", workers=workers)
            recorder = Recorder()
            runs[workers] = train("color_encoder", CONFIG, dataset, settings, listener=recorder)
            losses[workers] = {k: v for k, v in recorder.epochs[0].items() if k.startswith("train/")}
        assert_equal_weights(runs[0], runs[1])
        assert losses[1] == losses[0]
        assert losses[2] == pytest.approx(losses[0], rel=1e-4)

    def test_failure_in_a_worker_is_one_line(self, dataset, tmp_path):
        settings = replace(QUIET, runs=str(tmp_path), workers=1, max_failures=0)
        with pytest.raises(RunError, match=r"run run failed: .*not finite in epoch 0"):
            train("color_encoder", replace(CONFIG, lr=1e30), dataset, settings)


def test_samples_do_not_depend_on_the_number_of_workers(dataset):
    from posegen.samples import EpochLoader

    samples = STAGES["color_encoder"].open_samples(CONFIG, ClipDataset(dataset), "train")
    whole = list(EpochLoader(samples, 4).epoch(1))
    halves = [list(EpochLoader(samples, 4, rank=rank, world_size=2).epoch(1)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for name, tensor in batch.items():
            joined = torch.cat([half[step][name] for half in halves])
            torch.testing.assert_close(joined, tensor, rtol=0, atol=0, msg=name)
