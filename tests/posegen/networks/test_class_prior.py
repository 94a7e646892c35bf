"""Priors of codes: the Gaussian of each class."""

from __future__ import annotations

import torch

from posegen.networks.class_prior import ClassPrior


def fitted() -> tuple[ClassPrior, torch.Tensor, torch.Tensor]:
    """A prior of two classes of codes in three dimensions, fitted, with the codes and their labels."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(4000) % 2
    noise = torch.randn(4000, 3, generator=generator)
    mixed = noise @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    codes = torch.where(label[:, None] == 0, mixed + 5.0, 0.2 * noise)
    prior = ClassPrior(3, 3)
    prior.fit(codes, torch.full_like(codes, 0.25), label)
    return prior, codes, label


def test_an_unfitted_prior_changes_nothing():
    z, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    prior = ClassPrior(3, 3)
    torch.testing.assert_close(prior.place(z, label), z)
    torch.testing.assert_close(prior.standardize(z, label), z)


def test_drawn_codes_have_mean_and_covariance_of_their_class():
    prior, codes, label = fitted()
    z = torch.randn(20000, 3, generator=torch.Generator().manual_seed(1))
    for row in (0, 1):
        drawn, own = prior.place(z, torch.full((len(z),), row)), codes[label == row]
        torch.testing.assert_close(drawn.mean(dim=0), own.mean(dim=0), atol=0.06, rtol=0)
        expected = torch.cov(own.T) + 0.25 * torch.eye(3)  # and the posteriors' own variance
        torch.testing.assert_close(torch.cov(drawn.T), expected, atol=0.15, rtol=0.05)


def test_a_class_without_codes_keeps_the_standard_normal():
    z = torch.randn(4, 3)
    torch.testing.assert_close(fitted()[0].place(z, torch.full((4,), 2)), z)


def test_codes_come_back():
    prior, codes, label = fitted()
    standard = prior.standardize(codes, label)
    torch.testing.assert_close(prior.place(standard, label), codes, atol=1e-4, rtol=1e-4)
    assert standard.std() < 1.05


def test_between_classes_lie_the_codes_between():
    prior, _, _ = fitted()
    z = torch.randn(2, 3)
    ends = [prior.place(z, torch.full((2,), row)) for row in (0, 1)]
    halves = torch.tensor([[0.5, 0.5, 0.0]]).repeat(2, 1)
    torch.testing.assert_close(prior.place(z, halves), (ends[0] + ends[1]) / 2)
