"""Recolouring of clothes by a network that takes hints, beside the shift in LAB of `posegen.color.recoloring`.

Hints on the body give the colours. The network spreads them over folds and patterns as it has learned from real
pictures, and need not reach them exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from safetensors.torch import save
from torch.nn import functional as F

from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.hints import body_hints
from posegen.color.lab import into_gamut, lab_to_rgb, rgb_to_lab
from posegen.color.recoloring import ClipColorPlan, ColorPlan, RecoloredFrame, feather
from posegen.errors import ConfigError
from posegen.networks.device import default_device
from posegen.networks.siggraph17 import AB_SCALE, SIGGRAPH17
from posegen.stages import Colorizer

_MULTIPLE = 8  # of the height and width of the network's input

PUBLISHED_COLORIZERS = ("siggraph17", "siggraph17-retrained")
"""Names, in `posegen.weights.registry`, of published weights."""


def load_colorizer(name: str) -> SIGGRAPH17:
    """Load the network of a run of the stage colorizer, or one of `PUBLISHED_COLORIZERS`.

    Raises CheckpointError where there is no such run, and WeightsError where published weights are not at hand.
    """
    if name in PUBLISHED_COLORIZERS:
        return SIGGRAPH17.pretrained(name)
    return load_stage(find_checkpoint(name), Colorizer).network


class HintRecolorer:
    """Recolours clips with one network; `identity` is a SHA-256 of its weights.

    Args:
        network: In evaluation mode.
    """

    def __init__(self, network: SIGGRAPH17):
        # The state holds the scale of the mask, too, on which the pictures depend as on the weights.
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        self.identity = hashlib.sha256(save(tensors)).hexdigest()
        self._device = default_device()
        self._network = network.to(self._device)

    def recolor_clip(
        self, images: np.ndarray, garments: np.ndarray, keypoints: np.ndarray, plan: ClipColorPlan
    ) -> Iterator[RecoloredFrame]:
        """Recolour a clip as `posegen.color.recoloring.recolor_clip` does, one frame at a time.

        Args:
            images: (T, H, W, 3) uint8 RGB.
            garments: (T, H, W) uint8 labels, as from `garment_labels`.
            keypoints: (T, 18, 3) OpenPose-18.
            plan: As from `plan_clip`.

        Raises:
            ConfigError: There are not as many keypoints as images.
        """
        if len(keypoints) != len(images):
            raise ConfigError(f"got keypoints {keypoints.shape}, expected ({len(images)}, 18, 3) like the images")
        for frame, recolorings in plan:
            yield from self._recolor(images[frame], keypoints[frame], garments[frame], recolorings)

    def _recolor(
        self, image: np.ndarray, keypoints: np.ndarray, garments: np.ndarray, recolorings: Sequence[ColorPlan]
    ) -> Iterator[RecoloredFrame]:
        """Carry out the recolorings of one frame, all in one batch."""
        regions = {label: feather(garments == label) for label in (UPPER, LOWER)}
        lab = rgb_to_lab(image)
        colors = [
            {
                label: color if regions[label].any() else None
                for label, color in ((UPPER, planned.upper_ab), (LOWER, planned.lower_ab))
            }
            for planned in recolorings
        ]
        hints = np.stack([body_hints(lab[..., 1:], keypoints, garments, chosen) for chosen in colors])
        for planned, chosen, ab in zip(recolorings, colors, self.colorize(lab[..., 0], hints), strict=True):
            weight = sum((regions[label] for label in chosen if chosen[label] is not None), np.zeros(lab.shape[:2]))
            recolored = blend_colors(image, ab, weight)
            yield RecoloredFrame(
                planned.frame, planned.recoloring, chosen[UPPER], chosen[LOWER], planned.seed, recolored
            )

    @torch.inference_mode()
    def colorize(self, lightness: np.ndarray, hints: np.ndarray) -> np.ndarray:
        """Predict the colours of one picture for several sets of hints.

        Args:
            lightness: (H, W), L in [0, 100]; of any size.
            hints: (N, H, W, 3), as from `posegen.color.hints`.

        Returns:
            a and b, (N, H, W, 2) float32.
        """
        height, width = lightness.shape
        margin = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        given = torch.from_numpy(hints).to(self._device).permute(0, 3, 1, 2)  # (N, 3, H, W)
        gray = torch.from_numpy((lightness - 50) / 100).to(given).expand(len(hints), 1, -1, -1)  # (N, 1, H, W)
        gray, given = (F.pad(x, margin, mode="replicate") for x in (gray, given))
        _, ab = self._network(gray, given[:, :2] / AB_SCALE, given[:, 2:])  # (N, 2, H, W)
        return (AB_SCALE * ab[..., :height, :width]).permute(0, 2, 3, 1).cpu().numpy()


def blend_colors(image: np.ndarray, ab: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blend other colours into a part of a picture, keeping its lightness.

    Args:
        image: (H, W, 3) uint8 RGB.
        ab: (H, W, 2), the other a and b; colours out of the display's gamut lose chroma.
        weight: (H, W) in [0, 1], their share in each pixel.

    Returns:
        (H, W, 3) uint8; byte-identical to `image` where `weight` is 0.
    """
    inside = weight > 0
    lab = rgb_to_lab(image[inside])
    lab[:, 1:] += weight[inside, None] * (ab[inside] - lab[:, 1:])
    blended = image.copy()
    blended[inside] = np.rint(lab_to_rgb(into_gamut(lab)) * 255).astype(np.uint8)
    return blended
