"""Clothes get other colours: all frames of all clips, once, and only the clothes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestration import colorize as colorize_module
from orchestration.colorize import ColorizeSettings, PaintResult, colorize
from orchestration.prepare import PrepareSettings, prepare
from posegen.clips import VARIANT_SCHEMA, ClipDataset, DatasetError, DatasetInfo, save_dataset_info
from posegen.color.garments import garment_labels
from posegen.storage import Folder

HERE = ColorizeSettings(workers=0)


@pytest.fixture(scope="session")
def prepared(studio_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of ten frames, 96×64."""
    out = tmp_path_factory.mktemp("prepared")
    settings = PrepareSettings(size=(96, 64), pose="truth", edges="truth", mask="truth", workers=0)
    prepare(studio_videos, out, settings)
    return out


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def files(data: Path, kind: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (data / "colors" / kind).iterdir()}


def test_every_frame_of_every_clip_gets_its_variants(data):
    heard = []
    summary = colorize(data, HERE, on_progress=lambda *event: heard.append(event))
    assert (summary.num_clips, summary.num_made, summary.num_images) == (5, 5, 5 * 10 * 4)
    assert str(summary) == f"200 images of 5 clips in {data}/colors/frame-both, 5 clips new"
    assert [(done, total) for done, total, _ in heard] == [(done, 5) for done in range(1, 6)]
    dataset = ClipDataset(data)
    clip = dataset.find("ada/bow")
    variants = dataset.variants("frame", "both", clip)
    assert variants.num_variants == 4
    assert sorted(variants.rows) == [(frame, variant) for frame in range(10) for variant in range(4)]
    assert variants.image(3, 2).shape == (96, 64, 3)
    path = data / "colors" / "frame-both" / f"{clip.clip_id}.parquet"
    assert pq.read_schema(path).remove_metadata() == VARIANT_SCHEMA


@pytest.mark.parametrize("region", ["upper", "lower", "both"])
def test_only_the_garments_change(data, region):
    colorize(data, replace(HERE, region=region, variants=1))
    dataset = ClipDataset(data)
    file = dataset.find("bruno/bow")
    clip, variants = file.read(), dataset.variants("frame", region, file)
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    painted = np.isin(labels, {"upper": [1], "lower": [2], "both": [1, 2]}[region])
    images = np.stack([variants.image(frame, 0) for frame in range(len(clip))])
    np.testing.assert_array_equal(images[~painted], clip.images[~painted])
    assert (images[painted] != clip.images[painted]).any()
    assert all((ab is None) is (region == "lower") for ab in variants.upper_ab)
    assert all((ab is None) is (region == "upper") for ab in variants.lower_ab)


def test_clip_scope_keeps_one_colour_and_the_original(data):
    colorize(data, replace(HERE, scope="clip", region="upper"))
    dataset = ClipDataset(data)
    file = dataset.find("ada/clap")
    clip, variants = file.read(), dataset.variants("clip", "upper", file)
    assert variants.num_variants == 5
    np.testing.assert_array_equal(variants.image(4, 0), clip.images[4])
    colors = {
        variant: {tuple(variants.upper_ab[variants.rows[frame, variant]]) for frame in range(10)}
        for variant in range(1, 5)
    }
    assert all(len(own) == 1 for own in colors.values())
    assert len(set.union(*colors.values())) == 4


def test_second_run_does_nothing(data, monkeypatch):
    first = colorize(data, HERE)
    before = files(data, "frame-both")
    monkeypatch.setattr(colorize_module, "map_clips", None)
    again = colorize(data, replace(HERE, workers=2))
    assert files(data, "frame-both") == before
    assert (again.num_images, again.num_made) == (first.num_images, 0)


def test_only_what_is_missing_or_was_made_otherwise_is_painted(data):
    colorize(data, HERE)
    before = files(data, "frame-both")
    (data / "colors" / "frame-both" / min(before)).unlink()
    assert colorize(data, HERE).num_made == 1
    assert len(files(data, "frame-both").items() & before.items()) == 4
    assert colorize(data, replace(HERE, seed=1)).num_made == 5
    assert colorize(data, replace(HERE, seed=1, variants=2)).num_images == 100
    assert colorize(data, replace(HERE, region="upper")).num_made == 5  # beside the others
    assert len(files(data, "frame-both")) == len(files(data, "frame-upper")) == 5


def test_same_seed_same_colours(data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    colorize(data, HERE)
    colorize(copy, HERE)
    for name in files(data, "frame-both"):
        assert (data / "colors/frame-both" / name).read_bytes() == (copy / "colors/frame-both" / name).read_bytes()


def test_a_broken_clip_has_its_reason_and_stops_nothing(data):
    broken = ClipDataset(data).find("ada/bow").clip_id
    path = data / "clips" / f"{broken}.parquet"
    table = pq.read_table(path)
    images = [b"no picture", *table["image"].to_pylist()[1:]]
    pq.write_table(table.set_column(2, table.schema.field("image"), [images]), path)
    summary = colorize(data, HERE)
    assert (summary.num_clips, summary.num_made, summary.num_images) == (4, 4, 160)
    assert [failure.clip_id for failure in summary.failures] == [broken]
    assert "does not decode" in summary.failures[0].reason and "1 clips failed" in str(summary)


def test_nothing_to_paint(tmp_path):
    with pytest.raises(DatasetError, match="posegen prepare"):
        colorize(tmp_path, HERE)
    save_dataset_info(Folder(tmp_path), DatasetInfo((64, 48), {}, {}, "action", {"train": [], "test": []}))
    with pytest.raises(DatasetError, match="has no clips"):
        colorize(tmp_path, HERE)


def test_settings_that_cannot_work():
    with pytest.raises(ValueError, match="variants must be at least 1, got 0"):
        ColorizeSettings(variants=0)


@pytest.mark.ray
def test_ray_paints_the_same(ray_session, data, tmp_path):
    copy = Path(shutil.copytree(data, tmp_path / "copy"))
    heard: list[PaintResult] = []
    colorize(data, HERE)
    summary = colorize(copy, ColorizeSettings(), on_progress=lambda done, total, result: heard.append(result))
    assert summary.num_made == len(heard) == 5
    for name in files(data, "frame-both"):
        assert (data / "colors/frame-both" / name).read_bytes() == (copy / "colors/frame-both" / name).read_bytes()
    assert sorted(path.name for path in copy.iterdir()) == ["clips", "colors", "dataset.json", "rejected.parquet"]
