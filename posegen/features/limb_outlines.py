"""Measure the widths of limbs in a picture, and find the end of an arm that lies before the body."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.features.body_bones import SOFT_BONES, BoneFrame
from posegen.features.body_layers import USUAL_HALF_WIDTHS
from posegen.skeletons import swap_left_right

_WIDEST_EDGE = 1.5  # of the width on the other side: up to where the edge of an arm before the body is searched
_ALONG_EDGE = ((0.0, np.inf), (-np.inf, 0.95))  # of an upper arm, and of a forearm: not of a hand, which is wider
_PAST = 2.5  # half widths that pixels past such an edge are farther away
_CONTRAST = 30.0  # levels by which what lies before it differs from what lies beyond, if there is one
_SLIMMEST = 0.6  # of the usual half widths
_FEWEST_SEEN = 3  # points of the nine on a bone: the underside of a sleeve is seen from near the elbow alone
_WIDEST_LIMB = 2.5  # half widths: a limb whose outline is farther away lies before the body


class LimbOutlines:
    """Outlines of the limbs in a picture."""

    def __init__(self, image: np.ndarray, matte: np.ndarray, bones: BoneFrame, trunk: float, crossed: bool):
        """Look at a picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            matte: (H, W) float32 in [0, 1], opacity of the person.
            bones: The person's, in it.
            trunk: Length of the trunk in pixels.
            crossed: Whether a calf hides the other one.
        """
        self.smooth = cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float32)
        self.matte, self.bones, self.trunk, self.crossed = matte, bones, trunk, crossed

    def measure(self, bone: int) -> tuple[np.ndarray, float]:
        """Return how far the middle of a limb lies beside its bone, (2,) pixels, and half its width, by the outline.

        Joints are found inside the clothes, not in their middle. A side on which the limb lies before the body has no
        outline: there it is as wide as on the other, within what people measure.
        """
        usual = USUAL_HALF_WIDTHS[SOFT_BONES[bone].split("_", 1)[1]] * self.trunk
        middles, normal, (first, second) = self._find_outline(bone, usual)
        name = SOFT_BONES[bone]
        if name.endswith(("calf", "foot")) and self.crossed:  # the outline is that of both legs
            first, second = min(first, usual), min(second, usual)
        elif name.endswith(("thigh", "calf", "foot")):  # up to the middle between both legs
            other = SOFT_BONES.index(swap_left_right(name))
            if self.bones.seen[other]:
                apart = float(np.median((self._points_on(other) - middles) @ normal)) / 2
                inner = first if apart > 0 else second
                # Thighs that touch have no outline between them, or none but the other one's.
                if abs(apart) > _SLIMMEST * usual / 2 and (np.isfinite(inner) or not name.endswith("thigh")):
                    first, second = (min(first, apart), second) if apart > 0 else (first, min(second, -apart))
        if np.isfinite(first) and np.isfinite(second):
            half, offset = (first + second) / 2, (first - second) / 2
        elif np.isfinite(first) or np.isfinite(second):
            outer, sign = (first, 1) if np.isfinite(first) else (second, -1)
            half = float(np.clip(outer, _SLIMMEST * usual, 1.3 * usual))
            offset = sign * max(outer - half, 0.0)
        else:
            half, offset = usual, 0.0
        return offset * normal, float(np.clip(half, _SLIMMEST * usual, 1.6 * usual))

    def past_edge(self, points: np.ndarray, bone: int) -> np.ndarray:
        """Return how many pixels points (N, 2) lie past an edge that ends an arm before the body, at most `_PAST`.

        The edge runs along the bone where the picture's colours differ most, on a side that has no outline.
        """
        past = np.zeros(len(points))
        usual = USUAL_HALF_WIDTHS[SOFT_BONES[bone].split("_", 1)[1]] * self.trunk
        middles, normal, sides = self._find_outline(bone, usual)
        expected = min(*sides, 1.3 * usual)
        window = max(round(2 * expected), 2)  # half pixels
        reach = np.arange(0, round(2 * _WIDEST_EDGE * expected) + 1) / 2
        for side, towards in zip(sides, (normal, -normal), strict=True):
            if np.isfinite(side):
                continue
            steps = np.arange(-2, len(reach) + window + 2) / 2
            places = (middles[:, None] + steps[:, None] * towards).astype(np.float32)  # (M, R, 2)
            # Medians along the bone and across it: a pattern or a strap differs nowhere for long.
            colors = np.median(cv2.remap(self.smooth, places, None, cv2.INTER_LINEAR), axis=0)  # type: ignore[call-overload]
            contrast = np.linalg.norm(colors[4 : len(reach) + 4] - colors[: len(reach)], axis=-1)
            for number in range(len(reach)):
                before = np.median(colors[max(number + 2 - window, 0) : number + 2], axis=0)
                beyond = np.median(colors[number + 3 : number + 3 + window], axis=0)
                contrast[number] *= np.linalg.norm(beyond - before) > _CONTRAST
            contrast *= np.exp(-((reach / expected - 1) ** 2) / 2)
            best = int(contrast.argmax())
            if contrast[best] > 0:
                past = np.maximum(past, (points - middles[0]) @ towards - reach[best])
        vector = self.bones.along[bone]
        along = (points - self.bones.origins[bone]) @ vector / max(float(vector @ vector), 1e-9)
        first, last = _ALONG_EDGE[SOFT_BONES[bone].endswith("forearm")]
        return np.where((along > first) & (along < last), np.minimum(past, _PAST), 0.0)

    def _find_outline(self, bone: int, usual: float) -> tuple[np.ndarray, np.ndarray, list[float]]:
        """Find how far the outline is from a limb's bone.

        Args:
            bone: Its number.
            usual: Half the width in pixels that such limbs usually have.

        Returns:
            (9, 2) points on the bone; (2,) the unit vector to its first side; and the distance in pixels on the first
            and the second side, infinite where there is no outline near.
        """
        vector, middles = self.bones.along[bone], self._points_on(bone)
        normal = np.array([vector[1], -vector[0]]) / max(np.hypot(*vector), 1e-6)
        reach = np.arange(0, _WIDEST_LIMB * usual, 0.5)
        sides = []
        for sign in (1, -1):
            points = middles[:, None] + sign * reach[:, None] * normal  # (9, R, 2)
            xs, ys = np.moveaxis(points.round().astype(int), -1, 0)
            height, width = self.matte.shape
            inside = (xs >= 0) & (ys >= 0) & (xs < width) & (ys < height)
            person = inside & (self.matte[ys.clip(0, height - 1), xs.clip(0, width - 1)] > 0.5)
            ends = np.where(person.all(axis=1), np.inf, reach[(~person).argmax(axis=1)])
            seen = ends[np.isfinite(ends)]
            # Up to the armpit the trunk lies beside an upper arm: its own outline begins below.
            is_enough = SOFT_BONES[bone].endswith("upper_arm") and len(seen) >= _FEWEST_SEEN
            sides.append(float(np.median(seen if is_enough else ends)))
        return middles, normal, sides

    def _points_on(self, bone: int) -> np.ndarray:
        """Points (9, 2) in the middle of a bone."""
        return self.bones.origins[bone] + np.linspace(0.25, 0.75, 9)[:, None] * self.bones.along[bone]
