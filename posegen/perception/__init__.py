"""Ways to see a frame: poses, edges and the person, behind three small protocols.

A backend is one file here and one line in its table. It sees a whole clip at once, so that it may track, smooth
and fill gaps, and it must not change the footage that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from posegen.io.video_reader import Footage
from posegen.weights import download as weights

B = TypeVar("B")


@dataclass(frozen=True)
class Poses:
    """The pose of the clip's person in every frame."""

    keypoints: np.ndarray
    """(T, 18, 3) float32 in OpenPose-18 order: x and y in pixels of the footage, confidence; (0, 0, 0) is missing."""
    scores: np.ndarray
    """(T,) float32 in [0, 1]: how sure the estimator is that it follows a person; 0 where it found nobody."""
    masks: np.ndarray | None = None
    """(T, H, W) uint8 probability × 255 of the person, from estimators that give one on the way."""
    others: np.ndarray = None  # type: ignore[assignment]  # its default, -1 everywhere, depends on T
    """(T,) int16: how many other people of comparable size a frame shows; -1 where nobody looked or could tell."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made, one line each."""

    def __post_init__(self) -> None:
        if self.others is None:
            object.__setattr__(self, "others", np.full(len(self.scores), -1, np.int16))


class PoseEstimator(Protocol):
    """Finds the joints of one person in a clip."""

    def __call__(self, footage: Footage) -> Poses: ...


class EdgeDetector(Protocol):
    """Finds edges: footage in, (T, H, W) uint8 P(edge) × 255 out (white is an edge)."""

    def __call__(self, footage: Footage) -> np.ndarray: ...


class PersonSegmenter(Protocol):
    """Finds the person's pixels: footage and its poses in, (T, H, W) uint8, 0 or 255, out."""

    def __call__(self, footage: Footage, poses: Poses) -> np.ndarray: ...


@dataclass(frozen=True)
class Backend(Generic[B]):
    """A line of a table of backends."""

    make: Callable[[], B]
    """Loads the backend and, before, what it needs: nothing is imported for backends that nobody uses."""
    weights: tuple[str, ...] = ()
    """Names, in `posegen.weights.registry`, of what it runs on."""
    on_gpus: bool = False
    """True if it runs on a GPU, if there is one."""

    def identity(self) -> dict[str, str]:
        """Return the sha256 of each of its weights by name, for the record of a dataset."""
        return {name: weights.identity(name) for name in self.weights}


def _blazepose() -> PoseEstimator:
    from posegen.perception.blazepose import Blazepose

    return Blazepose()


def _blazepose_masks() -> PersonSegmenter:
    from posegen.perception.blazepose import BlazeposeMasks

    return BlazeposeMasks()


def _hed() -> EdgeDetector:
    from posegen.perception.hed import HED

    return HED()


def _openpose() -> PoseEstimator:
    from posegen.perception.openpose import Openpose

    return Openpose()


def _openpose_json() -> PoseEstimator:
    from posegen.perception.openpose_json import OpenposeJson

    return OpenposeJson()


def _rcf() -> EdgeDetector:
    from posegen.perception.rcf import RCF

    return RCF()


def _selfie() -> PersonSegmenter:
    from posegen.perception.selfie import Selfie

    return Selfie()


def _truth() -> PoseEstimator:
    from posegen.perception.ground_truth import TruthPoses

    return TruthPoses()


def _truth_edges() -> EdgeDetector:
    from posegen.perception.ground_truth import TruthEdges

    return TruthEdges()


def _truth_masks() -> PersonSegmenter:
    from posegen.perception.ground_truth import TruthMasks

    return TruthMasks()


_BLAZEPOSE = ("blazepose-detector", "blazepose-landmark")

POSE_ESTIMATORS: dict[str, Backend[PoseEstimator]] = {
    "blazepose": Backend(_blazepose, _BLAZEPOSE),
    "openpose": Backend(_openpose, ("openpose",), on_gpus=True),
    "openpose_json": Backend(_openpose_json),
    "truth": Backend(_truth),
}
"""Ways to find the joints."""

EDGE_DETECTORS: dict[str, Backend[EdgeDetector]] = {
    "hed": Backend(_hed, ("hed",), on_gpus=True),
    "rcf": Backend(_rcf, ("rcf",), on_gpus=True),
    "truth": Backend(_truth_edges),
}
"""Ways to find edges."""

SEGMENTERS: dict[str, Backend[PersonSegmenter]] = {
    "blazepose": Backend(_blazepose_masks, (*_BLAZEPOSE, "selfie")),
    "selfie": Backend(_selfie, ("selfie",)),
    "truth": Backend(_truth_masks),
}
"""Ways to find the person's pixels."""

BACKENDS: dict[str, dict[str, Backend[Any]]] = {"pose": POSE_ESTIMATORS, "edges": EDGE_DETECTORS, "mask": SEGMENTERS}
"""All ways to see, by what is looked for."""
