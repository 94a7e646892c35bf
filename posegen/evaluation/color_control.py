"""Does a code change the colour of its garment, and of nothing else?

Codes are swapped for those of painted frames, or found for random colours, and the frames compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.color.garment_segmentation import garment_labels
from posegen.color.palette import sample_ab
from posegen.datasets.clip_files import Clip, ClipFile, RecoloringFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.evaluation.reconstruction import Measure, flicker, gather, reconstruct, score_frames
from posegen.inference.color_matching import match_colors
from posegen.inference.person import Person, garments_of, person_of_clip, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.metrics.color import areas_beside, hit, leakage, mean_ab, share_of_way, texture_kept
from posegen.metrics.latent import code_sensitivity
from posegen.metrics.temporal import implied_flow
from posegen.samples import REGIONS, usable_rows

_LEAST_WAY = 15.0  # units of (a, b): a shorter way cannot be told from the encoders' errors
_LEAK_NAMES = {"other_garment": "leakage_other", "skin": "leakage_skin", "background": "background_delta_e"}


class Swap(NamedTuple):
    """Another colour for a garment of a clip."""

    region: str
    """The garment: ``upper`` or ``lower``."""
    image: np.ndarray
    """(H, W, 3) uint8, the content frame as it was painted: the garment's other code is read from it."""
    target: np.ndarray
    """(2,) mean a and b that the garment is to have, as in the painted frames."""


@dataclass(frozen=True)
class Subject:
    """A clip to be recoloured: all that does not depend on who draws it."""

    clip: Clip
    content: Person
    labels: np.ndarray
    """(T, H, W) of `garment_labels`."""
    swaps: list[Swap]


@dataclass(frozen=True)
class SwapResult:
    """What one swap of a garment's code did to a clip."""

    region: str
    start: tuple[float, float]
    """Mean (a, b) of the garment as drawn with the clip's own code."""
    end: tuple[float, float]
    """The same with the other code."""
    target: tuple[float, float]
    """Mean (a, b) that it was to have: that of the painted frames, or what was asked for."""
    share: float
    """How far of the way from start to target the garment went; 1 is there."""
    hit: float
    """CIEDE2000 from the garment to the target at the garment's own L; 0 is there."""
    leakage: dict[str, float]
    """Mean CIEDE2000 of ``other_garment``, ``skin`` and ``background``, those that the clip shows."""
    texture: float
    """Correlation of the gradients of L with those before, in [-1, 1]; NaN where the garment was flat."""
    sensitivity: float
    """Mean change of a channel, in [0, 1], per unit between the codes; NaN where both codes are equal."""


def open_subject(file: ClipFile, clip: Clip, variants: RecoloringFile, count: int) -> Subject:
    """Prepare swaps to the first `count` painted variants of a clip, for each garment that it shows.

    `clip` is what `file` holds, or an excerpt from its beginning.
    """
    labels = garment_labels(clip.images, clip.keypoints, clip.masks)
    garments = {region: labels == index + 1 for index, region in enumerate(REGIONS)}
    row = int(usable_rows(file)[0])
    swaps = []
    for variant in range(1, min(count + 1, variants.num_recolorings)):  # 0 is the original
        painted = np.stack([variants.image(frame, variant) for frame in range(len(clip))])
        image = variants.image(row, variant)
        swaps += [
            Swap(region, image, mean_ab(painted, garment))
            for region, garment in garments.items()
            if _is_more_than_outline(garment)
        ]
    return Subject(clip, person_of_clip(file), labels, swaps)


def open_excerpts(dataset: ClipDataset, split: Split, *, count: int = 2, num_frames: int = 8) -> list[Subject]:
    """Prepare what is quickly measured after every epoch: the beginning of a clip of each person.

    Each garment is swapped once, to the painted colour that is farthest from its own.

    Args:
        dataset: With colour variants of scope ``clip`` and region ``both``.
        split: Where the clips are from.
        count: Persons at most.
        num_frames: Frames of each clip at most; clips of one frame and those without a usable pose are passed over.
    """
    of_person: dict[str, ClipFile] = {}
    for file in dataset.split(split):
        if file.info.num_frames > 1 and len(usable_rows(file)):
            of_person.setdefault(file.info.person, file)
    excerpts = []
    for file in list(of_person.values())[:count]:
        variants = dataset.variants("clip", "both", file)
        subject = open_subject(file, _beginning(file.read(), num_frames), variants, variants.num_recolorings)
        excerpts.append(replace(subject, swaps=_farthest_swaps(subject)))
    return excerpts


def swap_codes(synthesizer: VideoSynthesizer, subject: Subject, before: np.ndarray) -> list[SwapResult]:
    """Draw a clip with other codes, one garment at a time, and measure what became of it.

    `before` (T, H, W, 3) is how it is drawn in its own colours. Swaps whose colours lie closer than 15 units of
    (a, b) are left out: nothing can be told from them.
    """
    own = synthesizer.encode(subject.content.image)
    results = []
    for swap in subject.swaps:
        garment = subject.labels == REGIONS.index(swap.region) + 1
        if np.linalg.norm(swap.target - mean_ab(before, garment)) < _LEAST_WAY:
            continue
        parts = list(synthesizer.split(own))
        index = REGIONS.index(swap.region)
        parts[index] = synthesizer.split(synthesizer.encode(swap.image))[index]
        other = torch.cat(parts)
        after = np.stack(list(synthesizer.frames(subject.content, subject.clip.keypoints, other)))
        results.append(_measure(subject, swap, before, after, _sensitivity(before, after, own, other)))
    return results


