"""HED edges (Xie and Tu, 2015, "Holistically-Nested Edge Detection", arXiv:1504.06375)."""

from __future__ import annotations

import numpy as np
import torch

from posegen.io.video_reader import Footage
from posegen.networks.device import default_device
from posegen.networks.hed import HEDNetwork
from posegen.weights import download as weights

_BATCH_SIZE = 4  # 0.35 GB of activations at 384 × 256


class HED:
    """Edge detector: soft edges of objects rather than of texture."""

    def __init__(self) -> None:
        self._device = default_device()
        self._network = HEDNetwork()
        with weights.loaded("hed") as tensors:
            self._network.load_state_dict(tensors)
        self._network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, footage: Footage) -> np.ndarray:
        """Return (T, H, W) uint8 P(edge) × 255 of every frame."""
        edges = np.empty(footage.images.shape[:3], np.uint8)
        for start in range(0, len(edges), _BATCH_SIZE):
            images = torch.from_numpy(footage.images[start : start + _BATCH_SIZE]).to(self._device)
            probability = self._network(images.permute(0, 3, 1, 2).float())[:, 0]
            edges[start : start + _BATCH_SIZE] = (probability * 255).round().byte().cpu().numpy()
        return edges
