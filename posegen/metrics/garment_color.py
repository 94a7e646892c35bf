"""Distance of a garment's colour from the requested one, in every frame of a video.

The colour of a garment in a frame is the median of L, of a and of b over the pixels of its cloth: where it has its
prevailing colour, so without prints, and without what is seen of others at its outline. Light and shade on the cloth
cancel in the median. They do not in the median of the pixels' own differences, which is given beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab, delta_e_2000, rgb_to_lab, shown_color
from posegen.color.palette import hex_color
from posegen.errors import ConfigError

_SHOWN = 0.5  # ΔE2000 from the colour of a display: less is rounding


@dataclass(frozen=True)
class ColorReport:
    """Accuracy of one garment's requested colour. Differences are CIEDE2000; about 1 is just noticeable."""

    garment: Garment
    requested: str
    """Requested colour, as written by the user."""
    lab: Lab
    median: float
    """Of the frames' differences."""
    p95: float
    """95th percentile of the frames' differences."""
    per_pixel: float
    """Median difference of single pixels, over all frames: of light and shade for the most part."""
    frames: int
    """Number of frames that show the garment."""
    note: str = ""
    """Replacement colour, if no display has the requested one."""


def color_report(garment: Garment, requested: str, lab: Lab, images: np.ndarray, cloth: np.ndarray) -> ColorReport:
    """Compare a garment with the colour that was asked for.

    Args:
        garment: Which garment.
        requested: The colour, as it was written.
        lab: L, a, b of it, in or out of gamut.
        images: (T, H, W, 3) uint8 RGB.
        cloth: (T, H, W) bool, the garment's cloth in each frame, such as `GarmentPaint.cloth`.

    Raises:
        ConfigError: Shapes are not these, or no frame shows the garment.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or cloth.shape != images.shape[:3]:
        raise ConfigError(
            f"got {images.dtype} images of shape {images.shape} and cloth of shape {cloth.shape}, "
            "expected uint8 (T, H, W, 3) and (T, H, W)"
        )
    seen = [rgb_to_lab(image[here]) for image, here in zip(images, cloth, strict=True) if here.any()]
    if not seen:
        raise ConfigError(f"the {garment} garment is seen in none of {len(images)} frames")
    wanted = np.array(lab, np.float64)
    differences = delta_e_2000(np.stack([np.median(pixels, axis=0) for pixels in seen]), wanted)
    pixels = np.concatenate(seen)
    return ColorReport(
        garment,
        requested,
        lab,
        median=float(np.median(differences)),
        p95=float(np.quantile(differences, 0.95)),
        per_pixel=float(np.median(delta_e_2000(pixels, wanted))),
        frames=len(seen),
        note=gamut_note(lab),
    )


def gamut_note(lab: Lab) -> str:
    """Say which colour is shown for one that no display has; "" for one that displays have."""
    shown = shown_color(lab)
    away = float(delta_e_2000(shown, np.array(lab, np.float64)))
    if away < _SHOWN:
        return ""
    code = hex_color(shown)
    return f"no sRGB display has this colour: {code} is shown, the same lightness and hue, ΔE2000 {away:.1f} from it"
