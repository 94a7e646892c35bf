"""Samples of stage II: two consecutive frames of a recoloured clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from posegen.color.recoloring import mean_lightness
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError
from posegen.features.appearance import Appearance
from posegen.features.feature_map import Estimate, feature_map, target_regions
from posegen.features.warp import estimate_affines
from posegen.perception.layered_frame import FrameContents, LayeredContent, bytes_of_contents, find_contents
from posegen.samples.epoch_plan import Arrays, EpochSettings, shuffled
from posegen.samples.frame_plan import FramePlan, Sample, UsableFrames, sample_different
from posegen.samples.tensors import content_features, count_used, to_network, to_unit

_CACHED_BYTES = 64 * 2**20
"""Of what is known of content frames, in each process that loads samples."""


@dataclass(frozen=True, kw_only=True)
class FramePairSettings(EpochSettings):
    """Selection and colours of an epoch's pairs of frames."""

    true_feature_share: float
    """Share of the pairs that see their own feature maps and not estimated ones."""
    recolored: bool = True
    """True for recoloured clips, False for the original ones alone."""
    num_recolorings: int = 0
    """Number of recolourings of each clip beside the original, the first ones; 0 takes all."""
    colors_per_pair: int = 1
    """Different recolourings of each pair, which follow one another in the plan; `epoch_size` counts each of them."""
    rollout_len: int = 2
    """T, the frames that are generated one after another to the end of the pair."""
    appearance: Literal["none", "parts", "layered"] = "none"
    """Appearance of the content frame in the poses of the frames: none, an `Appearance`, or a `LayeredContent`."""
    unchanged_share: float = 0.0
    """With ``layered``, share of the samples that are shown in the colours that they have, whichever these are."""


