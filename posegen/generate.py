"""A content image, a pose sequence and a colour in; frames out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posegen.checkpoint import find_checkpoint, load_progress, load_stage
from posegen.clips import ClipFile, DatasetError
from posegen.color.lab import rgb_to_lab
from posegen.features.feature_map import ContentFeatures, target_regions
from posegen.networks.codebook import Codebook
from posegen.samples import REGIONS, to_image, to_network, to_unit, usable_rows
from posegen.stages.video_generator import VideoGenerator
from posegen.storage import Folder


@dataclass(frozen=True)
class Content:
    """The person that is drawn: one frame and what is seen in it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    keypoints: np.ndarray
    """(18, 3) float32 in pixels."""
    edges: np.ndarray
    """(H, W) uint8 P(edge) × 255."""
    mask: np.ndarray
    """(H, W) uint8, 255 on the person."""


def content_of(clip: ClipFile) -> Content:
    """The first frame of a clip that has a usable pose. Raises DatasetError if none has."""
    rows = usable_rows(clip)
    if not len(rows):
        raise DatasetError(f"clip {clip.clip_id} has no frame with both hips and both shoulders")
    row = int(rows[0])
    return Content(clip.image(row), clip.keypoints[row], clip.edges(row), clip.mask(row))


class VideoSynthesizer:
    """Draws videos with a trained `VideoGenerator`.

    Args:
        stage: In evaluation mode.
        size: Height and width that it was trained at.
        device: Where to run it.

    Example:
        >>> synthesizer = VideoSynthesizer.load("runs/video_generator-1")
        >>> z = synthesizer.recolor(synthesizer.encode(content.image), {"upper": (42, 111, 219)})
        >>> frames = synthesizer.frames(content, poses, z)
    """

    def __init__(self, stage: VideoGenerator, size: tuple[int, int], device: torch.device | None = None):
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stage, self.size = stage.to(self.device).eval(), size

    @classmethod
    def load(cls, run: Folder | str, device: torch.device | None = None) -> VideoSynthesizer:
        """Load the newest checkpoint of a run. Raises CheckpointError if it is of another stage."""
        checkpoint = find_checkpoint(run)
        stage = load_stage(checkpoint, VideoGenerator)
        assert isinstance(stage, VideoGenerator)
        return cls(stage, load_progress(checkpoint).size, device)

    @torch.no_grad()
    def frames(self, content: Content, poses: np.ndarray, z: Tensor | None = None) -> Iterator[np.ndarray]:
        """Draw one uint8 frame (H, W, 3) per pose, each from the one before; the first from black.

        Args:
            content: The person.
            poses: (T, 18, 3) keypoints in pixels of the trained size.
            z: Colour code, (Z,) for all frames or (T, Z); None keeps the content's own colours.
        """
        if content.image.shape[:2] != self.size:
            raise ValueError(f"the content image is {content.image.shape[:2]}, the run was trained at {self.size}")
        z = self.encode(content.image) if z is None else z
        codes = z.expand(len(poses), -1)  # (T, Z)
        features = ContentFeatures(content.keypoints, content.edges, content.mask)
        previous = torch.full((1, 3, *self.size), -1.0, device=self.device)  # v0 is black
        for pose, code in zip(poses, codes, strict=True):
            feature = self._tensor(to_network(features.estimate(pose)))  # (1, 4, H, W)
            region = self._tensor(to_unit(target_regions(pose, self.size)))  # (1, 2, H, W)
            previous = self.stage.generator(feature, previous, code[None], region)  # (1, 3, H, W)
            yield to_image(previous[0])

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Tensor:
        """The colour code (Z,) of what a person wears: uint8 (H, W, 3) of the trained size."""
        return self.stage.encode(self._tensor(to_network(image)))[0]

    def recolor(self, z: Tensor, colors: Mapping[str, Sequence[int]], count: int = 4) -> Tensor:
        """Replace the code of each garment in `colors` by that of the training colours nearest to its colour.

        Args:
            z: (Z,).
            colors: ``upper``, ``lower`` or both, each an sRGB colour (0..255). L stays as it is on the content: a
                code changes a and b.
            count: Training colours whose codes are averaged.

        Returns:
            A new (Z,).
        """
        parts = list(self.split(z))
        for region, color in colors.items():
            parts[REGIONS.index(region)] = self.codebook(region).nearest(self._ab(color), count)[0]
        return torch.cat(parts)

    def nearest_color(self, region: str, color: Sequence[int], count: int = 4) -> np.ndarray:
        """The (a, b) that `recolor` finds for an sRGB colour (0..255)."""
        return self.codebook(region).nearest(self._ab(color), count)[1].cpu().numpy()

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Divide a code (..., Z) into that of the upper and that of the lower garment."""
        upper, lower = z.split([self.stage.config.upper_latent_dim, self.stage.config.lower_latent_dim], dim=-1)
        return upper, lower

    def codebook(self, region: str) -> Codebook:
        """What is known of the codes of ``upper`` or ``lower``."""
        codebook = self.stage.codebooks[region]
        assert isinstance(codebook, Codebook)
        return codebook

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)[None].to(self.device)

    def _ab(self, color: Sequence[int]) -> Tensor:
        ab = rgb_to_lab(np.asarray(color, np.float64) / 255.0)[1:]
        return torch.as_tensor(ab, dtype=torch.float32, device=self.device)


def interpolate(start: Tensor, end: Tensor, num_frames: int) -> Tensor:
    """Codes (T, Z) that go evenly from one to another: (1 − i/T) start + (i/T) end, i = 1..T (Section 4.4)."""
    share = torch.arange(1, num_frames + 1, device=start.device)[:, None] / num_frames  # (T, 1)
    return (1 - share) * start + share * end
