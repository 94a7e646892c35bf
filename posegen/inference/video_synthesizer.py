"""A content image, a pose sequence and a colour in; frames out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from posegen.checkpoints.checkpoint import find_checkpoint, load_frame_size, load_stage
from posegen.errors import ConfigError
from posegen.features.appearance import Appearance
from posegen.features.feature_map import ContentFeatures, target_regions
from posegen.features.warp import estimate_affines
from posegen.inference.person import Person
from posegen.io.storage import StorageFolder
from posegen.networks.codebook import Codebook
from posegen.samples import REGIONS, to_image, to_network, to_unit
from posegen.stages.video_stage import VideoStage


class _Parts(NamedTuple):
    """A person taken apart, to be put together in other poses."""

    features: ContentFeatures
    appearance: Appearance | None
    """None if the stage does not look at it."""


class VideoSynthesizer:
    """Draws videos with a trained `VideoGenerator`, or its end-to-end baseline.

    Args:
        stage: In evaluation mode.
        size: Height and width that it was trained at.
        device: Where to run it.

    Example:
        >>> synthesizer = VideoSynthesizer.load("runs/video_generator-1")
        >>> z = synthesizer.recolor(synthesizer.encode(content.image), {"upper": parse_color("teal")})
        >>> frames = synthesizer.frames(content, poses, z)
    """

    def __init__(self, stage: VideoStage, size: tuple[int, int], device: torch.device | None = None):
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stage, self.size = stage.to(self.device).eval(), size

    @classmethod
    def load(cls, run: StorageFolder | str, device: torch.device | None = None) -> VideoSynthesizer:
        """Load the newest checkpoint of a run. Raises CheckpointError if it is of another stage."""
        checkpoint = find_checkpoint(run)
        stage = load_stage(checkpoint, VideoStage)
        assert isinstance(stage, VideoStage)
        return cls(stage, load_frame_size(checkpoint), device)

    def frames(self, content: Person, poses: np.ndarray, z: Tensor | None = None) -> Iterator[np.ndarray]:
        """Draw one uint8 frame (H, W, 3) per pose, each from the one before.

        Args:
            content: The person.
            poses: (T, 18, 3) keypoints in pixels of the trained size.
            z: Colour code, (Z,) for all frames or (T, Z); None keeps the content's own colours.
        """
        z = self.encode(content.image) if z is None else z
        for drawn in self.clips(content, [poses], [z]):
            yield drawn[0]

    @torch.no_grad()
    def clips(
        self, content: Person, poses: Sequence[np.ndarray], codes: Sequence[Tensor]
    ) -> Iterator[dict[int, np.ndarray]]:
        """Draw several clips of a person as one batch, frame by frame; memory does not grow with their length.

        Args:
            content: The person.
            poses: (T, 18, 3) of each clip; their lengths may differ.
            codes: (Z,) or (T, Z) of each clip.

        Yields:
            The next frame (H, W, 3) uint8 of each clip that has not ended, by its number.
        """
        parts = self._take_apart(content)
        expanded = [z.expand(len(of_clip), -1) for z, of_clip in zip(codes, poses, strict=True)]  # (T, Z) each
        previous = self._start(content, len(poses)).clone()  # (N, 3, H, W)
        for t in range(max(map(len, poses), default=0)):
            active = [number for number, of_clip in enumerate(poses) if t < len(of_clip)]
            at_t = [poses[number][t] for number in active]
            z = torch.stack([expanded[number][t] for number in active])  # (N, Z)
            drawn = self.stage.generator(self._conditions(parts, at_t), previous[active], z, self._regions(at_t))
            previous[active] = drawn  # (N, 3, H, W)
            yield {number: to_image(image) for number, image in zip(active, drawn, strict=True)}

    @torch.no_grad()
    def roll_out(self, content: Person, poses: np.ndarray, codes: Tensor) -> Tensor:
        """Draw a few poses (T, 18, 3) with each of the codes (N, Z): frames (N, T, 3, H, W) in [-1, 1], all at once."""
        features = self._conditions(self._take_apart(content), list(poses))  # (T, F, H, W)
        regions = self._regions(poses)  # (T, 2, H, W)
        count = len(codes)
        features, regions = (x.expand(count, -1, -1, -1, -1) for x in (features, regions))
        return self.stage.roll_out(features, codes, regions, self._start(content, count))

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Tensor:
        """The colour code (Z,) of what a person wears: uint8 (H, W, 3) of the trained size."""
        return self.stage.encode(self._stack([to_network(image)]))[0]

    def recolor(self, z: Tensor, colors: Mapping[str, Sequence[float]]) -> Tensor:
        """Replace the code of each garment in `colors` by the one that its codebook predicts.

        Args:
            z: (Z,).
            colors: ``upper``, ``lower`` or both, each L, a, b. A code hardly changes L: take that of the garment, see
                `worn_color`, for codes like those of training.

        Returns:
            A new (Z,).

        Raises:
            PosegenError: The encoders have seen no painted frames.
        """
        parts = list(self.split(z))
        for region, color in colors.items():
            lab = torch.tensor(color, dtype=torch.float32, device=self.device)
            parts[REGIONS.index(region)] = self.codebook(region).predict(lab)
        return torch.cat(parts)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Divide a code (..., Z) into that of the upper and that of the lower garment."""
        upper, lower = z.split([self.stage.config.upper_latent_dim, self.stage.config.lower_latent_dim], dim=-1)
        return upper, lower

    def codebook(self, region: str) -> Codebook:
        """What is known of the codes of ``upper`` or ``lower``."""
        codebook = self.stage.codebooks[region]
        assert isinstance(codebook, Codebook)
        return codebook

    def _take_apart(self, content: Person) -> _Parts:
        if content.image.shape[:2] != self.size:
            raise ConfigError(f"the content image is {content.image.shape[:2]}, the run was trained at {self.size}")
        features = ContentFeatures(content.keypoints, content.edges, content.mask)
        if not self.stage.config.with_appearance:
            return _Parts(features, None)
        return _Parts(features, Appearance(content.image, content.keypoints, content.mask))

    def _start(self, content: Person, count: int) -> Tensor:
        """v0 of several clips of a person, (N, 3, H, W)."""
        image = self._stack([to_network(content.image)])
        return self.stage.start_of({"content": image, "start": image}).expand(count, -1, -1, -1)

    def _conditions(self, parts: _Parts, poses: Sequence[np.ndarray]) -> Tensor:
        """What the person is drawn from in other poses, (N, F, H, W), restored where the run has a restorer."""
        affines = [estimate_affines(parts.features.keypoints, pose) for pose in poses]
        maps, support = zip(*map(parts.features.merge, poses, affines), strict=True)
        estimated = self._stack([to_network(feature) for feature in maps])  # (N, 4, H, W)
        restored = self.stage.restore(estimated, self._stack([to_unit(part[..., None]) for part in support]))
        if parts.appearance is None:
            return restored
        shown = self._stack([to_network(parts.appearance.warp(one)) for one in affines])  # (N, 3, H, W)
        return torch.cat([restored, shown], dim=1)

    def _regions(self, poses: Iterable[np.ndarray]) -> Tensor:
        """Where the garments are in poses, (N, 2, H, W)."""
        return self._stack([to_unit(target_regions(pose, self.size)) for pose in poses])

    def _stack(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)


def interpolate(start: Tensor, end: Tensor, num_frames: int) -> Tensor:
    """Codes (T, Z) that go evenly from one to another: (1 − i/T) start + (i/T) end, i = 1..T (Section 4.4)."""
    share = torch.arange(1, num_frames + 1, device=start.device)[:, None] / num_frames  # (T, 1)
    return (1 - share) * start + share * end
