"""Rendering with a stage that has colour codes: each frame from the one before, in any colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posegen.errors import ConfigError
from posegen.features.appearance import Appearance
from posegen.features.feature_map import ContentFeatures, target_regions
from posegen.features.warp import estimate_affines
from posegen.inference.person import Person
from posegen.networks.codebook import Codebook
from posegen.networks.device import Precision, autocast, default_device, require_precision
from posegen.perception.layered_frame import LayeredContent
from posegen.samples import REGIONS, to_image, to_network, to_unit
from posegen.stages.video_stage import VideoStage

_SAME_CODE = 1e-4
"""Tolerance between codes of the same image."""


class _Conditions(NamedTuple):
    """The warpable parts of a person's image."""

    features: ContentFeatures
    appearance: Appearance | LayeredContent | None
    """None if the stage is not conditioned on it."""
    own: Tensor
    """(Z,), the code of the image's own colours."""


class _Shown(NamedTuple):
    """Inputs of the generator that depend on a person's image and target poses, but not on the colours."""

    features: Tensor
    """(T, 4, H, W) in [-1, 1], restored where the run has a restorer."""
    appearance: Tensor | None
    """(T, 3, H, W) in [-1, 1]; None if the stage is not conditioned on it."""
    garments: Tensor | None
    """(T, 2, H, W) in [0, 1], how much of the appearance the garments are; None if it is not layered."""


