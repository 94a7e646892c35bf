"""The colour of a garment in a photo of somebody who wears it."""

from __future__ import annotations

import numpy as np

from posegen.color.garment_recoloring import GarmentPaint
from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab, rgb_to_lab
from posegen.errors import PerceptionError
from posegen.io.images import shrink
from posegen.perception.body import find_body
from posegen.perception.person_parser import parse_person

_TALLEST = 512  # pixels: more of them say no more of a colour


def color_of_worn(image: np.ndarray, garment: Garment) -> Lab | None:
    """Measure the colour of a garment that the most prominent person of a picture wears: of its prevailing cloth.

    Args:
        image: (H, W, 3) uint8 RGB.
        garment: Which.

    Returns:
        The median of L, a and b; None where the picture shows nobody.

    Raises:
        ColorError: Somebody is seen who does not show such a garment.
    """
    image = shrink(image, _TALLEST)
    try:
        found = find_body(image)
    except PerceptionError:
        return None
    labels = parse_person(image, found.pose.keypoints, found.mask)
    cloth = GarmentPaint(image, labels, garment).cloth
    lightness, a, b = np.median(rgb_to_lab(image[cloth]), axis=0).tolist()
    return lightness, a, b
