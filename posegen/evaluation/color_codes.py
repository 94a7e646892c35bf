"""Maps of a colour encoder's codes: do they form a spectrum? (Yang et al., 2020, Section 4.5)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class LatentMap:
    """Codes of painted frames, with the colour that each was painted in."""

    codes: np.ndarray
    """(N, Z) float32."""
    lab: np.ndarray
    """(N, 3): mean L of the painted garment, recorded a and b."""
    clips: np.ndarray
    """(N,) id of the clip that each frame is from."""

    @property
    def probe_r2(self) -> float:
        """R² of a linear probe from code to (a, b), on clips that it has not seen."""
        return probe_r2(self.codes, self.lab[:, 1:], self.clips)

    @property
    def rgb(self) -> np.ndarray:
        """(N, 3) in [0, 1]: the colour that each dot is drawn in."""
        return np.clip(lab_to_rgb(self.lab), 0, 1)


@torch.no_grad()
def map_codes(
    encode: Callable[[Tensor], Tensor],
    dataset: ClipDataset,
    split: Split = "train",
    *,
    region: str = "upper",
    count: int = 7000,
    seed: int = 0,
    device: torch.device | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LatentMap:
    """Encode random painted frames: as many of each clip, each frame with a random one of its colours.

    Args:
        encode: Images (N, 3, H, W) in [-1, 1] to codes (N, Z).
        dataset: With colour variants of scope ``frame`` and this region.
        split: Of its clips.
        region: ``upper`` or ``lower``, the garment whose colour the code is asked for.
        count: Frames at most; fewer where the clips have fewer.
        seed: Decides which.
        device: Where `encode` runs.
        on_progress: Hears how many of how many frames are encoded.

    Raises:
        DatasetError: No clip has painted frames.
    """
    clips = dataset.split(split)
    rng = np.random.default_rng(seed)
    codes, lab, names = [], [], []
    for done, clip in enumerate(clips):
        on_progress(done, len(clips))
        painted = list(_recolored_frames(dataset, clip, region, -(-count // len(clips)), rng))
        for start in range(0, len(painted), _BATCH):
            images = np.stack([to_network(image) for image, _ in painted[start : start + _BATCH]])
            codes.append(encode(torch.from_numpy(images).to(device)).cpu().numpy())
        lab += [color for _, color in painted]
        names += [clip.clip_id] * len(painted)
    on_progress(len(clips), len(clips))
    if not names:
        raise DatasetError(f"no painted frames in {dataset.folder}: colorize it with --scope frame --region {region}")
    return LatentMap(np.concatenate(codes)[:count], np.array(lab)[:count], np.array(names)[:count])


def _recolored_frames(
    dataset: ClipDataset, clip: ClipFile, region: str, count: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, tuple[float, float, float]]]:
    """Painted frames (H, W, 3) of a clip and L, a, b of each; a frame more than once only in different colours."""
    variants = dataset.variants("frame", region, clip)
    designated = variants.upper_ab if region == "upper" else variants.lower_ab
    choices = [(int(row), variant) for row in usable_rows(clip) for variant in range(variants.num_recolorings)]
    for number in rng.permutation(len(choices))[:count]:
        row, variant = choices[number]
        ab = designated[variants.rows[row, variant]]
        if ab is None:
            continue
        image, original = variants.image(row, variant), clip.image(row)
        painted = (image != original).any(axis=-1)
        yield image, (mean_lightness(original, painted), ab[0], ab[1])
