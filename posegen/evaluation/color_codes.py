"""Maps of a colour encoder's codes: do they form a spectrum? (Yang et al., 2020, Section 4.5)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posegen.color.lab import lab_to_rgb
from posegen.color.recoloring import mean_lightness
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.datasets.dataset import Split
from posegen.errors import DatasetError
from posegen.metrics.latent import probe_r2
from posegen.samples import to_network, usable_rows

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class FrameSampling:
    """Selection of the recoloured frames that are encoded."""

    split: Split = "train"
    """Clips that they are of."""
    region: Literal["upper", "lower"] = "upper"
    """Garment that was recoloured, and whose colour the codes are mapped by."""
    count: int = 7000
    """Frames at most; fewer where the clips have fewer."""
    seed: int = 0
    """Seed of the random choice."""


@dataclass(frozen=True)
class CodeMap:
    """Codes of recoloured frames, with the colour of the garment in each."""

    codes: np.ndarray
    """(N, Z) float32."""
    lab: np.ndarray
    """(N, 3): mean L of the recoloured garment, recorded a and b."""
    clips: np.ndarray
    """(N,) id of the clip of each frame."""

    @property
    def probe_r2(self) -> float:
        """R² of a linear probe from code to (a, b), on clips that it was not fitted on."""
        return probe_r2(self.codes, self.lab[:, 1:], self.clips)

    @property
    def rgb(self) -> np.ndarray:
        """(N, 3) in [0, 1]: the garments' colours, for the dots of a plot."""
        return np.clip(lab_to_rgb(self.lab), 0, 1)


@torch.no_grad()
def map_color_codes(
    encode: Callable[[Tensor], Tensor],
    dataset: ClipDataset,
    sampling: FrameSampling = FrameSampling(),
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> CodeMap:
    """Encode random recoloured frames: equally many of each clip, each frame with a random one of its colours.

    Args:
        encode: From images (N, 3, H, W) in [-1, 1], on the CPU, to codes (N, Z).
        dataset: Clips with recolourings of scope ``frame`` and the region.
        sampling: Which frames.
        on_progress: Called with the number of clips that are done and the number of all.

    Raises:
        DatasetError: No clip has recoloured frames.
    """
    region, count = sampling.region, sampling.count
    clips = dataset.split(sampling.split)
    rng = np.random.default_rng(sampling.seed)
    codes, lab, names = [], [], []
    for done, clip in enumerate(clips):
        on_progress(done, len(clips))
        recolored = list(_recolored_frames(dataset, clip, region, -(-count // len(clips)), rng))
        for start in range(0, len(recolored), _BATCH):
            images = np.stack([to_network(image) for image, _ in recolored[start : start + _BATCH]])
            codes.append(encode(torch.from_numpy(images)).cpu().numpy())
        lab += [color for _, color in recolored]
        names += [clip.clip_id] * len(recolored)
    on_progress(len(clips), len(clips))
    if not names:
        raise DatasetError(
            f"no recoloured frames in {dataset.folder}: colorize it with --scope frame --region {region}"
        )
    return CodeMap(np.concatenate(codes)[:count], np.array(lab)[:count], np.array(names)[:count])


def _recolored_frames(
    dataset: ClipDataset, clip: ClipFile, region: str, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, tuple[float, float, float]]]:
    """Recoloured frames (H, W, 3) of a clip and L, a, b of each; a frame more than once only in different colours."""
    recolorings = dataset.recolorings("frame", region, clip)
    designated = recolorings.upper_ab if region == "upper" else recolorings.lower_ab
    choices = [(int(row), recoloring) for row in usable_rows(clip) for recoloring in range(recolorings.num_recolorings)]
    for number in rng.permutation(len(choices))[:count]:
        row, recoloring = choices[number]
        ab = designated[recolorings.rows[row, recoloring]]
        if ab is None:
            continue
        image, original = recolorings.image(row, recoloring), clip.image(row)
        changed = (image != original).any(axis=-1)
        yield image, (mean_lightness(original, changed), ab[0], ab[1])