def match_target_colors(
    synthesizer: VideoSynthesizer, subject: Subject, before: np.ndarray, count: int, seed: int = 0
) -> list[SwapResult]:
    """Ask for `count` random colours of each garment, with codes corrected by `match_colors`, and measure as for swaps.

    The colours are such as a display can show at the garment's own lightness.
    """
    rng = np.random.default_rng(seed)
    own = synthesizer.encode(subject.content.image)
    results = []
    content_labels = garments_of(subject.content)
    for number, region in enumerate(REGIONS, start=1):
        shown = (content_labels == number).any() and _is_more_than_outline(subject.labels == number)
        for _ in range(count if shown else 0):
            ab = sample_ab(rng, worn_color(subject.content, region)[0])
            z, _match = match_colors(synthesizer, subject.content, own, {region: ab})
            after = np.stack(list(synthesizer.frames(subject.content, subject.clip.keypoints, z)))
            wish = Swap(region, subject.content.image, np.array(ab))
            results.append(_measure(subject, wish, before, after, _sensitivity(before, after, own, z)))
    return results


def summarize_swaps(recolorings: Sequence[SwapResult]) -> dict[str, float]:
    """Means over the swaps of one clip; what none of them could tell is missing.

    ``recolor_REGION`` (1 is there), ``hit_REGION`` (CIEDE2000), ``texture_REGION``, ``leakage_other``,
    ``leakage_skin``, ``background_delta_e`` (CIEDE2000) and ``code_sensitivity``, see `SwapResult`.
    """
    values = gather(
        {
            f"recolor_{swap.region}": swap.share,
            f"hit_{swap.region}": swap.hit,
            f"texture_{swap.region}": swap.texture,
            "code_sensitivity": swap.sensitivity,
            **{_LEAK_NAMES[area]: change for area, change in swap.leakage.items()},
        }
        for swap in recolorings
    )
    return {name: float(np.mean(of_swaps)) for name, of_swaps in values.items()}


def measure_excerpts(
    synthesizer: VideoSynthesizer, excerpts: Sequence[Subject], measures: Mapping[str, Measure]
) -> dict[str, float]:
    """Means over the excerpts.

    Returns:
        `measures` of the frames as drawn, whole and masked; ``flicker``; what `summarize_swaps` tells of the swaps,
        and ``hit``, the mean of both garments'.
    """
    scores = []
    for subject in excerpts:
        drawn = reconstruct(synthesizer, subject.clip, subject.content)
        flow = implied_flow(subject.clip.keypoints, subject.clip.masks)
        swaps = summarize_swaps(swap_codes(synthesizer, subject, drawn))
        hits = [swaps[f"hit_{region}"] for region in REGIONS if f"hit_{region}" in swaps]
        scores.append(
            {
                **score_frames(subject.clip, drawn, measures, synthesizer.device),
                "flicker": flicker(drawn, flow),
                **swaps,
                **({"hit": float(np.mean(hits))} if hits else {}),
            }
        )
    return {name: float(np.mean(values)) for name, values in gather(scores).items()}


def _measure(subject: Subject, swap: Swap, before: np.ndarray, after: np.ndarray, sensitivity: float) -> SwapResult:
    number = REGIONS.index(swap.region) + 1
    garment = subject.labels == number
    start, end = mean_ab(before, garment), mean_ab(after, garment)
    return SwapResult(
        region=swap.region,
        start=_pair(start),
        end=_pair(end),
        target=_pair(swap.target),
        share=share_of_way(start, end, swap.target),
        hit=hit(after, garment, swap.target),
        leakage=leakage(before, after, areas_beside(number, subject.labels, subject.clip.masks)),
        texture=texture_kept(before, after, garment),
        sensitivity=sensitivity,
    )


def _sensitivity(before: np.ndarray, after: np.ndarray, own: Tensor, other: Tensor) -> float:
    """`code_sensitivity` of a clip whose frames all share one code (Z,)."""
    if torch.equal(own, other):
        return float("nan")
    codes, other_codes = (z.cpu().numpy()[None].repeat(len(before), axis=0) for z in (own, other))
    return code_sensitivity(before, after, codes, other_codes)


def _is_more_than_outline(garment: np.ndarray) -> bool:
    """Whether any frame of (T, H, W) shows more of a garment than its outline, which has no texture to measure."""
    return any(cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)).any() for part in garment)


def _farthest_swaps(subject: Subject) -> list[Swap]:
    """The swap of each garment whose target is farthest from the garment as it is."""
    farthest: dict[str, tuple[float, Swap]] = {}
    for swap in subject.swaps:
        own = mean_ab(subject.clip.images, subject.labels == REGIONS.index(swap.region) + 1)
        way = float(np.linalg.norm(swap.target - own))
        if swap.region not in farthest or way > farthest[swap.region][0]:
            farthest[swap.region] = way, swap
    return [swap for _, swap in farthest.values()]


def _beginning(clip: Clip, count: int) -> Clip:
    """The first frames of a clip."""
    return Clip(
        info=replace(clip.info, num_frames=min(count, len(clip))),
        frames=clip.frames[:count],
        times=clip.times[:count],
        images=clip.images[:count],
        keypoints=clip.keypoints[:count],
        edges=clip.edges[:count],
        masks=clip.masks[:count],
    )


def _pair(ab: np.ndarray) -> tuple[float, float]:
    return float(ab[0]), float(ab[1])
