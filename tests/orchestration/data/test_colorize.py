"""Clothes get other colours: all frames of all clips, once, and only the clothes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from orchestration.data.colorize import ClipRecolorer, ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.color.garment_segmentation import garment_labels
from posegen.color.lab import rgb_to_lab
from posegen.datasets.clip_files import RECOLORING_SCHEMA
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.recoloring_index import load_recoloring_entries
from posegen.errors import CheckpointError, ConfigError, DatasetError, WeightsError
from posegen.inference.hint_recolorer import HintRecolorer, blend_colors, load_colorizer
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, Colorizer
from posegen.weights.registry import WEIGHTS

HERE = ColorizeSettings(workers=0)


@pytest.fixture(scope="session")
def prepared(studio_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of ten frames, 96×64."""
    out = tmp_path_factory.mktemp("prepared")
    settings = PrepareSettings(size=(96, 64), pose="truth", edges="truth", mask="truth", workers=0)
    prepare_videos(studio_videos, out, settings)
    return out


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def files(data: Path, kind: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (data / "colors" / kind).iterdir()}


def test_every_frame_of_every_clip_gets_its_variants(data):
    heard = []
    summary = recolor_dataset(data, HERE, on_progress=lambda done, total: heard.append((done, total)))
    assert (summary.num_clips, summary.num_made, summary.num_images) == (5, 5, 5 * 10 * 4)
    assert str(summary) == f"200 images of 5 clips in {data}/colors/frame-both, 5 clips new"
    assert heard == [(done, 5) for done in range(1, 6)]
    dataset = ClipDataset(data)
    clip = dataset.find("ada/bow")
    recolorings = dataset.recolorings("frame", "both", clip)
    assert recolorings.num_recolorings == 4
    assert sorted(recolorings.rows) == [(frame, recoloring) for frame in range(10) for recoloring in range(4)]
    assert recolorings.image(3, 2).shape == (96, 64, 3)
    path = data / "colors" / "frame-both" / f"{clip.clip_id}.parquet"
    assert pq.read_schema(path).remove_metadata() == RECOLORING_SCHEMA


@pytest.mark.parametrize("region", ["upper", "lower", "both"])
def test_only_the_garments_change(data, region):
    recolor_dataset(data, replace(HERE, region=region, recolorings=1))
    dataset = ClipDataset(data)
    file = dataset.find("bruno/bow")
    clip, recolorings = file.read(), dataset.recolorings("frame", region, file)
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    painted = np.isin(labels, {"upper": [1], "lower": [2], "both": [1, 2]}[region])
    images = np.stack([recolorings.image(frame, 0) for frame in range(len(clip))])
    np.testing.assert_array_equal(images[~painted], clip.images[~painted])
    assert (images[painted] != clip.images[painted]).any()
    assert all((ab is None) is (region == "lower") for ab in recolorings.upper_ab)
    assert all((ab is None) is (region == "upper") for ab in recolorings.lower_ab)


def test_clip_scope_keeps_one_colour_and_the_original(data):
    recolor_dataset(data, replace(HERE, scope="clip", region="upper"))
    dataset = ClipDataset(data)
    file = dataset.find("ada/clap")
    clip, recolorings = file.read(), dataset.recolorings("clip", "upper", file)
    assert recolorings.num_recolorings == 5
    np.testing.assert_array_equal(recolorings.image(4, 0), clip.images[4])
    colors = {
        recoloring: {tuple(recolorings.upper_ab[recolorings.rows[frame, recoloring]]) for frame in range(10)}
        for recoloring in range(1, 5)
    }
    assert all(len(own) == 1 for own in colors.values())
    assert len(set.union(*colors.values())) == 4


def test_second_run_does_nothing(data, monkeypatch):
    first = recolor_dataset(data, HERE)
    before = files(data, "frame-both")
    monkeypatch.setattr(ClipRecolorer, "__init__", None)
    again = recolor_dataset(data, replace(HERE, workers=2))
    assert files(data, "frame-both") == before
    assert (again.num_images, again.num_made) == (first.num_images, 0)


