"""Colour control: does another code change the colour of its garment, and of nothing else?

Codes are swapped for those of recoloured frames, or matched to random colours, and the rendered frames are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.color.garment_segmentation import GarmentMethod
from posegen.color.palette import sample_ab
from posegen.datasets.clip_files import Clip, ClipFile, RecoloringFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.evaluation.reconstruction import Measure, flicker, gather, reconstruct_clip, score_frames
from posegen.inference.color_matching import match_colors
from posegen.inference.person import Person, garments_of, person_of_clip, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.metrics.color import areas_beside, hit, leakage, mean_ab, share_of_way, texture_kept
from posegen.metrics.latent import code_sensitivity
from posegen.metrics.temporal import implied_flow
from posegen.perception.garments import label_garments
from posegen.samples import REGIONS, usable_rows

_LEAST_WAY = 15.0  # units of (a, b): smaller colour changes are within the encoders' errors
_LEAK_NAMES = {"other_garment": "leakage_other", "skin": "leakage_skin", "background": "background_delta_e"}


class Swap(NamedTuple):
    """Another colour for a garment of a clip."""

    region: str
    """The garment: ``upper`` or ``lower``."""
    image: np.ndarray
    """(H, W, 3) uint8, the recoloured content frame: the garment's other code is encoded from it."""
    target: np.ndarray
    """(2,) mean a and b of the garment in the recoloured frames: the target."""


@dataclass(frozen=True)
class ColorControlCase:
    """A clip and the swaps to measure on it: everything that does not depend on the renderer."""

    clip: Clip
    content: Person
    labels: np.ndarray
    """(T, H, W) of `label_garments`."""
    swaps: list[Swap]


@dataclass(frozen=True)
class SwapResult:
    """Change of the rendered clip with one garment's code."""

    region: str
    start: tuple[float, float]
    """Mean (a, b) of the garment rendered with the clip's own code."""
    end: tuple[float, float]
    """Mean (a, b) with the other code."""
    target: tuple[float, float]
    """Target (a, b): that of the recoloured frames, or the colour asked for."""
    share: float
    """Share of the way from start to target that the garment's colour went; 1 at the target."""
    hit: float
    """CIEDE2000 from the garment to the target at the garment's own L; 0 at the target."""
    leakage: dict[str, float]
    """Mean CIEDE2000 in the areas ``other_garment``, ``skin`` and ``background``, as far as the clip shows them."""
    texture: float
    """Correlation of the gradients of L with those before, in [-1, 1]; NaN where the garment was flat."""
    sensitivity: float
    """Mean change of a channel, in [0, 1], per unit of distance between the codes; NaN where both codes are equal."""


def prepare_swaps(
    file: ClipFile,
    clip: Clip,
    labels: np.ndarray,
    recolorings: RecoloringFile,
    count: int,
    garments: GarmentMethod = "heuristic",
) -> ColorControlCase:
    """Prepare swaps to the first `count` recolourings of a clip, for each garment that it shows.

    `clip` is the content of `file`, or an excerpt from its beginning; `labels` are its garments, as `label_garments`
    finds them by the method `garments`.
    """
    shown = {region: labels == index + 1 for index, region in enumerate(REGIONS)}
    row = int(usable_rows(file)[0])
    swaps = []
    for recoloring in range(1, min(count + 1, recolorings.num_recolorings)):  # 0 is the original
        recolored = np.stack([recolorings.image(frame, recoloring) for frame in range(len(clip))])
        image = recolorings.image(row, recoloring)
        swaps += [
            Swap(region, image, mean_ab(recolored, garment))
            for region, garment in shown.items()
            if _is_more_than_outline(garment)
        ]
    return ColorControlCase(clip, person_of_clip(file, garments), labels, swaps)


def open_excerpts(dataset: ClipDataset, split: Split, *, count: int = 2, num_frames: int = 8) -> list[ColorControlCase]:
    """Prepare the beginning of a clip of each person, which is quickly measured after every epoch.

    Each garment is swapped once, to the recolouring that is farthest from its own colour.

    Args:
        dataset: Clips with recolourings of scope ``clip`` and region ``both``.
        split: Which clips.
        count: Persons at most.
        num_frames: Frames of each clip at most; clips of one frame and those without a usable pose are skipped.
    """
    of_person: dict[str, ClipFile] = {}
    for file in dataset.split(split):
        if file.info.num_frames > 1 and len(usable_rows(file)):
            of_person.setdefault(file.info.person, file)
    excerpts = []
    for file in list(of_person.values())[:count]:
        recolorings = dataset.recolorings("clip", "both", file)
        beginning, method = _beginning(file.read(), num_frames), dataset.info.garment_method()
        labels = label_garments(beginning.images, beginning.keypoints, beginning.masks, method)
        case = prepare_swaps(file, beginning, labels, recolorings, recolorings.num_recolorings, method)
        excerpts.append(replace(case, swaps=_farthest_swaps(case)))
    return excerpts


