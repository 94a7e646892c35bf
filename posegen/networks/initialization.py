"""The initial weights of the two papers that the stages build on."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def init_xavier(network: M, gain: float = 0.02) -> M:
    """Draw the weights of all layers from Xavier's normal distribution and zero their biases. Returns the network.

    BicycleGAN's initialization (published code of Zhu et al., 2017, arXiv:1711.11586).
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_normal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def init_normal(network: M, std: float = 0.02) -> M:
    """Draw the weights of all convolutions from N(0, std²) and keep PyTorch's biases. Returns the network.

    pix2pixHD's initialization (Wang et al., 2018, arXiv:1711.11585, appendix); linear layers, of which the paper
    has none, keep PyTorch's.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=std)
    return network
