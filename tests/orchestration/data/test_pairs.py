"""``posegen data pairs``: what is there stays, and equal settings give equal pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestration.data.pairs import PairSettings, make_pairs
from posegen.datasets.refinement import RefinementDataset
from posegen.errors import ConfigError, DatasetError
from tests.support.refinement import SMALL

FEW = replace(SMALL, pairs=2)


def test_pairs_show_one_person_twice(tmp_path):
    made = make_pairs(str(tmp_path), FEW)
    assert "2 pairs" in str(made) and made.num_new == 2 and not made.rejections
    dataset = RefinementDataset(str(tmp_path))
    pair = dataset.read(dataset.info.pairs[0])
    assert pair.target.shape == (128, 96, 3) and (pair.mask > 127).mean() > 0.05
    known = (pair.visible > 0) & np.isfinite(pair.truth[..., 0])
    assert known.sum() > 0.3 * (pair.mask > 127).sum()


def test_what_is_there_stays(tmp_path):
    make_pairs(str(tmp_path), FEW)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "pairs").iterdir()}
    (tmp_path / "refinement.json").unlink()  # as after a stop
    made = make_pairs(str(tmp_path), replace(FEW, pairs=3))
    assert made.num_new == 1 and len(made.info.pairs) == 3
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())


def test_equal_settings_give_equal_pairs(tmp_path):
    one, other = (make_pairs(str(tmp_path / name), replace(FEW, pairs=1)) for name in ("a", "b"))
    files = [next((tmp_path / name / "pairs").iterdir()) for name in ("a", "b")]
    assert one.info == other.info and files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("change", [{"pairs": 0}, {"held_out": 1.0}, {"size": (64, 64)}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ConfigError):
        replace(PairSettings(), **change)


def test_datasets_of_another_kind_stay(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="another kind"):
        make_pairs(str(tmp_path), FEW)
