"""Colours of codes, and the way between two colours through codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.color.lab import delta_e_2000, in_gamut
from posegen.errors import CheckpointError, ConfigError
from posegen.inference.code_colors import CodeColors, load_code_colors
from posegen.io.storage import StorageFolder
from posegen.networks.bicyclegan import ResNetEncoder
from posegen.networks.codebook import Codebook
from posegen.stages import ColorEncoder

SIZE = (64, 48)


def colors(count: int, seed: int = 0) -> torch.Tensor:
    """Colours that displays show, of middle lightness."""
    lab = np.random.default_rng(seed).uniform((30, -60, -60), (70, 60, 60), (4 * count, 3))
    return torch.from_numpy(lab[in_gamut(lab)][:count]).float()


def codes_of(lab: torch.Tensor) -> torch.Tensor:
    """Codes whose parts are of different sizes and bent, and one that tells nothing."""
    lightness, a, b = ((lab - torch.tensor([50.0, 0, 0])) / torch.tensor([20.0, 60, 60])).unbind(-1)
    return torch.stack([a + 0.3 * b * b, 5 * b - 2 * a, 0.1 * lightness + 0.05 * a, 0 * a], dim=-1)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    codebook, lab = Codebook(4), colors(400)
    codebook.fit(codes_of(lab), lab)
    return codebook


@pytest.fixture(scope="module")
def code_colors(codebook) -> CodeColors:
    return CodeColors(ResNetEncoder(3, latent_dim=4, width=4), codebook, SIZE)


def test_the_colour_of_a_colours_code_is_that_colour(code_colors, codebook):
    lab = colors(100, seed=1)
    away = delta_e_2000(code_colors.colors_of(codebook.predict(lab)), lab.numpy())
    assert np.median(away) < 0.5 and away.max() < 2


def test_random_codes_have_colours_that_displays_show(code_colors, codebook):
    drawn = code_colors.sample(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn, codebook.sample(50, torch.Generator().manual_seed(0)))
    found = code_colors.colors_of(drawn)
    assert in_gamut(found).all() and len(np.unique(found.round(), axis=0)) > 40
    prior = code_colors.sample(5, torch.Generator().manual_seed(0), prior=True)
    torch.testing.assert_close(prior, codebook.sample(5, torch.Generator().manual_seed(0), prior=True))


def test_colours_fade_along_codes_and_end_exactly(code_colors, codebook):
    begin, end = (45.0, 0.0, -45.0), (55.0, 0.0, 45.0)
    codes = code_colors.code_of(begin), code_colors.code_of(end)
    faded = code_colors.fade(codes, (begin, end), np.linspace(0, 1, 11))
    np.testing.assert_allclose(faded[[0, -1]], [begin, end])
    middle = codebook.predict(torch.from_numpy(faded[5]).float())
    straight = codebook.predict(torch.tensor([50.0, 0, 0]))
    aim = (codes[0] + codes[1]) / 2
    assert (middle - aim).norm() < 0.08 and (straight - aim).norm() > 0.12


def test_colours_that_training_never_had_are_ends_too(code_colors):
    white, black = (100.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    codes = code_colors.code_of(white), code_colors.code_of(black)
    faded = code_colors.fade(codes, (white, black), np.linspace(0, 1, 5))
    np.testing.assert_allclose(faded[[0, -1]], [white, black], atol=1e-9)
    assert (np.diff(faded[:, 0]) < 0).all()


def save(folder, region: str, *, fitted: bool = True) -> str:
    torch.manual_seed(0)
    config = replace(ColorEncoder.presets["tiny"], region=region, encoder_width=4, generator_width=4)
    stage = ColorEncoder(config)
    if fitted:
        lab = colors(100)
        stage.codebook.fit(codes_of(lab), lab)
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)
    save_checkpoint(StorageFolder(folder) / "checkpoints" / "000001", stage, progress)
    return str(folder)


def test_runs_are_known_by_their_garments(tmp_path):
    upper, lower = save(tmp_path / "upper", "upper"), save(tmp_path / "lower", "lower")
    found = load_code_colors([lower, upper])
    assert set(found) == {"upper", "lower"} and found["upper"].size == SIZE
    code = found["upper"].encode(np.full((*SIZE, 3), 90, np.uint8))
    assert code.shape == (4,) and torch.isfinite(code).all()
    with pytest.raises(ConfigError, match="both know the colours of the upper garment"):
        load_code_colors([upper, upper])


def test_a_run_that_knows_no_colours_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="trained on no recoloured frames"):
        load_code_colors([save(tmp_path, "lower", fitted=False)])
    with pytest.raises(CheckpointError, match="nowhere"):
        load_code_colors([str(tmp_path / "nowhere")])
