"""MediaPipe's selfie segmentation: the person's pixels from the frame alone, also where no pose is found."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.io.video_reader import Footage
from posegen.perception import Poses
from posegen.perception.tflite import TFLite
from posegen.weights import download as weights

_SIZE = 256


def clean_mask(probability: np.ndarray) -> np.ndarray:
    """Return the one person in a map of probabilities × 255: (H, W) uint8 in, (H, W) uint8, 0 or 255, out.

    Pixels above one half, with cracks closed by a 3×3 element, reduced to their largest connected component.
    """
    likely = (probability > 127).astype(np.uint8)
    closed = cv2.morphologyEx(likely, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    if count < 2:  # background alone
        return np.zeros_like(probability)
    largest = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    return np.where(labels == largest, 255, 0).astype(np.uint8)


class Selfie:
    """Person segmenter that needs no pose."""

    def __init__(self) -> None:
        self._network = TFLite(weights.path("selfie"))

    def __call__(self, footage: Footage, poses: Poses) -> np.ndarray:
        """Return (T, H, W) uint8 masks, 0 or 255; `poses` are not used."""
        return np.stack([clean_mask(self.probability(image)) for image in footage.images])

    def probability(self, image: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8 probability × 255 of the person in one frame (H, W, 3) uint8 RGB."""
        # The network was trained on whole frames squeezed into its square, not on padded ones.
        square = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        small = self._network(square / np.float32(255))["activation_10"][..., 0]
        return cv2.resize((small * 255).round().clip(0, 255).astype(np.uint8), image.shape[1::-1])