def swap_codes(synthesizer: VideoSynthesizer, case: ColorControlCase, before: np.ndarray) -> list[SwapResult]:
    """Render a clip with other codes, one garment at a time, and measure what changes.

    `before` (T, H, W, 3) is the clip rendered in its own colours. Swaps whose colours are closer than 15 units of
    (a, b) are left out: they are within the encoders' errors.
    """
    own = synthesizer.encode(case.content.image)
    results = []
    for swap in case.swaps:
        garment = case.labels == REGIONS.index(swap.region) + 1
        if np.linalg.norm(swap.target - mean_ab(before, garment)) < _LEAST_WAY:
            continue
        parts = list(synthesizer.split(own))
        index = REGIONS.index(swap.region)
        parts[index] = synthesizer.split(synthesizer.encode(swap.image))[index]
        other = torch.cat(parts)
        after = np.stack(list(synthesizer.frames(case.content, case.clip.keypoints, other)))
        results.append(_measure(case, swap, before, after, _sensitivity(before, after, own, other)))
    return results


def match_target_colors(
    synthesizer: VideoSynthesizer, case: ColorControlCase, before: np.ndarray, count: int, seed: int = 0
) -> list[SwapResult]:
    """Render `count` random colours of each garment, with codes corrected by `match_colors`, and measure as for swaps.

    The colours are inside the sRGB gamut at the garment's own lightness.
    """
    rng = np.random.default_rng(seed)
    own = synthesizer.encode(case.content.image)
    results = []
    content_labels = garments_of(case.content)
    for number, region in enumerate(REGIONS, start=1):
        shown = (content_labels == number).any() and _is_more_than_outline(case.labels == number)
        for _ in range(count if shown else 0):
            lightness, _, _ = worn_color(case.content, region)
            ab = sample_ab(rng, lightness)
            z, _match = match_colors(synthesizer, case.content, own, {region: (lightness, *ab)})
            after = np.stack(list(synthesizer.frames(case.content, case.clip.keypoints, z)))
            target = Swap(region, case.content.image, np.array(ab))
            results.append(_measure(case, target, before, after, _sensitivity(before, after, own, z)))
    return results


def summarize_swaps(recolorings: Sequence[SwapResult]) -> dict[str, float]:
    """Average the swaps of one clip; metrics that none of them has are missing.

    The metrics are ``recolor_REGION`` (best at 1), ``hit_REGION`` (CIEDE2000), ``texture_REGION``, ``leakage_other``,
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


def median_changes(recolorings: Sequence[SwapResult]) -> dict[str, float]:
    """Compute medians over recolourings, of both garments, of their ``hit`` and of the leakage by area (CIEDE2000)."""
    values = gather(
        {"hit": one.hit, **{_LEAK_NAMES[area]: change for area, change in one.leakage.items()}} for one in recolorings
    )
    return {name: float(np.median(of_name)) for name, of_name in values.items()}


def measure_excerpts(
    synthesizer: VideoSynthesizer, excerpts: Sequence[ColorControlCase], measures: Mapping[str, Measure]
) -> dict[str, float]:
    """Reconstruct excerpts, swap their codes, and average over the excerpts.

    Returns:
        `measures` of the rendered frames, whole and masked; ``flicker``; the metrics of `summarize_swaps`; and ``hit``,
        the mean of both garments.
    """
    scores = []
    for case in excerpts:
        rendered = reconstruct_clip(synthesizer, case.clip, case.content)
        flow = implied_flow(case.clip.keypoints, case.clip.masks)
        swaps = summarize_swaps(swap_codes(synthesizer, case, rendered))
        hits = [swaps[f"hit_{region}"] for region in REGIONS if f"hit_{region}" in swaps]
        scores.append(
            {
                **score_frames(case.clip, rendered, measures, synthesizer.device),
                "flicker": flicker(rendered, flow),
                **swaps,
                **({"hit": float(np.mean(hits))} if hits else {}),
            }
        )
    return {name: float(np.mean(values)) for name, values in gather(scores).items()}


def _measure(
    case: ColorControlCase, swap: Swap, before: np.ndarray, after: np.ndarray, sensitivity: float
) -> SwapResult:
    number = REGIONS.index(swap.region) + 1
    garment = case.labels == number
    start, end = mean_ab(before, garment), mean_ab(after, garment)
    return SwapResult(
        region=swap.region,
        start=_pair(start),
        end=_pair(end),
        target=_pair(swap.target),
        share=share_of_way(start, end, swap.target),
        hit=hit(after, garment, swap.target),
        leakage=leakage(before, after, areas_beside(number, case.labels, case.clip.masks)),
        texture=texture_kept(before, after, garment),
        sensitivity=sensitivity,
    )


def _sensitivity(before: np.ndarray, after: np.ndarray, own: Tensor, other: Tensor) -> float:
    """`code_sensitivity` of a clip whose frames share one code (Z,)."""
    if torch.equal(own, other):
        return float("nan")
    codes, other_codes = (z.cpu().numpy()[None].repeat(len(before), axis=0) for z in (own, other))
    return code_sensitivity(before, after, codes, other_codes)


def _is_more_than_outline(garment: np.ndarray) -> bool:
    """Return whether any frame of (T, H, W) shows more of a garment than its outline, which has no texture."""
    return any(cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8)).any() for part in garment)


def _farthest_swaps(case: ColorControlCase) -> list[Swap]:
    """The swap of each garment whose target is farthest from the garment as it is."""
    farthest: dict[str, tuple[float, Swap]] = {}
    for swap in case.swaps:
        own = mean_ab(case.clip.images, case.labels == REGIONS.index(swap.region) + 1)
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
