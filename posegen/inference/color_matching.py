"""Exact colours: codes are corrected by what the generator draws with them.

The regression of a codebook answers for the mean of all training frames. Whether this person, drawn by this
generator, has the wished colour is only seen by drawing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posegen.color.garment_segmentation import NONE
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.inference.person import Person, garments_of, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.samples import REGIONS

_MAX_STEPS = 10
_DIFFERENCE = 0.1  # σ of a code, for derivatives
_STEP_SCALES = (1.0, 0.5, 0.2, 0.05)
# What counts as much as one unit of (a, b) beside the wish:
_CODE_SCALE = 2.0  # σ of a code away from the predicted one
_OUTSIDE_SCALE = 0.8  # root mean square levels (0..255) by which another area changed


@dataclass(frozen=True)
class ColorMatch:
    """How near a drawn garment came to its wish: CIEDE2000 at the lightness that the garment is drawn with."""

    before: float
    """With the code that the codebook predicts."""
    after: float
    """With the corrected code."""


def match_colors(
    synthesizer: VideoSynthesizer, content: Person, z: Tensor, targets: Mapping[str, tuple[float, float]]
) -> tuple[Tensor, dict[str, ColorMatch]]:
    """Find the code with which garments are drawn in the wished mean (a, b), and all else as with `z`.

    Gauss-Newton steps with derivatives by differences, on two frames of the person in the pose of the content image,
    where the garments are known: the first drawn from black, the second from the first, as all later ones are.
    Penalties keep the code near the predicted one, and what is outside the garments as it was: the other garment's
    code, too, is moved to make up for what the wished one's changes there.

    Args:
        synthesizer: Of a run whose codebooks are fitted.
        content: The person.
        z: The code (Z,) with the person's present colours.
        wishes: (a, b) by region, ``upper``, ``lower`` or both.

    Returns:
        The new code (Z,), and what each wished garment reached.

    Raises:
        PosegenError: a garment is not seen in the content image.
    """
    colors = {region: (worn_color(content, region)[0], *ab) for region, ab in targets.items()}
    start = synthesizer.recolor(z, colors)
    problem = _Problem(synthesizer, content, z, start, targets)
    u = torch.zeros_like(start)  # (Z,)
    residuals = problem.residuals(u[None])[0]  # (R,)
    for _ in range(_MAX_STEPS):
        candidates = u + problem.step(u, residuals) * torch.tensor(_STEP_SCALES, device=z.device)[:, None]
        trials = problem.residuals(candidates)  # (4, R)
        best = int(trials.square().sum(1).argmin())
        if trials[best].square().sum() >= residuals.square().sum():
            break
        u, residuals = candidates[best], trials[best]
    end = start + u * problem.scale
    before, after = problem.differences(start), problem.differences(end)
    return end, {region: ColorMatch(before[region], after[region]) for region in targets}


class _Problem:
    """Least squares over the codes of both garments, in units of σ from the predicted ones: (N, Z)."""

    def __init__(
        self,
        synthesizer: VideoSynthesizer,
        content: Person,
        z: Tensor,
        start: Tensor,
        targets: Mapping[str, tuple[float, float]],
    ):
        self.synthesizer, self.content, self.start, self.targets = synthesizer, content, start, targets
        garments, person = garments_of(content), content.mask > 0
        self.masks = {region: garments == REGIONS.index(region) + 1 for region in targets}
        outside = ~np.logical_or.reduce(list(self.masks.values()))
        # Each area counts as much as any other, however small it is.
        areas = [outside & there for there in (garments > NONE, person & (garments == NONE), ~person)]
        self.outsides = [torch.from_numpy(area).to(z.device) for area in areas if area.any()]
        self.reference = self._draw(z[None])
        self.scale = torch.cat([synthesizer.codebook(region).std for region in REGIONS]).to(z)  # (Z,)

    def residuals(self, u: Tensor) -> Tensor:
        """What is to be small, (N, R), in units of (a, b)."""
        frames = self._draw(self.start + u * self.scale)  # (N, 2, 3, H, W)
        errors = [self._lab(frames, region)[:, 1:] - ab for region, ab in self.targets.items()]
        changes = [(frames - self.reference)[..., there].flatten(1) * 127.5 for there in self.outsides]  # (N, P) levels
        outside = [change / (_OUTSIDE_SCALE * change.shape[1] ** 0.5) for change in changes]
        return torch.cat([torch.from_numpy(np.hstack(errors)).to(u), *outside, u / _CODE_SCALE], dim=1)

    def step(self, u: Tensor, residuals: Tensor) -> Tensor:
        """The Gauss-Newton step (Z,) from u (Z,), where the residuals are (R,)."""
        moved = self.residuals(u + _DIFFERENCE * torch.eye(len(u), device=u.device))  # (Z, R)
        jacobian = (moved - residuals) / _DIFFERENCE  # (Z, R)
        return -torch.linalg.solve(jacobian @ jacobian.T, jacobian @ residuals)

    def differences(self, z: Tensor) -> dict[str, float]:
        """CIEDE2000 of each drawn garment from its wish, at the lightness that it is drawn with."""
        frames, differences = self._draw(z[None]), {}
        for region, ab in self.targets.items():
            drawn = self._lab(frames, region)[0]
            differences[region] = float(delta_e_2000(drawn, np.array([drawn[0], *ab])))
        return differences

    def _draw(self, codes: Tensor) -> Tensor:
        return self.synthesizer.roll_out(self.content, np.stack([self.content.keypoints] * 2), codes)

    def _lab(self, frames: Tensor, region: str) -> np.ndarray:
        """Mean L, a, b (N, 3) of a garment in frames (N, 2, 3, H, W)."""
        inside = torch.from_numpy(self.masks[region]).to(frames.device)
        pixels = ((frames.clamp(-1, 1) + 1) / 2)[..., inside].permute(0, 1, 3, 2)  # (N, 2, P, 3)
        return rgb_to_lab(pixels.flatten(1, 2).cpu().numpy()).mean(axis=1)
