"""Colour codes whose rendered colours match targets: codes are corrected by what the generator renders with them.

The regression of a codebook predicts the mean over all training frames. The colour that this generator gives to this
person is known only from rendering them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from posegen.color.garment_segmentation import NONE
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.inference.person import Person, garments_of, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.samples import REGIONS

_MAX_STEPS = 10
_REACHED = 5.0  # CIEDE2000: what many see as one colour on folds
_DIFFERENCE = 0.1  # σ of a code, for derivatives
_STEP_SCALES = (1.0, 0.5, 0.2, 0.05)
# Penalties equal to one unit of L, a or b off the target:
_CODE_SCALE = 2.0  # σ of a code away from the predicted one
_OUTSIDE_SCALE = 0.8  # root mean square levels (0..255) by which another area changed


@dataclass(frozen=True)
class ColorMatch:
    """CIEDE2000 from a rendered garment to its target: the median of its pixels, lightness included."""

    before: float
    """With the code that the codebook predicts."""
    after: float
    """With the code that is kept."""
    rendered: tuple[float, float, float]
    """Median L, a, b of the garment with the code that is kept."""

    @property
    def is_reached(self) -> bool:
        """True if the garment's colour is indistinguishable from the target in a side-by-side comparison."""
        return self.after <= _REACHED


def match_colors(
    synthesizer: VideoSynthesizer, person: Person, z: Tensor, targets: Mapping[str, tuple[float, float, float]]
) -> tuple[Tensor, dict[str, ColorMatch]]:
    """Find the code with which garments are rendered in target colours, and all else as with `z`.

    Gauss-Newton steps with derivatives by finite differences, on two frames of the person in the pose of the content
    image, where the garments are known: the first is rendered from black, the second from the first, as all later
    ones are. Penalties keep the code near the predicted one, and what is outside the garments as it was: the code of
    the other garment moves, too, to compensate what the first one changes there. The corrected code is kept where the
    garments are nearer to their targets with it than with the predicted one. Codes learn from recoloured frames, whose
    lightness is the photo's: a target much lighter or darker than the garment cannot be reached.

    Args:
        synthesizer: Of a run whose codebooks are fitted.
        person: The person.
        z: The code (Z,) with the person's present colours.
        targets: L, a, b by region, ``upper``, ``lower`` or both.

    Returns:
        The new code (Z,), and the match of each garment in `targets`.

    Raises:
        PosegenError: A garment is not visible in the content image.
    """
    colors = {region: (worn_color(person, region)[0], a, b) for region, (_, a, b) in targets.items()}
    start = synthesizer.recolor(z, colors)
    problem = _Problem(synthesizer, person, z, start, targets)
    u = torch.zeros_like(start)  # (Z,)
    residuals = problem.residuals(u[None])[0]  # (R,)
    for _ in range(_MAX_STEPS):
        candidates = u + problem.step(u, residuals) * torch.tensor(_STEP_SCALES, device=z.device)[:, None]
        trials = problem.residuals(candidates)  # (4, R)
        best = int(trials.square().sum(1).argmin())
        if trials[best].square().sum() >= residuals.square().sum():
            break
        u, residuals = candidates[best], trials[best]
    before, end = problem.compare(start), start + u * problem.scale
    after = problem.compare(end)
    if sum(found.difference for found in after.values()) >= sum(found.difference for found in before.values()):
        end, after = start, before
    matches = {
        region: ColorMatch(before[region].difference, found.difference, found.color) for region, found in after.items()
    }
    return end, matches


class _Compared(NamedTuple):
    """A rendered garment beside its target."""

    difference: float
    color: tuple[float, float, float]


class _Problem:
    """Least squares over the codes of both garments, in units of σ from the predicted ones: (N, Z)."""

    def __init__(
        self,
        synthesizer: VideoSynthesizer,
        person: Person,
        z: Tensor,
        start: Tensor,
        targets: Mapping[str, tuple[float, float, float]],
    ):
        self.synthesizer, self.person, self.start, self.targets = synthesizer, person, start, targets
        garments, body = garments_of(person), person.mask > 0
        self.masks = {region: garments == REGIONS.index(region) + 1 for region in targets}
        outside = ~np.logical_or.reduce(list(self.masks.values()))
        # Each area counts as much as any other, however small it is.
        areas = [outside & area for area in (garments > NONE, body & (garments == NONE), ~body)]
        self.outsides = [torch.from_numpy(area).to(z.device) for area in areas if area.any()]
        self.reference = self._render(z[None])
        self.scale = torch.cat([synthesizer.codebook(region).std for region in REGIONS]).to(z)  # (Z,)

    def residuals(self, u: Tensor) -> Tensor:
        """The residuals (N, R) of scaled codes (N, Z), in units of L, a and b."""
        frames = self._render(self.start + u * self.scale)  # (N, 2, 3, H, W)
        # Every pixel counts, since patches of opposite hues have a gray mean.
        errors = [self._lab(frames, region) - target for region, target in self.targets.items()]  # (N, P, 3)
        inside = [error.reshape(len(error), -1) / error.shape[1] ** 0.5 for error in errors]
        changes = [(frames - self.reference)[..., area].flatten(1) * 127.5 for area in self.outsides]  # (N, P) levels
        outside = [change / (_OUTSIDE_SCALE * change.shape[1] ** 0.5) for change in changes]
        return torch.cat([torch.from_numpy(np.hstack(inside)).to(u), *outside, u / _CODE_SCALE], dim=1)

    def step(self, u: Tensor, residuals: Tensor) -> Tensor:
        """The Gauss-Newton step (Z,) from u (Z,), where the residuals are (R,)."""
        moved = self.residuals(u + _DIFFERENCE * torch.eye(len(u), device=u.device))  # (Z, R)
        jacobian = (moved - residuals) / _DIFFERENCE  # (Z, R)
        return -torch.linalg.solve(jacobian @ jacobian.T, jacobian @ residuals)

    def compare(self, z: Tensor) -> dict[str, _Compared]:
        """Compare the picture rendered with a code (Z,) with the target, by region."""
        frames, compared = self._render(z[None]), {}
        for region, target in self.targets.items():
            lab = self._lab(frames, region)[0]  # (P, 3)
            lightness, a, b = np.median(lab, axis=0).tolist()
            compared[region] = _Compared(float(np.median(delta_e_2000(lab, np.array(target)))), (lightness, a, b))
        return compared

    def _render(self, codes: Tensor) -> Tensor:
        """Two frames of the person with each of the codes (N, Z): (N, 2, 3, H, W)."""
        return self.synthesizer.roll_out(self.person, np.stack([self.person.keypoints] * 2), codes)

    def _lab(self, frames: Tensor, region: str) -> np.ndarray:
        """L, a, b (N, P, 3) of a garment's pixels in frames (N, 2, 3, H, W)."""
        inside = torch.from_numpy(self.masks[region]).to(frames.device)
        pixels = ((frames.clamp(-1, 1) + 1) / 2)[..., inside].permute(0, 1, 3, 2)  # (N, 2, P, 3)
        return rgb_to_lab(pixels.flatten(1, 2).cpu().numpy())
