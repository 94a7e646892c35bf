"""The colouring network of "Real-Time User-Guided Image Colorization" (Zhang et al., 2017, arXiv:1705.02999)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from posegen.errors import WeightsError
from posegen.networks.layers import check_divisible
from posegen.networks.synced_norm import SyncedBatchNorm2d
from posegen.weights import download as weights

AB_SCALE = 110.0
"""a and b of 1 in the network's units."""
NUM_BINS = 529
"""23 × 23 bins of 10 units, from -110 to 110, over a and b."""

_BINS_PER_AXIS, _BIN_SIZE = 23, 10.0
_STRIDE = 8


class SIGGRAPH17(nn.Module):
    """Colours a gray picture, following hints.

    Layers have their published names. What the published weights take for a mask without hints is 0 for some files
    and −0.5 for others; a wrong pairing makes hints nearly without effect. `mask_cent` is therefore part of the
    state: weights without it do not load, and callers always give a mask of 0 and 1.

    Args:
        width: Channels of the first layer; 64 is the paper's.
        mask_cent: What is subtracted from the mask.
    """

    def __init__(self, width: int = 64, mask_cent: float = 0.0):
        super().__init__()
        w1, w2, w3, w4 = width, 2 * width, 4 * width, 8 * width
        self.register_buffer("mask_cent", torch.tensor(float(mask_cent)))
        self.model1 = _convs([4, w1, w1])
        self.model2 = _convs([w1, w2, w2])
        self.model3 = _convs([w2, w3, w3, w3])
        self.model4 = _convs([w3, w4, w4, w4])
        self.model5 = _convs([w4, w4, w4, w4], dilation=2)
        self.model6 = _convs([w4, w4, w4, w4], dilation=2)
        self.model7 = _convs([w4, w4, w4, w4])
        self.model8up = nn.Sequential(nn.ConvTranspose2d(w4, w3, 4, stride=2, padding=1))
        self.model8 = nn.Sequential(nn.ReLU(), *_convs([w3, w3, w3]))
        self.model9up = nn.Sequential(nn.ConvTranspose2d(w3, w2, 4, stride=2, padding=1))
        self.model9 = nn.Sequential(nn.ReLU(), *_convs([w2, w2]))
        self.model10up = nn.Sequential(nn.ConvTranspose2d(w2, w2, 4, stride=2, padding=1))
        self.model10 = nn.Sequential(nn.ReLU(), nn.Conv2d(w2, w2, 3, padding=1), nn.LeakyReLU(0.2))
        self.model3short8 = nn.Sequential(nn.Conv2d(w3, w3, 3, padding=1))
        self.model2short9 = nn.Sequential(nn.Conv2d(w2, w2, 3, padding=1))
        self.model1short10 = nn.Sequential(nn.Conv2d(w1, w2, 3, padding=1))
        self.model_class = nn.Sequential(nn.Conv2d(w3, NUM_BINS, 1))
        self.model_out = nn.Sequential(nn.Conv2d(w2, 2, 1), nn.Tanh())

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> SIGGRAPH17:
        """Build the network of its weights, in evaluation mode; tensors that it has no place for are dropped.

        Raises WeightsError where a weight, or the `mask_cent` that belongs to the weights, is missing.
        """
        if "mask_cent" not in state or "model1.0.weight" not in state:
            raise WeightsError(
                f"got {len(state)} tensors without mask_cent or model1.0.weight, expected the weights of SIGGRAPH17 "
                "together with their mask_cent, as `posegen weights provide` keeps them"
            )
        network = cls(width=len(state["model1.0.weight"]))
        known = network.state_dict().keys()
        missing = sorted(name for name in known - state.keys() if not name.endswith("num_batches_tracked"))
        if missing:
            raise WeightsError(f"the weights of SIGGRAPH17 lack {missing[0]} and {len(missing) - 1} others")
        # Files from before BatchNorm counted its batches lack the counts, which only training needs.
        network.load_state_dict({name: tensor for name, tensor in state.items() if name in known}, strict=False)
        return network.eval()

    @classmethod
    def pretrained(cls, name: str = "siggraph17") -> SIGGRAPH17:
        """Load weights of the table `posegen.weights.registry`. Raises WeightsError where they cannot be had."""
        with weights.loaded(name) as tensors:
            return cls.from_state_dict(tensors)

    def check_size(self, size: Sequence[int]) -> None:
        """Raise PosegenError unless height and width are multiples of 8."""
        check_divisible(size, multiple=_STRIDE, minimum=_STRIDE)

    def forward(self, lightness: Tensor, ab: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Colour a batch.

        Args:
            lightness: (N, 1, H, W), (L − 50) / 100.
            ab: (N, 2, H, W), a / 110 and b / 110 of the hints, 0 elsewhere.
            mask: (N, 1, H, W), 1 at hints, 0 elsewhere.

        Returns:
            Logits (N, 529, H/4, W/4) of the bins of `color_bins`, and a / 110 and b / 110 (N, 2, H, W) in (−1, 1).
        """
        self.check_size(lightness.shape[-2:])
        x = torch.cat([lightness, ab, mask - self.get_buffer("mask_cent")], dim=1)  # (N, 4, H, W)
        conv1 = self.model1(x)  # (N, C, H, W)
        conv2 = self.model2(conv1[..., ::2, ::2])  # (N, 2C, H/2, W/2)
        conv3 = self.model3(conv2[..., ::2, ::2])  # (N, 4C, H/4, W/4)
        conv4 = self.model4(conv3[..., ::2, ::2])  # (N, 8C, H/8, W/8)
        conv7 = self.model7(self.model6(self.model5(conv4)))  # (N, 8C, H/8, W/8)
        conv8 = self.model8(self.model8up(conv7) + self.model3short8(conv3))  # (N, 4C, H/4, W/4)
        conv9 = self.model9(self.model9up(conv8) + self.model2short9(conv2))  # (N, 2C, H/2, W/2)
        conv10 = self.model10(self.model10up(conv9) + self.model1short10(conv1))  # (N, 2C, H, W)
        return self.model_class(conv8), self.model_out(conv10)  # (N, 529, H/4, W/4), (N, 2, H, W)


def color_bins(ab: Tensor) -> Tensor:
    """Bins (N, H, W) int64 in [0, 528] of colours (N, 2, H, W) in units of 110; a is the slower index."""
    index = ((ab * AB_SCALE + AB_SCALE) / _BIN_SIZE).round().long().clamp(0, _BINS_PER_AXIS - 1)  # (N, 2, H, W)
    return index[:, 0] * _BINS_PER_AXIS + index[:, 1]


def _convs(channels: Sequence[int], dilation: int = 1) -> nn.Sequential:
    """3×3 convolutions with ReLU, and one norm behind the last."""
    layers: list[nn.Module] = []
    for i in range(len(channels) - 1):
        layers += [nn.Conv2d(channels[i], channels[i + 1], 3, padding=dilation, dilation=dilation), nn.ReLU()]
    return nn.Sequential(*layers, SyncedBatchNorm2d(channels[-1]))
