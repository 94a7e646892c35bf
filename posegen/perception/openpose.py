"""OpenPose: the joints of everyone, bottom-up, and of them the clip's person (Cao et al., 2017, arXiv:1611.08050).

The weights are the user's: the published ones may not be handed on, and are for non-commercial research alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch

from posegen.errors import PerceptionError
from posegen.io.video_reader import Footage
from posegen.networks.device import default_device
from posegen.networks.openpose import NUM_FIELDS, NUM_HEATMAPS, NUM_JOINTS, STRIDE, OpenposeNetwork
from posegen.perception import Poses
from posegen.perception.keypoint_maps import drop_outside
from posegen.perception.openpose_decoding import People, brightest_person, decode_people
from posegen.perception.smoothing import smooth
from posegen.weights import download as weights

BOX_HEIGHT = 368
"""Rows of the image that the network sees at scale 1: those of the people that it was trained on, and some more."""
SCALES = (0.5, 1.0, 1.5, 2.0)
"""Scales whose maps are averaged."""
_NUM_MAPS = NUM_HEATMAPS + NUM_FIELDS


class MapNetwork(Protocol):
    """A network that predicts confidence maps and part affinity fields."""

    scales: Sequence[float]
    """Of the image, whose maps are averaged."""
    multiple: int
    """Height and width of its input must be multiples of this."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB to (H / 8, W / 8, 57): 18 joints, the background, x and y of 19 limbs."""


class TorchMaps:
    """The published network, from the tensors of its PyTorch port."""

    multiple: int = STRIDE

    def __init__(self, tensors: dict[str, torch.Tensor], scales: Sequence[float] = SCALES):
        self.scales = scales
        self._device = default_device()
        self._network = OpenposeNetwork()
        self._network.load_published(tensors)
        self._network.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        bgr = torch.from_numpy(image).to(self._device).flip(2).permute(2, 0, 1)[None]  # (1, 3, H, W)
        fields, heat = self._network(bgr / 256 - 0.5)
        return torch.cat([heat, fields], dim=1)[0].permute(1, 2, 0).cpu().numpy()


class OnnxMaps:
    """A smaller network with the same output, from the bytes of an ONNX file. It sees BGR in [-1, 1], at one scale.

    Raises PerceptionError for a network with other outputs, and where onnxruntime is not installed.
    """

    multiple: int = 2 * STRIDE
    scales: Sequence[float] = (1.0,)

    def __init__(self, model: bytes):
        try:
            import onnxruntime  # an optional dependency
        except ImportError as error:
            raise PerceptionError(
                "OpenPose's ONNX file needs onnxruntime: install with `pip install 'posegen[openpose]'`"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a pipeline runs a backend per core
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 4 or shape[1] != _NUM_MAPS:
            raise PerceptionError(f"OpenPose's ONNX file gives {shape}, expected [1, {_NUM_MAPS}, H / 8, W / 8]")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        bgr = image[..., ::-1].transpose(2, 0, 1)[None] / np.float32(127.5) - 1  # (1, 3, H, W)
        return self._session.run(None, {self._input: bgr})[0][0].transpose(1, 2, 0)


def load_network() -> MapNetwork:
    """Load what the user provided as ``openpose``. Raises WeightsError if that is nothing, saying what to do."""
    with weights.loaded("openpose") as tensors:
        return OnnxMaps(tensors["onnx"].numpy().tobytes()) if "onnx" in tensors else TorchMaps(tensors)


def find_people(network: MapNetwork, image: np.ndarray) -> People:
    """Find everyone in an image (H, W, 3) uint8 RGB, in its pixels.

    If the joints found do not connect to anyone, the brightest of each kind, if there are enough, are one person.
    """
    maps = average_maps(network, image)
    people = decode_people(maps[..., :NUM_JOINTS], maps[..., NUM_HEATMAPS:])
    if not len(people.scores):
        people = brightest_person(maps[..., :NUM_JOINTS])
    scale = np.divide(image.shape[1::-1], maps.shape[1::-1])
    keypoints = people.keypoints.copy()
    keypoints[..., :2] = (keypoints[..., :2] + 0.5) * scale - 0.5  # a pixel's centre is half a pixel from its edge
    keypoints[people.keypoints[..., 2] == 0] = 0
    return People(keypoints, people.scores)


def average_maps(network: MapNetwork, image: np.ndarray) -> np.ndarray:
    """Return the maps (368, W', 57) of an image (H, W, 3), averaged over the network's scales.

    Rounding sizes up to what the network takes stretches the image by some percent, and needs no padding.
    """
    size = _input_size(image, 1.0, network.multiple)
    maps = [network(_resize(image, _input_size(image, scale, network.multiple))) for scale in network.scales]
    resized = [cv2.resize(part, size, interpolation=cv2.INTER_CUBIC) for part in maps]
    return np.mean(resized, axis=0)


def _input_size(image: np.ndarray, scale: float, multiple: int) -> tuple[int, int]:
    """Width and height that the network sees the image at."""
    height = scale * BOX_HEIGHT
    sides = (height * image.shape[1] / image.shape[0], height)
    columns, rows = (math.ceil(side / multiple) * multiple for side in sides)
    return columns, rows


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinks = size[1] < image.shape[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def pick_person(frames: Iterable[People]) -> np.ndarray:
    """Pick one person's keypoints (T, 18, 3) out of those of everyone in T frames.

    It is the one with the highest score in the first frame that shows anyone, and then the one with the highest
    product of score and overlap (intersection over union) with the box around where it was seen last.
    """
    followed = []
    last: np.ndarray | None = None
    for people in frames:
        keypoints = np.zeros((NUM_JOINTS, 3))
        boxes = [_box(pose) for pose in people.keypoints]
        ranks = [
            score * (1.0 if last is None else _overlap(last, box))
            for score, box in zip(people.scores, boxes, strict=True)
        ]
        if ranks and max(ranks) > 0:
            best = int(np.argmax(ranks))
            keypoints, last = people.keypoints[best], boxes[best]
        followed.append(keypoints)
    return np.stack(followed)


def _box(pose: np.ndarray) -> np.ndarray:
    """Corners x0, y0, x1, y1 around the joints that were seen."""
    seen = pose[pose[:, 2] > 0, :2]
    return np.concatenate([seen.min(axis=0), seen.max(axis=0)]) if len(seen) else np.zeros(4)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    intersection = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - intersection
    return float(intersection / max(union, 1e-9))


class Openpose:
    """Pose estimator with OpenPose's own network, or one that predicts the same maps."""

    def __init__(self, network: MapNetwork | None = None) -> None:
        self._network = network or load_network()

    def __call__(self, footage: Footage) -> Poses:
        """Return smoothed poses, and as scores the mean confidences of the joints that were seen."""
        keypoints = pick_person(find_people(self._network, image) for image in footage.images)
        confidence = keypoints[..., 2]  # (T, 18)
        scores = confidence.sum(axis=1) / np.maximum((confidence > 0).sum(axis=1), 1)
        height, width = footage.images.shape[1:3]
        smoothed = smooth(drop_outside(keypoints, height, width))
        return Poses(smoothed.astype(np.float32), scores.astype(np.float32))
