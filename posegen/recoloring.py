"""Does a code change the colour of its garment, and of nothing else? Codes are swapped and the frames compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posegen.clips import Clip, ClipFile, VariantFile
from posegen.color.garments import garment_labels
from posegen.generate import VideoSynthesizer, content_of
from posegen.metrics.color import mean_ab, mean_change, share_of_way
from posegen.samples import REGIONS, usable_rows

_LEAST_WAY = 15.0  # units of (a, b): a shorter way cannot be told from the encoders' errors


@dataclass(frozen=True)
class Recoloring:
    """What one swap of a garment's code did to a clip."""

    region: str
    start: tuple[float, float]
    """Mean (a, b) of the garment as drawn with the clip's own code."""
    end: tuple[float, float]
    """The same with the other code."""
    target: tuple[float, float]
    """Mean (a, b) of the garment in the painted frames that the other code was read from."""
    share: float
    """How far of the way from start to target the garment went; 1 is there."""
    background_change: float
    """Mean CIEDE2000 of the pixels outside the person."""


def swap_codes(
    synthesizer: VideoSynthesizer,
    file: ClipFile,
    clip: Clip,
    before: np.ndarray,
    variants: VariantFile,
    count: int = 3,
) -> list[Recoloring]:
    """Draw a clip with the codes of its first `count` painted variants, one garment at a time, and measure.

    `clip` is what `file` holds and `before` (T, H, W, 3) how it is drawn in its own colours: `score_clip` gives both.
    Swaps whose colours lie closer than 15 units of (a, b) are left out: nothing can be told from them.
    """
    content, row = content_of(file), int(usable_rows(file)[0])
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    background = clip.masks == 0
    own = synthesizer.encode(content.image)
    results = []
    for index, region in enumerate(REGIONS):
        garment = labels == index + 1
        if not garment.any():
            continue
        start = mean_ab(before, garment)
        for variant in range(1, min(count + 1, variants.num_variants)):  # 0 is the original
            painted = np.stack([variants.image(frame, variant) for frame in range(len(clip))])
            target = mean_ab(painted, garment)
            if np.linalg.norm(target - start) < _LEAST_WAY:
                continue
            parts = list(synthesizer.split(own))
            parts[index] = synthesizer.split(synthesizer.encode(painted[row]))[index]
            after = np.stack(list(synthesizer.frames(content, clip.keypoints, torch.cat(parts))))
            end = mean_ab(after, garment)
            results.append(
                Recoloring(
                    region,
                    _pair(start),
                    _pair(end),
                    _pair(target),
                    share_of_way(start, end, target),
                    mean_change(before, after, background),
                )
            )
    return results


def _pair(ab: np.ndarray) -> tuple[float, float]:
    return float(ab[0]), float(ab[1])
