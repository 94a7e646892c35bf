"""Frozen VGG networks (Simonyan and Zisserman, 2014, arXiv:1409.1556), whose activations compare images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.errors import WeightsError
from posegen.networks.layers import blur_pool
from posegen.weights import download as weights

_DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions of each block
_WIDTHS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class _Trained:
    """Properties of published weights that are needed to run them."""

    architecture: Literal["vgg16", "vgg19"]
    normalization: Literal["none", "imagenet", "caffe"]
    pooling: Literal["max", "blur"]
    prefix: str
    """Of the convolutions' names in the file."""


_TRAINED = {
    "vgg19": _Trained("vgg19", "none", "max", "features."),
    "vgg16-hed": _Trained("vgg16", "caffe", "max", "blocks."),
    "vgg16-stlpips": _Trained("vgg16", "imagenet", "blur", "net."),
}


class VGGFeatures(nn.Module):
    """The activations relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of a frozen VGG, or relu1_2 to relu5_2.

    Args:
        architecture: Which VGG.
        normalization: What the weights expect: images in [-1, 1] as they are (``none``), with ImageNet's mean and
            deviation (``imagenet``), or BGR in 0–255 without the mean (``caffe``).
        pooling: Max pooling, or its shift-tolerant form for weights that were trained with it (Zhang, 2019,
            arXiv:1904.11486, with wider padding as in Ghildyal and Liu, 2022).
        convolution: Behind which convolution of each block the activations are taken.
    """

    def __init__(
        self,
        architecture: Literal["vgg16", "vgg19"] = "vgg19",
        normalization: Literal["none", "imagenet", "caffe"] = "none",
        pooling: Literal["max", "blur"] = "max",
        convolution: Literal[1, 2] = 1,
    ):
        super().__init__()
        self.pooling, self.convolution = pooling, convolution
        depths = (*_DEPTHS[architecture][:-1], convolution)  # nothing looks behind the last activation
        self.blocks = nn.ModuleList(_block(block, depth) for block, depth in enumerate(depths))
        scale, shift = _normalization(normalization)
        self.flip = normalization == "caffe"
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", scale.view(3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @classmethod
    def pretrained(cls, name: str, convolution: Literal[1, 2] = 1) -> VGGFeatures:
        """Return the network with published weights: ``vgg19``, ``vgg16-hed`` or ``vgg16-stlpips``.

        ``vgg19`` sees images in [-1, 1], as in pix2pixHD, for the first activations, and with ImageNet's mean and
        deviation, as it was trained, for the second ones.

        Raises WeightsError for another name, and WeightsError where the weights cannot be had.
        """
        if name not in _TRAINED:
            raise WeightsError(f"unknown perceptual network {name!r}, expected one of {sorted(_TRAINED)}")
        with weights.loaded(name) as tensors:
            return cls.from_state_dict(name, tensors, convolution)

    @classmethod
    def from_state_dict(
        cls, name: str, state_dict: Mapping[str, Tensor], convolution: Literal[1, 2] = 1
    ) -> VGGFeatures:
        """Return the network `name`, as in `pretrained`, with its weights under their published names."""
        network = cls.untrained(name, convolution)
        network.load_convolutions(state_dict, _TRAINED[name].prefix)
        return network

    @classmethod
    def untrained(cls, name: str, convolution: Literal[1, 2] = 1) -> VGGFeatures:
        """Return the network `name`, as in `pretrained`, with random weights."""
        trained = _TRAINED[name]
        normalization = trained.normalization
        if convolution == 2 and normalization == "none":
            normalization = "imagenet"
        return cls(trained.architecture, normalization, trained.pooling, convolution)

    def load_convolutions(self, state_dict: Mapping[str, Tensor], prefix: str = "") -> None:
        """Copy weights and biases of the convolutions under `prefix`, in the order of the numbers in their names.

        Convolutions after the last activation are left over. Raises WeightsError where a shape differs.
        """
        names = sorted(
            (key.removesuffix(".weight") for key in state_dict if re.match(rf"{re.escape(prefix)}.*weight$", key)),
            key=lambda name: [int(number) for number in re.findall(r"\d+", name)],
        )
        convolutions = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        if len(names) < len(convolutions):
            raise WeightsError(f"expected {len(convolutions)} convolutions named {prefix}…weight, got {len(names)}")
        for convolution, name in zip(convolutions, names, strict=False):
            for kind, own in convolution.named_parameters():
                given = state_dict[f"{name}.{kind}"]
                if given.shape != own.shape:
                    raise WeightsError(f"{name}.{kind} is {tuple(given.shape)}, expected {tuple(own.shape)}")
                own.data.copy_(given)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in [-1, 1] to five activations, of 64 to 512 channels and H to H / 16 rows."""
        x = self._normalize(image)  # (N, 3, H, W)
        activations = []
        for index, block in enumerate(self.blocks):
            x = self._pool(x) if index else x  # (N, D, H / 2^index, W / 2^index)
            outputs = []
            for convolution in block.children():
                x = F.relu(convolution(x))  # (N, D, H / 2^index, W / 2^index)
                outputs.append(x)
            activations.append(outputs[self.convolution - 1])
        return activations

    def rescaled(self, image: Tensor) -> list[Tensor]:
        """`forward` as if images came with ImageNet's deviation, whatever range the weights expect.

        So the weight of a loss depends less on them: up to biases, activations are as large as what goes in.
        """
        factor = _normalization("imagenet")[0].mean().to(self.scale) / self.scale.mean()
        return [factor * activation for activation in self(image)]

    def relu1_2(self, image: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] to the activation of the second convolution, (N, 64, H, W).

        In grey levels (0–255), whatever range the weights expect, so that the weight of a loss depends less on them.
        """
        x = self._normalize(image)  # (N, 3, H, W)
        for convolution in self.blocks[0].children():
            x = F.relu(convolution(x))  # (N, 64, H, W)
        return x * (127.5 / self.scale.mean())

    def _normalize(self, image: Tensor) -> Tensor:
        """Images in [-1, 1] to what the weights expect."""
        x = image.flip(1) if self.flip else image  # (N, 3, H, W)
        return x * self.scale + self.shift  # (N, 3, H, W)

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return F.max_pool2d(x, kernel_size=2)  # (N, D, H / 2, W / 2)
        return blur_pool(F.max_pool2d(x, kernel_size=2, stride=1))  # (N, D, about H / 2, about W / 2)


