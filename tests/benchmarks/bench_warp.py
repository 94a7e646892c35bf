"""Speed of feature maps at the paper's size, against plain loops: ``python -m tests.benchmarks.bench_warp``."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable

import cv2
import numpy as np

from posegen.features.feature_map import ContentFeatures, feature_map, target_regions
from posegen.features.parts import limb_quads, part_labels, part_shapes, torso_size
from posegen.features.warp import PartAffines, estimate_affines
from posegen.skeletons import OPENPOSE_18
from tests.support.features import warp_parts

SIZE = (384, 256)
BATCH = 16
TORSO, HEAD = [2, 5, 8, 11], [0, 14, 15, 16, 17, 2, 5]
PERSON = dict(
    zip(
        OPENPOSE_18,
        [
            *[(128, 62), (128, 92), (104, 95), (92, 140), (84, 182), (152, 95), (164, 140), (172, 182)],
            *[(113, 197), (110, 264), (107, 324), (143, 197), (146, 264), (149, 324)],
            *[(122, 55), (134, 55), (114, 58), (142, 58)],
        ],
        strict=True,
    )
)  # fills most of the frame's height, as people do after cropping


def people(seed: int) -> np.ndarray:
    """A batch of standing people (16, 18, 3), each joint moved by about 8 pixels."""
    poses = np.tile(np.column_stack([list(PERSON.values()), np.ones(18)]), (BATCH, 1, 1))
    poses[..., :2] += np.random.default_rng(seed).normal(0, 8, poses[..., :2].shape)
    return poses


def loop_affines(source: np.ndarray, target: np.ndarray) -> list[np.ndarray]:
    """One least-squares problem after the other."""
    matrices = []
    for a, b in zip(source, target, strict=True):
        source_quads, target_quads = (limb_quads(pose, torso_size(pose), 0.3)[0] for pose in (a, b))
        joints = [(a[part, :2], b[part, :2]) for part in (TORSO, HEAD)]
        for y, x in [*joints, *zip(source_quads, target_quads, strict=True)]:
            matrices.append(np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y)[0].T)
    return matrices


def loop_warp(features: np.ndarray, labels: np.ndarray, affines: PartAffines) -> np.ndarray:
    """Equation 1 as it is written: every part over the whole frame."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    merged = np.zeros_like(features)
    for n, feature in enumerate(features):
        for part in range(10):
            masked = feature * labels[n, part][..., None]
            warped = cv2.warpAffine(masked, affines.matrices[n, part], SIZE[::-1], flags=flags)
            np.maximum(merged[n], warped, out=merged[n])
    return merged


def roi_warp(features: np.ndarray, labels: np.ndarray, affines: PartAffines) -> list[np.ndarray]:
    """`warp_parts` of every sample."""
    samples = zip(features, labels, *affines, strict=True)
    return [warp_parts(feature, label, PartAffines(*rest)) for feature, label, *rest in samples]


def milliseconds(function: Callable[[], object], repeats: int = 15) -> float:
    """Shortest time of a call, which other work on the machine disturbs least."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def report(name: str, ours: float, loop: float) -> None:
    print(f"{name:<44}{ours:9.2f} ms   loop {loop:9.2f} ms   {loop / ours:6.1f}×")


def bench_affines() -> None:
    source, target = people(0), people(1)
    difference = estimate_affines(source, target).matrices.reshape(-1, 2, 3) - loop_affines(source, target)
    ours = milliseconds(lambda: estimate_affines(source, target), 50)
    report(f"affines of 10 parts × {BATCH} frames", ours, milliseconds(lambda: loop_affines(source, target)))
    print(f"  largest difference {np.abs(difference).max():.1e}")


def bench_warp() -> None:
    source, target = people(0), people(1)
    features = np.random.default_rng(2).random((BATCH, *SIZE, 4), np.float32)
    labels = np.stack([part_labels(pose, np.ones(SIZE, bool)) for pose in source])
    affines = estimate_affines(source, target)
    expected = loop_warp(features, labels, affines)
    loop = milliseconds(lambda: loop_warp(features, labels, affines), 5)
    ours = milliseconds(lambda: roi_warp(features, labels, affines), 5)
    report(f"warp of {BATCH} maps, CPU, inside regions", ours, loop)
    print(f"  largest difference {np.abs(np.stack(roi_warp(features, labels, affines)) - expected).max():.1e}")


def bench_frame() -> None:
    source, target = people(0)[0], people(1)[0]
    edges = np.random.default_rng(3).integers(0, 256, SIZE, np.uint8)
    mask = np.logical_or.reduce(part_shapes(source, SIZE))
    content = ContentFeatures(source, edges, mask)
    affines = estimate_affines(source, target)
    steps = {
        "feature_map": lambda: feature_map(source, edges),
        "ContentFeatures": lambda: ContentFeatures(source, edges, mask),
        "ContentFeatures.merge": lambda: content.merge(target, affines),
        "target_regions": lambda: target_regions(target, SIZE),
    }
    for name, step in steps.items():
        print(f"{name:<44}{milliseconds(step, 50):9.2f} ms a frame")


def main() -> None:
    """Print times and their ratios to plain loops, on one core."""
    cv2.setNumThreads(1)
    bench_affines()
    bench_warp()
    bench_frame()


if __name__ == "__main__":
    main()
