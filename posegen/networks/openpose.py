"""OpenPose's network for the 18 joints of COCO (Cao et al., 2017, arXiv:1611.08050, Section 2 and Figure 3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posegen.errors import WeightsError

NUM_JOINTS = 18
NUM_HEATMAPS = NUM_JOINTS + 1
"""A confidence map for every joint, and one for the background."""
NUM_FIELDS = 38
"""Part affinity fields: x and y of 19 limbs."""
STRIDE = 8
"""Pixels of the input that a pixel of the output stands for."""
_NUM_STAGES = 6
_TRUNK_WIDTH = 128


class OpenposeNetwork(nn.Module):
    """Ten layers of VGG-19, and six stages that refine confidence maps and part affinity fields of all people.

    Layers are named as in the published weights, Caffe's and their PyTorch port's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _trunk()
        self.fields = nn.ModuleList(_stage(index, NUM_FIELDS, "L1") for index in range(_NUM_STAGES))
        self.heat = nn.ModuleList(_stage(index, NUM_HEATMAPS, "L2") for index in range(_NUM_STAGES))

    def load_published(self, state_dict: Mapping[str, Tensor]) -> None:
        """Copy published weights, named ``LAYER.weight`` or ``MODULE.LAYER.weight``.

        Raises WeightsError where one is missing or has another shape.
        """
        published = {_layer_name(name): tensor for name, tensor in state_dict.items()}
        for name, own in self.state_dict().items():
            given = published.get(_layer_name(name))
            if given is None or given.shape != own.shape:
                got = "nothing" if given is None else tuple(given.shape)
                raise WeightsError(f"OpenPose's weights have {got} as {_layer_name(name)}, expected {tuple(own.shape)}")
            own.copy_(given)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W), BGR in [-0.5, 0.5], to fields (N, 38, H / 8, W / 8) and heat (N, 19, H / 8, W / 8)."""
        trunk = self.trunk(image)  # (N, 128, H / 8, W / 8)
        x = trunk
        for fields_stage, heat_stage in zip(self.fields, self.heat, strict=True):
            fields, heat = fields_stage(x), heat_stage(x)  # (N, 38, H / 8, W / 8), (N, 19, H / 8, W / 8)
            x = torch.cat([fields, heat, trunk], dim=1)  # (N, 185, H / 8, W / 8)
        return fields, heat.relu()  # the port of the weights has this ReLU; confidences below 0 mean nothing


def _layer_name(parameter: str) -> str:
    """``conv1_1.weight`` for ``trunk.conv1_1.weight``."""
    return ".".join(parameter.split(".")[-2:])


def _trunk() -> nn.Sequential:
    """VGG-19 up to conv4_2, and two layers that narrow it."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    in_channels = 3
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 4), (512, 2)), start=1):
        for index in range(1, depth + 1):
            layers[f"conv{block}_{index}"] = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
            layers[f"relu{block}_{index}"] = nn.ReLU(inplace=True)
            in_channels = width
        if block < 4:
            layers[f"pool{block}"] = nn.MaxPool2d(2)
    for name, width in (("4_3_CPM", 256), ("4_4_CPM", _TRUNK_WIDTH)):
        layers[f"conv{name}"] = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
        layers[f"relu{name}"] = nn.ReLU(inplace=True)
        in_channels = width
    return nn.Sequential(layers)


def _stage(index: int, out_channels: int, branch: str) -> nn.Sequential:
    """One branch of a stage: the first sees the trunk alone, the others what the stage before predicted as well."""
    if index == 0:
        in_channels, hidden, name = _TRUNK_WIDTH, 512, f"conv5_{{}}_CPM_{branch}"
    else:
        in_channels, hidden, name = (
            _TRUNK_WIDTH + NUM_FIELDS + NUM_HEATMAPS,
            128,
            f"Mconv{{}}_stage{index + 1}_{branch}",
        )
    kernels = (7, 7, 7, 7, 7, 1, 1) if index else (3, 3, 3, 1, 1)
    widths = [in_channels] + [128] * (len(kernels) - 2) + [hidden, out_channels]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, kernel in enumerate(kernels, start=1):
        if number > 1:
            layers[f"relu{number - 1}"] = nn.ReLU(inplace=True)
        layers[name.format(number)] = nn.Conv2d(widths[number - 1], widths[number], kernel, padding=kernel // 2)
    return nn.Sequential(layers)
