"""Small datasets of pairs for tests of the refiner."""

from __future__ import annotations

from pathlib import Path

from orchestration.data.pairs import PairSettings, make_pairs
from posegen.datasets.refinement import RefinementDataset

SMALL = PairSettings(pairs=6, size=(128, 96), held_out=0.5, workers=0, seed=2)


def write_pairs(folder: Path) -> RefinementDataset:
    """Six pairs of two people, one of whom is held out."""
    return RefinementDataset(make_pairs(str(folder), SMALL).folder)