class PretrainedVGG:
    """A network of published weights that images are compared with: fetched when it is first called for.

    A stage that has it as an attribute neither trains it nor writes it to its checkpoints, since it is no module.

    Args:
        name: As in `VGGFeatures.pretrained`.
        convolution: As in `VGGFeatures`.
    """

    def __init__(self, name: str, convolution: Literal[1, 2] = 1):
        self.name, self.convolution = name, convolution
        self._network: VGGFeatures | None = None

    def __call__(self, device: torch.device) -> VGGFeatures:
        """The network; put on `device` at the first call. Raises WeightsError where its weights cannot be had."""
        if self._network is None:
            self._network = VGGFeatures.pretrained(self.name, self.convolution).to(device)
        return self._network

    def replace(self, network: VGGFeatures) -> None:
        """Give this network instead, and fetch none."""
        self._network = network

    def leave_untrained(self) -> None:
        """Give a network of random weights instead, which takes as much time and memory, and fetch none."""
        self.replace(VGGFeatures.untrained(self.name, self.convolution))


def _block(index: int, depth: int) -> nn.ModuleList:
    """The convolutions of a block."""
    in_channels = _WIDTHS[index - 1] if index else 3
    widths = [in_channels] + [_WIDTHS[index]] * depth
    return nn.ModuleList(nn.Conv2d(*pair, kernel_size=3, padding=1) for pair in pairwise(widths))


def _normalization(name: str) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel, for images in [-1, 1]; those of ``caffe`` are for BGR."""
    if name == "none":
        return torch.ones(3), torch.zeros(3)
    if name == "caffe":
        return torch.full((3,), 127.5), 127.5 - torch.tensor([104.00699, 116.66877, 122.67892])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return 0.5 / std, (0.5 - mean) / std
