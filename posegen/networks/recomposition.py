"""Puts a picture of a person together again, with what a refiner changes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from posegen.networks.refiner import Refinement


class Composition(NamedTuple):
    """A composed picture of a person, and what it is made of; colours are in [0, 1]."""

    composed: Tensor
    """(N, 3, H, W)."""
    background: Tensor
    """(N, 3, H, W): what is behind the person."""
    source: Tensor
    """(N, 3, h, w): the picture that the person is from."""
    positions: Tensor
    """(N, 2, H, W): x and y in the source, in pixels, where each pixel comes from."""
    opacity: Tensor
    """(N, 1, H, W)."""
    near: Tensor
    """(N, 1, H, W) 0 or 1: at the person or a few pixels beyond; nothing changes elsewhere."""
    sure: Tensor
    """(N, 1, H, W) 0 or 1: the pixel shows the source itself."""
    garment: Tensor
    """(N, 1, H, W) 0 or 1: cloth, of which no colour is added."""
    repairable: Tensor
    """(N, 1, H, W) 0 or 1: colours may be added."""
    trunk: Tensor
    """(N,): length of the source's trunk in pixels."""


class Recomposed(NamedTuple):
    """A refined picture."""

    image: Tensor
    """(N, 3, H, W) in [0, 1]."""
    opacity: Tensor
    """(N, 1, H, W) in [0, 1] of the person."""
    positions: Tensor
    """(N, 2, H, W): where in the source pixels come from, in pixels."""


def recompose(composition: Composition, change: Refinement) -> Recomposed:
    """Apply a refinement. One of zeros gives the composed picture exactly.

    A pixel that shows the source is taken from another place of it, so a garment's chroma is the source's; the light on
    it is multiplied, and colours are added only where something was filled in or at an edge, and not to garments.
    """
    c = composition
    opacity = (c.opacity + change.opacity * c.near).clamp(0, 1)
    positions = c.positions + change.shift * c.trunk[:, None, None, None] * c.near
    before = torch.where(c.sure > 0, sample(c.source, c.positions), c.composed)
    after = torch.where(c.sure > 0, sample(c.source, positions), c.composed)
    added = change.residual * c.repairable * (1 - c.garment)
    after = after * torch.exp(change.shade * c.near) + added
    image = c.composed + opacity * (after - c.background) - c.opacity * (before - c.background)
    return Recomposed(image.clamp(0, 1), opacity, positions)


def sample(images: Tensor, positions: Tensor) -> Tensor:
    """Take colours of images (N, C, h, w) at positions (N, 2, H, W) in pixels, those of the border beyond it."""
    height, width = images.shape[-2:]
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], device=images.device)
    grid = positions.permute(0, 2, 3, 1) * scale - 1  # (N, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
