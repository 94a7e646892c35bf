"""Colours of garments by the colour codes of trained runs, and codes by colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from posegen.checkpoints.checkpoint import find_checkpoint, load_frame_stage
from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab, in_gamut, into_gamut
from posegen.errors import ConfigError
from posegen.networks.codebook import Codebook
from posegen.samples import to_network
from posegen.stages import ColorEncoder
from posegen.stages.video_stage import VideoStage

_GRID = (17, 25, 25)  # colours of the table: steps of L, a and b
_ROUNDS, _FINER = 3, 2.0  # of the search between the colours of the table, and how much finer each is
_KNOTS, _FADE_STEPS = 33, 60  # colours of a way, between which it is straight, and steps of the search for them
_EVENNESS = 0.08  # weight of the way's length, in ranges of the training colours, against variances of codes
_LEAST_SPREAD = 1e-3  # of the largest standard deviation: of parts of the code that tell nothing
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")


class CodeColors:
    """The colours that the codes of one garment stand for.

    A codebook says which code a colour has. Here it is read the other way: the colour of a code is that whose own code
    is nearest to it, in standard deviations of the training codes, among the colours that garments had in training and
    that displays show.

    Args:
        encoder: Gives the code of a frame.
        codebook: Fitted to the encoder's codes.
        size: Height and width of the frames that the encoder was trained on.
    """

    def __init__(self, encoder: nn.Module, codebook: Codebook, size: tuple[int, int]):
        self._encoder, self._codebook, self.size = encoder.eval(), codebook, size

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Tensor:
        """Return the code (Z,) of the garment in a picture of a person, uint8 (H, W, 3) of the trained size."""
        return self._encoder(torch.from_numpy(to_network(image))[None])[0][0]

    def sample(self, count: int, generator: torch.Generator, *, prior: bool = False) -> Tensor:
        """Draw codes (count, Z) from the Gaussian of the training codes, or from N(0, I)."""
        return self._codebook.sample(count, generator, prior=prior)

    def code_of(self, lab: Sequence[float]) -> Tensor:
        """Return the code (Z,) of a colour L, a, b."""
        return self._codebook.predict(torch.tensor(lab, dtype=torch.float32))

    def colors_of(self, codes: Tensor) -> np.ndarray:
        """Return the colours (N, 3) L, a, b of codes (N, Z)."""
        table, own = self._table
        spread = self._spread
        best = table[torch.cdist(codes / spread, own).argmin(dim=1)]  # (N, 3)
        step = (self._codebook.highest - self._codebook.lowest) / (torch.tensor(_GRID) - 1)  # (3,)
        offsets = torch.cartesian_prod(*(torch.arange(-2.0, 3.0),) * 3)  # (125, 3)
        for _ in range(_ROUNDS):
            step = step / _FINER
            tried = (best[:, None] + offsets * step).clamp(self._codebook.lowest, self._codebook.highest)
            away = (self._codebook.predict(tried) - codes[:, None]).div(spread).norm(dim=-1)  # (N, 125)
            best = tried[torch.arange(len(tried)), away.argmin(dim=1)]
        return into_gamut(best.double().numpy())

    def fade(self, codes: tuple[Tensor, Tensor], ends: tuple[Lab, Lab], shares: np.ndarray) -> np.ndarray:
        """Return the colours (T, 3) along the line between two codes, with exactly the colours given at its ends.

        Several colours may have nearly one code, and the nearest would jump from one to another on the way. So the
        whole way is found at once: each colour's code is to be on the line, and each colour near the one before it.

        Args:
            codes: (Z,) of the first and of the last frame.
            ends: L, a, b of both.
            shares: (T,) in [0, 1], how far along the line each frame is.
        """
        along = torch.linspace(0, 1, _KNOTS)[:, None]
        line = ((1 - along) * codes[0] + along * codes[1]) / self._spread  # (K, Z)
        scale = self._codebook.highest - self._codebook.lowest
        first, last = (torch.tensor(end, dtype=torch.float32) / scale for end in ends)
        start = (1 - along) * first + along * last  # (K, 3), straight
        inner = start[1:-1].clone().requires_grad_()
        optimizer = torch.optim.LBFGS([inner], max_iter=_FADE_STEPS, line_search_fn="strong_wolfe")

        def away() -> Tensor:
            optimizer.zero_grad()
            way = torch.cat([start[:1], inner, start[-1:]])
            off = (self._codebook.predict(way * scale) / self._spread - line).square().sum(dim=1).mean()
            steps = (way.diff(dim=0) * (_KNOTS - 1)).square().sum(dim=1).mean()
            loss = off + _EVENNESS * steps
            loss.backward()
            return loss

        optimizer.step(away)
        way = torch.cat([start[:1], inner.detach(), start[-1:]]).double().numpy() * scale.double().numpy()
        way[0], way[-1] = ends
        way[1:-1] = into_gamut(way[1:-1])
        return np.stack([np.interp(shares, along[:, 0].numpy(), way[:, axis]) for axis in range(3)], axis=-1)

    @cached_property
    def _spread(self) -> Tensor:
        """Scale of each code dimension, (Z,); differences of codes are divided by it."""
        std = self._codebook.std
        return std.clamp_min(max(_LEAST_SPREAD * float(std.max()), 1e-9))

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor]:
        """Colours (K, 3) that garments had in training, and their codes (K, Z) in standard deviations."""
        ends = zip(self._codebook.lowest.tolist(), self._codebook.highest.tolist(), _GRID, strict=True)
        axes = np.meshgrid(*(np.linspace(*one) for one in ends), indexing="ij")
        colors = np.stack(axes, axis=-1).reshape(-1, 3)
        table = torch.from_numpy(colors[in_gamut(colors)]).float()
        return table, self._codebook.predict(table) / self._spread


def load_code_colors(runs: Sequence[str]) -> dict[Garment, CodeColors]:
    """Load the codes of runs, by garment.

    Args:
        runs: Folders of runs or checkpoints of color_encoder, or of video_generator or end_to_end, which know both
            garments.

    Raises:
        PosegenError: A run cannot be read, is of another stage or was trained on no recoloured frames, or two of them
            know the same garment.
    """
    found: dict[Garment, CodeColors] = {}
    for run in runs:
        stage, size = load_frame_stage(find_checkpoint(run), (ColorEncoder, VideoStage))
        parts: dict[Garment, tuple[nn.Module, nn.Module]]
        if isinstance(stage, ColorEncoder):
            parts = {stage.config.region: (stage.encoder, stage.codebook)}
        else:
            assert isinstance(stage, VideoStage)
            parts = {garment: (stage.encoders[garment], stage.codebooks[garment]) for garment in _GARMENTS}
        for garment, (encoder, codebook) in parts.items():
            assert isinstance(codebook, Codebook)
            if garment in found:
                raise ConfigError(f"{run} and a run before it both know the colours of the {garment} garment: give one")
            if not codebook.is_fitted:
                raise ConfigError(f"{run} was trained on no recoloured frames: its codes say nothing of colours")
            found[garment] = CodeColors(encoder, codebook, size)
    return found