class FramePairs:
    """Two consecutive frames of a recoloured clip and its content frame, for stage II (Section 3.2).

    Keys: ``content`` (3, H, W) and ``images`` (2, 3, H, W), painted alike, and ``features`` (T, 4, H, W), all in
    [-1, 1]; ``regions`` (T, 2, H, W) in [0, 1], where the upper and the lower garment can be; ``estimated`` (), whether
    the features were warped from the content frame, and ``support`` (T, 1, H, W) in [0, 1], where its parts came to
    lie; ``lead`` (), how many of the T - 2 frames before the pair count, the last ones: as many as chance and the
    clip's beginning leave; ``lab`` (2, 3), L, a, b of the upper and the lower garment as they were painted in the
    content frame, NaN where they were not; ``noise`` (Z,); and on demand ``start`` (3, H, W), the content frame before
    it was painted, and ``appearance`` (T, 3, H, W) in [-1, 1], what that frame shows of the person in the poses of the
    frames, see `Appearance` and `LayeredContent`; where the features are the frames' own, so is the appearance.

    Where it is layered, some samples are to keep what they are shown: those in the clothes' own colours, and a share of
    the others, which are shown as they were painted. For them ``kept`` (T, 1, H, W) in [0, 1] is how much of each pixel
    the garments take in ``appearance``, and their ``start`` has their colours, too; for all others ``kept`` is 0, as it
    is where the appearance is the frames' own. From these a generator learns to leave what it is shown, from the others
    to change it to the colours of the code.

    Half of the content frames are the first of the clip, as in the evaluation, and half are drawn from all its
    frames, so that the code cannot carry the pose.

    Args:
        dataset: With recolorings of scope ``clip`` and region ``both``.
        split: ``train`` or ``test``.
        settings: Which pairs, and in which colours.
        latent_dim: Z, of both garments together.
        with_start: Whether ``start`` is there.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        split: Split,
        settings: FramePairSettings,
        *,
        latent_dim: int,
        with_start: bool = False,
    ):
        self.clips = dataset.split(split)
        self.recolorings = [dataset.recolorings("clip", "both", clip) for clip in self.clips]
        self.settings, self.latent_dim = settings, latent_dim
        self.with_start = with_start
        self.max_lead = settings.rollout_len - 2
        self.num_recolorings = settings.num_recolorings and settings.num_recolorings + 1  # the original is recoloring 0
        self._newest: tuple[Sample, _Pair] | None = None
        height, width = dataset.info.size
        self._most_contents = max(_CACHED_BYTES // bytes_of_contents(height, width), 1)
        self._contents: dict[tuple[int, int], FrameContents] = {}  # by clip and row, the oldest first
        used = [count_used(recolorings, self.num_recolorings) for recolorings in self.recolorings]
        self._num_used = np.array(used if settings.recolored else [1] * len(used))  # (C,)
        if min(used, default=settings.colors_per_pair) < settings.colors_per_pair:
            raise DatasetError(
                f"some clips have fewer than {settings.colors_per_pair} recolourings: colorize them with more"
            )

    @cached_property
    def _usable(self) -> UsableFrames:
        return UsableFrames(self.clips)

    @cached_property
    def _pairs(self) -> np.ndarray:
        """(P,) positions, among the usable frames, of the first of two neighbours that both are usable."""
        return self._usable.pairs()

    @cached_property
    def _leads(self) -> np.ndarray:
        return np.minimum(self._usable.leads(), self.max_lead)

    def plan(self, epoch: int) -> FramePlan:
        settings, colors = self.settings, self.settings.colors_per_pair
        rng = np.random.default_rng([settings.seed, epoch])
        frames = self._pairs[shuffled(len(self._pairs), settings.epoch_size // colors, rng)]  # (P,)
        clips = self._usable.clips[frames]
        content = self._usable.sample_content(clips, rng)
        estimate = rng.random(len(frames)) >= settings.true_feature_share
        lead = rng.integers(1 + self._leads[frames])
        recoloring = sample_different(self._num_used[clips], colors, rng)  # (P, colors); 0 is the original
        layered = settings.appearance == "layered"
        unchanged = layered & ((recoloring == 0) | (rng.random(recoloring.shape) < settings.unchanged_share))
        of_pair = {"clip": clips, "row": self._usable.rows[frames], "content": content, "estimate": estimate}
        # Colourings of a pair have the same noise: what differs between them is the colour alone.
        of_pair |= {"lead": lead, "number": np.arange(len(frames)) * colors}
        columns = {name: np.repeat(values, colors) for name, values in of_pair.items()}
        return FramePlan((settings.seed, epoch), **columns, recoloring=recoloring.ravel(), unchanged=unchanged.ravel())

    def load(self, sample: Sample) -> Arrays:
        pair = self._pair(replace(sample, recoloring=0, unchanged=False))
        recolorings, row = self.recolorings[sample.clip], sample.row
        content = recolorings.image(sample.content, sample.recoloring)
        at = recolorings.rows[sample.content, sample.recoloring]
        recolored = (content != pair.content).any(axis=-1, keepdims=True) & pair.garments  # (H, W, 2)
        return {
            **pair.arrays,
            **(self._unchanged(sample, pair, content) if sample.unchanged else {}),
            "content": to_network(content),
            "images": np.stack([to_network(recolorings.image(r, sample.recoloring)) for r in (row, row + 1)]),
            "lab": _recolored_lab(content, recolored, (recolorings.upper_ab[at], recolorings.lower_ab[at])),
        }

    def _pair(self, sample: Sample) -> _Pair:
        """Return the data that all recolourings of a pair share; computed once for consecutive ones."""
        if self._newest is None or self._newest[0] != sample:
            self._newest = sample, self._load_pair(sample)
        return self._newest[1]

    def _load_pair(self, sample: Sample) -> _Pair:
        clip = self.clips[sample.clip]
        rows = range(sample.row - sample.lead, sample.row + 2)
        poses, size = clip.keypoints[rows.start : rows.stop], clip.info.size

        image = clip.image(sample.content)
        shown: list[np.ndarray] = []
        layered: LayeredContent | None = None
        if sample.estimate:
            content = content_features(clip, sample.content)
            affines = [estimate_affines(content.keypoints, pose) for pose in poses]
            estimates = list(map(content.merge, poses, affines))
            if self.settings.appearance == "layered":
                layered = self._take_apart(sample.clip, sample.content)
                shown = [layered.show(pose) for pose in poses]
            elif self.settings.appearance == "parts":
                appearance = Appearance(image, content.keypoints, clip.mask(sample.content))
                shown = [appearance.warp(one) for one in affines]
        else:
            seen_whole = np.full(size, 255, np.uint8)
            estimates = [Estimate(feature_map(clip.keypoints[row], clip.edges(row)), seen_whole) for row in rows]
            if self.settings.appearance != "none":
                shown = [clip.image(row) for row in rows]
        features, support = zip(*estimates, strict=True)
        arrays = {
            "features": self._fill_lead([to_network(feature) for feature in features]),
            "regions": self._fill_lead([to_unit(target_regions(pose, size)) for pose in poses]),
            "estimated": np.array(sample.estimate),
            "lead": np.array(sample.lead),
            "support": self._fill_lead([to_unit(part[..., None]) for part in support]),
            "noise": np.random.default_rng(sample.seed).standard_normal(self.latent_dim, np.float32),
            **({"start": to_network(image)} if self.with_start else {}),
        }
        if shown:
            arrays["appearance"] = self._fill_lead([to_network(picture) for picture in shown])
        if self.settings.appearance == "layered":
            arrays["kept"] = np.zeros((self.settings.rollout_len, 1, *size), np.float32)
        return _Pair(image, target_regions(clip.keypoints[sample.content], size) > 0, arrays, layered)

    def _unchanged(self, sample: Sample, pair: _Pair, content: np.ndarray) -> Arrays:
        """Return the arrays of a sample that do not depend on new colours: its own appearance, the frame before, and
        the region to keep."""
        clip, recolorings = self.clips[sample.clip], self.recolorings[sample.clip]
        rows = range(sample.row - sample.lead, sample.row + 2)
        start = {"start": to_network(content)} if self.with_start else {}
        if pair.layered is None:
            shown = [recolorings.image(row, sample.recoloring) for row in rows]
            return {**start, "appearance": self._fill_lead([to_network(picture) for picture in shown])}
        poses, layered = clip.keypoints[rows.start : rows.stop], pair.layered.recolored(content)
        garments = [to_unit(layered.show_garments(pose)).sum(axis=0, keepdims=True) for pose in poses]
        return {
            **start,
            "appearance": self._fill_lead([to_network(layered.show(pose)) for pose in poses]),
            "kept": self._fill_lead(garments).clip(0, 1),
        }

    def _fill_lead(self, frames: list[np.ndarray]) -> np.ndarray:
        """Stack T frames; where the lead has fewer, its first one fills the rest, which does not count."""
        return np.stack([frames[0]] * (self.settings.rollout_len - len(frames)) + frames)

    def _take_apart(self, clip: int, row: int) -> LayeredContent:
        """Take a content frame apart; what is slow to find in it is found once, as long as there is room for it."""
        file = self.clips[clip]
        frame = file.image(row), file.keypoints[row], file.mask(row)
        if (clip, row) not in self._contents:
            while len(self._contents) >= self._most_contents:
                del self._contents[next(iter(self._contents))]
            self._contents[clip, row] = find_contents(*frame)
        return LayeredContent.of(*frame, self._contents[clip, row])


class _Pair(NamedTuple):
    """Data of a pair of frames that all its recolourings share."""

    content: np.ndarray
    """(H, W, 3) uint8, its content frame before it was painted."""
    garments: np.ndarray
    """(H, W, 2) bool, where the upper and the lower garment can be in it."""
    arrays: Arrays
    layered: LayeredContent | None
    """Its content frame, where that is what is shown."""


def _recolored_lab(image: np.ndarray, recolored: np.ndarray, colors: Sequence[Sequence[float] | None]) -> np.ndarray:
    """L, a, b (2, 3) of the garments of a painted frame, NaN for one that kept its own colour.

    Args:
        image: (H, W, 3) uint8.
        painted: (H, W, 2) bool, the garments' painted pixels.
        colors: The (a, b) that each was painted with, None for one that was not.
    """
    lab = np.full((2, 3), np.nan, np.float32)
    for garment, ab in enumerate(colors):
        if ab is not None:
            lab[garment] = mean_lightness(image, recolored[..., garment]), *ab
    return lab