def test_only_what_is_missing_or_was_made_otherwise_is_painted(data):
    recolor_dataset(data, HERE)
    before = files(data, "frame-both")
    (data / "colors" / "frame-both" / min(before)).unlink()
    assert recolor_dataset(data, HERE).num_made == 1
    assert len(files(data, "frame-both").items() & before.items()) == 4
    assert recolor_dataset(data, replace(HERE, seed=1)).num_made == 5
    assert recolor_dataset(data, replace(HERE, seed=1, recolorings=2)).num_images == 100
    assert recolor_dataset(data, replace(HERE, region="upper")).num_made == 5  # beside the others
    assert len(files(data, "frame-both")) == len(files(data, "frame-upper")) == 5


def test_the_index_says_what_is_painted(data, monkeypatch):
    """Files that are to be made again leave it first, so that a painting that is killed is found out."""
    recolor_dataset(data, HERE)
    folder = StorageFolder(data)
    entries = load_recoloring_entries(folder, "frame-both")
    sizes = (folder / "colors" / "frame-both").sizes()
    assert {f"{clip_id}.parquet": entry.num_bytes for clip_id, entry in entries.items()} == sizes
    assert {(entry.num_recolorings, entry.record) for entry in entries.values()} == {(4, HERE.record())}
    with monkeypatch.context() as patched, pytest.raises(TypeError):
        patched.setattr("orchestration.data.colorize.map_rows", None)  # where a process would be killed
        recolor_dataset(data, replace(HERE, seed=1))
    assert load_recoloring_entries(folder, "frame-both") == {}
    with monkeypatch.context() as patched:
        patched.setattr("orchestration.data.colorize.map_rows", lambda rows, *rest, **options: iter(()))
        recolor_dataset(data, HERE)
    assert load_recoloring_entries(folder, "frame-both") == entries


