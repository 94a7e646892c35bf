"""Errors that people see at a glance in rendered frames: wrong colours of clothes, broken limbs, a second person."""

from __future__ import annotations

import numpy as np

from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.datasets.clip_files import Clip
from posegen.features.background import median_background
from posegen.metrics.person import SAME, WHOLE_LIMB, WRONG, color_distances, grow_masks, limb_coverage
from posegen.samples import REGIONS

_BESIDE = 0.02  # of the height: nearer to the person, soft outlines differ


def score_look(clip: Clip, rendered: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure frames that were rendered in a clip's own poses and colours.

    ``own_color_REGION``: CIEDE2000 between the median colours of a garment, rendered and real, where the real one is.
    ``whole_limbs``: share of the limbs that are drawn over `WHOLE_LIMB` of their length, of those that the clip shows
    so. A pixel on a limb is drawn unless it is nearer to the clip's background than to the real frame, and a limb that
    has the background's colour cannot be told from it. ``ghosts``: pixels beside the person that show another thing
    than the real frame, as a share of the person's.

    Args:
        clip: The real clip.
        rendered: (T, H, W, 3) uint8; the first frame, from which the others were rendered, is not measured.
        labels: (T, H, W) garments in the real frames, 1 and up in the order of `REGIONS`.

    Returns:
        Means over the frames; NaN for what no frame shows.
    """
    masks = clip.masks > 127
    background = median_background(list(clip.images), list(clip.masks), smooth=True)
    near = grow_masks(masks, _BESIDE)
    values: dict[str, list[float]] = {name: [] for name in (*_color_names(), "whole_limbs", "ghosts")}
    for row in range(1, len(clip)):
        real, fake, person = clip.images[row], rendered[row], masks[row]
        wrong = color_distances(fake, real)
        for number, name in enumerate(_color_names(), start=1):
            garment = labels[row] == number
            if garment.any():
                medians = [np.median(rgb_to_lab(image[garment]), axis=0) for image in (fake, real)]
                values[name].append(float(delta_e_2000(*medians)))
        hidden = color_distances(real, background) < SAME
        drawn = person & (hidden | (wrong <= color_distances(fake, background)))
        truth, found = (limb_coverage(clip.keypoints[row], covered) >= WHOLE_LIMB for covered in (person, drawn))
        values["whole_limbs"] += found[truth].astype(float).tolist()
        if person.any():
            values["ghosts"].append(float((wrong > WRONG)[~near[row]].sum() / person.sum()))
    return {name: float(np.mean(found)) if found else float("nan") for name, found in values.items()}


def _color_names() -> list[str]:
    return [f"own_color_{region}" for region in REGIONS]
