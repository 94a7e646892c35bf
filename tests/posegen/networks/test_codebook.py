"""Codes from colours, and random ones."""

from __future__ import annotations

import pytest
import torch

from posegen.networks.codebook import Codebook, reparameterize


def colors(count: int, seed: int = 0) -> torch.Tensor:
    lab = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
    return lab * torch.tensor([30.0, 120, 120]) + torch.tensor([40.0, -60, -60])


def codes_of(lab: torch.Tensor) -> torch.Tensor:
    """A cubic that needs the lightness."""
    lightness, a, b = ((lab - torch.tensor([55.0, 0, 0])) / torch.tensor([15.0, 60, 60])).unbind(1)
    return torch.stack([a - 0.5 * b * b, b + a * lightness, lightness**3 - a * b, 1 + 0 * a], dim=1)


@pytest.fixture
def codebook():
    codebook = Codebook(4)
    lab = colors(400)
    codebook.fit(codes_of(lab), lab)
    return codebook


def test_codes_of_new_colours(codebook):
    lab = colors(100, seed=1)
    torch.testing.assert_close(codebook.predict(lab), codes_of(lab), atol=0.05, rtol=0)
    torch.testing.assert_close(codebook.predict(lab[0]), codebook.predict(lab)[0])


def test_colours_out_of_range_are_taken_at_its_edge(codebook):
    far, edge = torch.tensor([90.0, 500, 0]), torch.stack([*codebook.highest[:2], torch.tensor(0.0)])
    torch.testing.assert_close(codebook.predict(far), codebook.predict(edge))


def test_frames_that_kept_their_colour_count_for_the_spread_alone():
    lab, plain = colors(400), Codebook(4)
    codes = codes_of(lab)
    plain.fit(codes, lab)
    mixed = Codebook(4)
    unpainted = torch.full((50, 3), torch.nan)
    mixed.fit(torch.cat([codes, torch.full((50, 4), 100.0)]), torch.cat([lab, unpainted]))
    torch.testing.assert_close(mixed.weight, plain.weight)
    torch.testing.assert_close(mixed.mean, (400 * codes.mean(0) + 5000) / 450)


def test_all_of_it_travels_with_the_state(codebook):
    other = Codebook(4)
    assert not other.is_fitted
    other.load_state_dict(codebook.state_dict())
    assert other.is_fitted
    lab = colors(3)
    torch.testing.assert_close(other.predict(lab), codebook.predict(lab))


def test_unfitted_codebook_says_so():
    codebook = Codebook(2)
    codebook.fit(torch.zeros(3, 2), torch.full((3, 3), torch.nan))
    with pytest.raises(ValueError, match="train it for at least one epoch"):
        codebook.predict(torch.zeros(3))


def test_random_codes():
    codebook = Codebook(2)
    codebook.fit(torch.tensor([[4.0, 0], [6, 0], [5, 0]]), torch.full((3, 3), torch.nan))
    fitted = codebook.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(fitted.mean(0), torch.tensor([5.0, 0]), atol=0.05, rtol=0)
    torch.testing.assert_close(fitted.std(0), torch.tensor([1.0, 0]), atol=0.05, rtol=0)
    prior = codebook.sample(4000, torch.Generator().manual_seed(0), prior=True)
    torch.testing.assert_close(prior.mean(0), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(prior.std(0), torch.ones(2), atol=0.05, rtol=0)


def test_reparameterization():
    mean, logvar, noise = torch.tensor([[1.0]]), torch.tensor([[4.0]]).log(), torch.tensor([[3.0]])
    torch.testing.assert_close(reparameterize(mean, logvar, noise), torch.tensor([[7.0]]))