def test_all_kinds_at_once_are_those_of_three_calls(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    for scope, region in (("frame", "upper"), ("frame", "lower"), ("clip", "both")):
        recolor_dataset(data, replace(HERE, scope=scope, region=region))
    summary = recolor_dataset(copy, replace(HERE, all_kinds=True))
    assert (summary.num_clips, summary.num_made, summary.num_images) == (5, 5, 5 * 10 * (4 + 4 + 5))
    for path in (data / "colors").rglob("*.parquet"):
        assert path.read_bytes() == (copy / path.relative_to(data)).read_bytes(), path
    (copy / "colors" / "frame-lower.parquet").unlink()  # its index
    assert recolor_dataset(copy, replace(HERE, all_kinds=True)).num_made == 0
    with pytest.raises(ConfigError, match="leave out scope and region"):
        ColorizeSettings(all_kinds=True, region="upper")


def test_same_seed_same_colours(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    recolor_dataset(data, HERE)
    recolor_dataset(copy, HERE)
    for name in files(data, "frame-both"):
        assert (data / "colors/frame-both" / name).read_bytes() == (copy / "colors/frame-both" / name).read_bytes()


def test_a_broken_clip_has_its_reason_and_stops_nothing(data):
    broken = ClipDataset(data).find("ada/bow").clip_id
    path = data / "clips" / f"{broken}.parquet"
    table = pq.read_table(path)
    images = [b"no picture", *table["image"].to_pylist()[1:]]
    pq.write_table(table.set_column(2, table.schema.field("image"), [images]), path)
    summary = recolor_dataset(data, HERE)
    assert (summary.num_clips, summary.num_made, summary.num_images) == (4, 4, 160)
    assert [failure.file for failure in summary.failures] == [f"frame-both/{broken}"]
    assert "does not decode" in summary.failures[0].reason and "1 clip failed" in str(summary)


def test_nothing_to_paint(tmp_path):
    with pytest.raises(DatasetError, match="posegen prepare"):
        recolor_dataset(tmp_path, HERE)
    save_dataset_info(StorageFolder(tmp_path), DatasetInfo((64, 48), {}, {}, "action", {"train": [], "test": []}))
    with pytest.raises(DatasetError, match="has no clips"):
        recolor_dataset(tmp_path, HERE)


def test_settings_that_cannot_work():
    with pytest.raises(ValueError, match="recolorings must be at least 1, got 0"):
        ColorizeSettings(recolorings=0)


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the stage that has hardly begun."""
    torch.manual_seed(0)
    stage = Colorizer(replace(Colorizer.presets["tiny"], width=4))
    run = tmp_path_factory.mktemp("colorizer")
    save_run(run, stage)
    return run


def save_run(run: Path, stage: Colorizer, epoch: int = 0) -> None:
    progress = TrainingProgress(epoch=epoch, step=0, data_fingerprint="", size=(96, 64))
    save_checkpoint(StorageFolder(run) / "checkpoints" / f"{epoch:08d}", stage, progress)


def with_network(run: Path, **changes) -> ColorizeSettings:
    return replace(HERE, **({"method": "siggraph17", "colorizer": str(run), "recolorings": 2} | changes))


@pytest.mark.parametrize("region", ["upper", "lower", "both"])
def test_network_changes_only_the_garments(data, colorizer, region):
    recolor_dataset(data, with_network(colorizer, region=region))
    dataset = ClipDataset(data)
    file = dataset.find("bruno/bow")
    clip, recolorings = file.read(), dataset.recolorings("frame", region, file)
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    painted = np.isin(labels, {"upper": [1], "lower": [2], "both": [1, 2]}[region])
    images = np.stack([recolorings.image(frame, 1) for frame in range(len(clip))])
    np.testing.assert_array_equal(images[~painted], clip.images[~painted])
    assert (images[painted] != clip.images[painted]).mean() > 0.3
    assert all((ab is None) is (region == "lower") for ab in recolorings.upper_ab)
    assert all((ab is None) is (region == "upper") for ab in recolorings.lower_ab)


def test_network_and_shift_have_the_same_designated_colours(data, colorizer, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    recolor_dataset(data, with_network(colorizer))
    recolor_dataset(copy, replace(HERE, recolorings=2))
    name = min(files(data, "frame-both"))
    ours, theirs = (pq.read_table(folder / "colors/frame-both" / name) for folder in (data, copy))
    for column in ("frame", "variant", "upper_ab", "lower_ab", "seed"):
        assert ours[column].equals(theirs[column]), column


def test_another_network_paints_anew(data, tmp_path):
    run = tmp_path / "run"
    stage = Colorizer(replace(Colorizer.presets["tiny"], width=4))
    save_run(run, stage)
    assert recolor_dataset(data, with_network(run)).num_made == 5
    assert recolor_dataset(data, with_network(run)).num_made == 0
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    assert recolor_dataset(data, with_network(moved)).num_made == 0  # the same network at another place
    with torch.no_grad():
        stage.network.mask_cent.fill_(0.5)
    save_run(run, stage, epoch=1)
    assert recolor_dataset(data, with_network(run)).num_made == 5
    assert recolor_dataset(data, replace(HERE, recolorings=2)).num_made == 5


def test_published_network_is_taken_from_the_cache(data, colorizer, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch, "HTTPDownloader", raise_no_network)
    with pytest.raises(WeightsError, match="cannot fetch weights 'siggraph17': no network"):
        recolor_dataset(data, replace(HERE, method="siggraph17", recolorings=1))
    (tmp_path / "cache").mkdir(exist_ok=True)
    network = load_colorizer(str(colorizer))
    save_file(network.state_dict(), tmp_path / "cache" / WEIGHTS["siggraph17"].file)
    assert recolor_dataset(data, replace(HERE, method="siggraph17", recolorings=2)).num_made == 5
    assert recolor_dataset(data, with_network(colorizer)).num_made == 0  # it is the same
    network.mask_cent.fill_(0.5)
    save_file(network.state_dict(), tmp_path / "cache" / WEIGHTS["siggraph17-retrained"].file)
    retrained = replace(HERE, method="siggraph17", colorizer="siggraph17-retrained", recolorings=2)
    assert recolor_dataset(data, retrained).num_made == 5


def raise_no_network(*_args, **_options):
    raise OSError("no network")


def test_runs_that_are_no_colorizer_are_refused(data, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        recolor_dataset(data, with_network(tmp_path))
    stage = ColorEncoder(replace(ColorEncoder.presets["tiny"], generator_width=4, encoder_width=4))
    save_checkpoint(
        StorageFolder(tmp_path / "checkpoint"),
        stage,
        TrainingProgress(epoch=1, step=1, data_fingerprint="", size=(96, 64)),
    )
    with pytest.raises(CheckpointError, match="is of the stage 'color_encoder', expected 'colorizer'"):
        recolor_dataset(data, with_network(tmp_path / "checkpoint"))
    with pytest.raises(ValueError, match="method 'lab' takes no colorizer"):
        ColorizeSettings(colorizer="run")


class HintPainter(torch.nn.Module):
    """A network that paints everything in the mean colour of its hints."""

    def forward(self, lightness, ab, mask):
        mean = (ab * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True)
        return None, mean.expand_as(ab)


def test_pictures_of_any_size_are_coloured():
    hints = np.zeros((2, 45, 61, 3), np.float32)
    hints[:, 5:9, 5:9] = [[[[30, -20, 1]]], [[[-40, 10, 1]]]]
    ab = HintRecolorer(HintPainter()).colorize(np.full((45, 61), 50.0), hints)
    assert ab.shape == (2, 45, 61, 2)
    np.testing.assert_allclose(ab[:, 44, 60], [[30, -20], [-40, 10]], rtol=1e-5)


def test_composite_keeps_lightness_and_what_has_no_weight():
    image = np.random.default_rng(0).integers(90, 150, (16, 16, 3), np.uint8)
    weight = np.zeros((16, 16))
    weight[4:12, 4:12], weight[8, 8] = 1, 0.5
    painted = blend_colors(image, np.full((16, 16, 2), [12.0, -8.0]), weight)
    np.testing.assert_array_equal(painted[weight == 0], image[weight == 0])
    before, after = rgb_to_lab(image), rgb_to_lab(painted)
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.6)
    np.testing.assert_allclose(after[5, 5, 1:], [12, -8], atol=1)
    np.testing.assert_allclose(after[8, 8, 1:], (before[8, 8, 1:] + [12, -8]) / 2, atol=1)


@pytest.mark.ray
def test_ray_paints_the_same_with_a_network(ray_session, data, colorizer, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    recolor_dataset(data, with_network(colorizer))
    assert recolor_dataset(copy, with_network(colorizer, workers=1)).num_made == 5
    for name in files(data, "frame-both"):
        assert (data / "colors/frame-both" / name).read_bytes() == (copy / "colors/frame-both" / name).read_bytes()


@pytest.mark.ray
def test_ray_paints_the_same(ray_session, data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    heard: list[int] = []
    recolor_dataset(data, HERE)
    summary = recolor_dataset(copy, ColorizeSettings(), on_progress=lambda done, total: heard.append(done))
    assert summary.num_made == len(heard) == 5
    for name in files(data, "frame-both"):
        assert (data / "colors/frame-both" / name).read_bytes() == (copy / "colors/frame-both" / name).read_bytes()
    names = ["clips", "colors", "dataset.json", "index.parquet", "preview", "preview.html", "videos.parquet"]
    assert sorted(path.name for path in copy.iterdir()) == names
