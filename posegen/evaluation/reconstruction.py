"""The reconstruction protocol of Yang et al. (2020), Section 4.3: render a clip from its first frame, and compare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posegen.datasets.clip_files import Clip, ClipFile
from posegen.inference.person import Person, person_of_clip
from posegen.inference.renderers import VideoRenderer
from posegen.metrics.image import MS_SSIM_MIN_SIZE, masked, ms_ssim, ssim
from posegen.metrics.temporal import ImpliedFlow, implied_flow, tlpips, warp_error

Measure = Callable[[Tensor, Tensor], Tensor]
"""From two batches of images (N, 3, H, W) in [0, 1] to one number each, (N,)."""

_CHUNK = 16  # frames measured together


@dataclass(frozen=True)
class ClipScores:
    """Scores of one clip."""

    clip_id: str
    num_frames: int
    """Frames that were compared: all but the first, which is the content image."""
    means: dict[str, float]
    """Means over these frames by metric, ``…_masked`` with both images black outside the true mask; ``flicker`` of the
    rendered and ``flicker_real`` of the real clip, NaN if poses and mask explain no pixel; and ``t_NAME``, tLPIPS by
    the distance NAME. Metrics of time use all pairs of neighbouring frames, including that of the first frame."""


def structural_measures(size: tuple[int, int]) -> dict[str, Measure]:
    """Return MS-SSIM for frames that are large enough for its five scales, and SSIM, under its own name, for others."""
    return {"ms_ssim": ms_ssim} if min(size) >= MS_SSIM_MIN_SIZE else {"ssim": ssim}


def reconstruct_clip(renderer: VideoRenderer, clip: Clip, content: Person) -> np.ndarray:
    """Render all frames of a clip from its content frame, in its own colours: uint8 (T, H, W, 3)."""
    return np.stack(list(renderer.frames(content, clip.keypoints)))


def score_clip(
    renderer: VideoRenderer, file: ClipFile, measures: Mapping[str, Measure], perceptual: Collection[str] = ()
) -> tuple[ClipScores, Clip, np.ndarray]:
    """Reconstruct a clip and measure it, frame by frame and in time.

    Args:
        renderer: Renders the frames.
        file: The clip, of two frames or more.
        measures: Metrics of two pictures, by name.
        perceptual: Names of those measures by which tLPIPS is computed, too.

    Returns:
        The scores, the clip and the reconstruction (T, H, W, 3).
    """
    clip = file.read()
    rendered = reconstruct_clip(renderer, clip, person_of_clip(file))
    means = score_frames(clip, rendered, measures, renderer.device)
    means |= _score_time(clip, rendered, {name: measures[name] for name in perceptual}, renderer.device)
    return ClipScores(clip.info.clip_id, len(clip) - 1, means), clip, rendered


def flicker(frames: np.ndarray, flow: ImpliedFlow) -> float:
    """Compute `warp_error` of uint8 frames (T, H, W, 3), in [0, 1]; NaN where the flow is valid for no pixel."""
    return warp_error(frames, flow.offsets, flow.valid) if flow.valid.any() else float("nan")


def gather(scores: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Collect the finite values of each metric, over the scores that have it."""
    values: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.items():
            if np.isfinite(value):
                values.setdefault(name, []).append(value)
    return values


def score_frames(
    clip: Clip, rendered: np.ndarray, measures: Mapping[str, Measure], device: torch.device
) -> dict[str, float]:
    """Average each measure over all frames but the first, and as ``…_masked`` with the background black."""
    values: dict[str, list[np.ndarray]] = {}
    for start in range(1, len(clip), _CHUNK):
        rows = slice(start, start + _CHUNK)
        real, fake = (_to_unit(images[rows], device) for images in (clip.images, rendered))
        mask = torch.from_numpy(clip.masks[rows] > 127)[:, None].to(device)
        person = masked(fake, real, mask)
        for name, measure in measures.items():
            values.setdefault(name, []).append(measure(fake, real).cpu().numpy())
            values.setdefault(f"{name}_masked", []).append(measure(*person).cpu().numpy())
    return {name: float(np.concatenate(chunks).mean()) for name, chunks in values.items()}


def _score_time(
    clip: Clip, rendered: np.ndarray, perceptual: Mapping[str, Measure], device: torch.device
) -> dict[str, float]:
    flow = implied_flow(clip.keypoints, clip.masks)
    scores = {"flicker": flicker(rendered, flow), "flicker_real": flicker(clip.images, flow)}
    real, fake = (_to_unit(images, device) for images in (clip.images, rendered))
    return scores | {f"t_{name}": tlpips(distance, real, fake) for name, distance in perceptual.items()}


def _to_unit(images: np.ndarray, device: torch.device) -> Tensor:
    """Convert uint8 (N, H, W, 3) to (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255.0