class VideoSynthesizer:
    """A renderer on a trained `VideoGenerator`, or its end-to-end baseline.

    A run with ``appearance`` ``layered`` leaves alone what nobody asked to change: a garment whose code is that of the
    person's image is shown in the image's own pixels, and the generator draws around it. With a code of another colour
    it is generated. The two garments are told apart by their halves of the code.

    Args:
        stage: The trained networks.
        size: Height and width of the frames that it was trained on.
        device: Where it runs; by default a GPU if there is one.
        precision: Numbers in the generator. Codes are always found in fp32, which they are compared in.

    Raises:
        ConfigError: The device has no arithmetic of this precision.

    Example:
        >>> synthesizer = load_renderer("runs/video_generator-1", VideoSynthesizer)
        >>> z = synthesizer.recolor(synthesizer.encode(person.image), {"upper": parse_color("teal")})
        >>> frames = synthesizer.frames(person, poses, z)
    """

    stage_type: ClassVar[type[VideoStage]] = VideoStage

    def __init__(
        self,
        stage: VideoStage,
        size: tuple[int, int],
        device: torch.device | None = None,
        precision: Precision = "fp32",
    ):
        self.device, self.precision = device or default_device(), precision
        require_precision(precision, self.device)
        self.stage, self.size = stage.to(self.device).eval(), size

    def frames(self, person: Person, poses: np.ndarray, z: Tensor | None = None) -> Iterator[np.ndarray]:
        """Render one uint8 frame (H, W, 3) per pose, each from the one before.

        Args:
            person: The person.
            poses: (T, 18, 3) keypoints in pixels of the trained size.
            z: Colour code, (Z,) for all frames or (T, Z); None keeps the colours of the person's image.

        Raises:
            ConfigError: The person's image has another size.
        """
        z = self.encode(person.image) if z is None else z
        for frames in self.clips(person, [poses], [z]):
            yield frames[0]

    @torch.no_grad()
    def clips(
        self, person: Person, poses: Sequence[np.ndarray], codes: Sequence[Tensor]
    ) -> Iterator[dict[int, np.ndarray]]:
        """Render several clips of a person as one batch, frame by frame; memory does not grow with their length.

        Args:
            person: The person.
            poses: (T, 18, 3) of each clip; their lengths may differ.
            codes: (Z,) or (T, Z) of each clip.

        Yields:
            The next frame (H, W, 3) uint8 of each clip that has not ended, by the clip's number.
        """
        conditions = self._conditions_of(person)
        expanded = [z.expand(len(of_clip), -1) for z, of_clip in zip(codes, poses, strict=True)]  # (T, Z) each
        previous = self._start(person, len(poses)).clone()  # (N, 3, H, W)
        for t in range(max(map(len, poses), default=0)):
            active = [number for number, of_clip in enumerate(poses) if t < len(of_clip)]
            at_t = [poses[number][t] for number in active]
            z = torch.stack([expanded[number][t] for number in active])  # (N, Z)
            features = self._for_codes(self._warp(conditions, at_t), conditions.own, z)  # (N, F, H, W)
            with autocast(self.precision, self.device):
                images = self.stage.generator(features, previous[active], z, self._regions(at_t)).float()
            previous[active] = images  # (N, 3, H, W)
            yield {number: to_image(image) for number, image in zip(active, images, strict=True)}

    @torch.no_grad()
    def roll_out(self, person: Person, poses: np.ndarray, codes: Tensor) -> Tensor:
        """Render a few poses with each of several codes, all at once.

        Args:
            person: The person.
            poses: (T, 18, 3).
            codes: (N, Z).

        Returns:
            (N, T, 3, H, W) in [-1, 1].
        """
        conditions = self._conditions_of(person)
        shown = self._warp(conditions, list(poses))
        features = torch.stack([self._for_codes(shown, conditions.own, z) for z in codes])  # (N, T, F, H, W)
        count = len(codes)
        regions = self._regions(poses).expand(count, -1, -1, -1, -1)  # (N, T, 2, H, W)
        with autocast(self.precision, self.device):
            return self.stage.roll_out(features, codes, regions, self._start(person, count)).float()

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Tensor:
        """Return the colour code (Z,) of the garments in an image: uint8 (H, W, 3) of the trained size."""
        return self.stage.encode(self._stack([to_network(image)]))[0]

    def recolor(self, z: Tensor, colors: Mapping[str, Sequence[float]]) -> Tensor:
        """Replace the code of each garment in `colors` by the one that its codebook predicts.

        Args:
            z: (Z,).
            colors: ``upper``, ``lower`` or both, each L, a, b. A code hardly changes L: take the garment's own, see
                `worn_color`, for codes like those of training.

        Returns:
            A new (Z,).

        Raises:
            PosegenError: The codebooks are not fitted, since the encoders were trained without recoloured frames.
        """
        parts = list(self.split(z))
        for region, color in colors.items():
            lab = torch.tensor(color, dtype=torch.float32, device=self.device)
            parts[REGIONS.index(region)] = self.codebook(region).predict(lab)
        return torch.cat(parts)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split a code (..., Z) into the codes of the upper and of the lower garment."""
        upper, lower = z.split([self.stage.config.upper_latent_dim, self.stage.config.lower_latent_dim], dim=-1)
        return upper, lower

    def codebook(self, region: str) -> Codebook:
        """Return the codebook of the ``upper`` or ``lower`` garment."""
        codebook = self.stage.codebooks[region]
        assert isinstance(codebook, Codebook)
        return codebook

    def _conditions_of(self, person: Person) -> _Conditions:
        if person.image.shape[:2] != self.size:
            raise ConfigError(f"the content image is {person.image.shape[:2]}, the run was trained at {self.size}")
        features = ContentFeatures(person.keypoints, person.edges, person.mask)
        return _Conditions(features, self._appearance_of(person), self.encode(person.image))

    def _appearance_of(self, person: Person) -> Appearance | LayeredContent | None:
        frame = person.image, person.keypoints, person.mask
        match self.stage.config.appearance:
            case "parts":
                return Appearance(*frame)
            case "layered":
                return LayeredContent.of(*frame)
            case "none":
                return None

    def _start(self, person: Person, count: int) -> Tensor:
        """v0 of several clips of a person, (N, 3, H, W)."""
        image = self._stack([to_network(person.image)])
        return self.stage.start_of({"content": image, "start": image}).expand(count, -1, -1, -1)

    def _warp(self, conditions: _Conditions, poses: Sequence[np.ndarray]) -> _Shown:
        """Warp the generator's conditions to other poses, before codes are known."""
        affines = [estimate_affines(conditions.features.keypoints, pose) for pose in poses]
        maps, support = zip(*map(conditions.features.merge, poses, affines), strict=True)
        estimated = self._stack([to_network(feature) for feature in maps])  # (T, 4, H, W)
        restored = self.stage.restore(estimated, self._stack([to_unit(part[..., None]) for part in support]))
        match conditions.appearance:
            case Appearance() as parts:
                return _Shown(restored, self._stack([to_network(parts.warp(one)) for one in affines]), None)
            case LayeredContent() as layered:
                pictures = self._stack([to_network(layered.show(pose)) for pose in poses])
                garments = self._stack([to_unit(layered.show_garments(pose)) for pose in poses])
                return _Shown(restored, pictures, garments)
            case _:
                return _Shown(restored, None, None)

    def _for_codes(self, shown: _Shown, own: Tensor, z: Tensor) -> Tensor:
        """The generator's conditions (T, F, H, W) for codes (Z,) or (T, Z): garments of the own code are kept."""
        if shown.appearance is None:
            return shown.features
        if shown.garments is None:
            return torch.cat([shown.features, shown.appearance], dim=1)
        halves = zip(self.split(z), self.split(own), strict=True)
        same = torch.stack([((one - other).abs() < _SAME_CODE).all(dim=-1) for one, other in halves], dim=-1)
        kept = (shown.garments * same.view(-1, 2, 1, 1)).sum(dim=1, keepdim=True).clamp(max=1)  # (T, 1, H, W)
        return torch.cat([shown.features, 2 * kept - 1, shown.appearance], dim=1)

    def _regions(self, poses: Iterable[np.ndarray]) -> Tensor:
        """Rasterize the garment regions in poses, (N, 2, H, W) in [0, 1]."""
        return self._stack([to_unit(target_regions(pose, self.size)) for pose in poses])

    def _stack(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)


def interpolate_codes(start: Tensor, end: Tensor, num_frames: int) -> Tensor:
    """Return colour codes (T, Z) on the line between two: (1 − i/T) start + (i/T) end, i = 1..T (Section 4.4)."""
    share = torch.arange(1, num_frames + 1, device=start.device)[:, None] / num_frames  # (T, 1)
    return (1 - share) * start + share * end
