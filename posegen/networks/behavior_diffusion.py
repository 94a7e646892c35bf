"""A behaviour net that samples motions: the code, with the first posture, says which, and limbs keep their length.

What the code does not tell, how far the arm is up now, is sampled and not averaged over, so that movements stay as wide
and as quick as real ones while codes hold little of postures. A motion is principal components of the directions of its
bones, see `posegen.networks.bone_directions`. They are sampled by flow matching (Lipman et al., 2023,
arXiv:2210.02747): on the way from noise z₀ to components z₁, z_t = (1 − t) z₀ + t z₁, the network predicts z₁, and z
moves towards it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posegen.networks.actor import frame_mask
from posegen.networks.behavior import NormalizedPostures
from posegen.networks.bone_directions import (
    DIRECTION_FEATURES,
    bone_sizes,
    find_facing,
    from_directions,
    to_directions,
)
from posegen.networks.motion_denoiser import ModulatedBlock, MotionCode, waves

_SPEED = 5.0  # factor of differences from frame to frame, which are as large as postures then
_KERNEL, _GROUPS = 5, 8
_LEAST_STD = 0.1  # of a feature: directions of bones that hardly turn are not blown up
_LOGSTD = (-6.0, 2.0)
_TIMES = (-0.3, 1.2)  # mean and standard deviation of the logit of the times that are learned
_LEAST_WAY = 0.15  # to the end, below which errors count no more
_EMPHASIS = 2.0


@dataclass(frozen=True, kw_only=True)
class DiffusionSize:
    """Size of a `BehaviorDiffusion`."""

    latent_dim: int = 64
    """Z, numbers of a code."""
    num_frames: int = 50
    """T, frames that are generated at once."""
    num_components: int = 192
    """K, principal components of a window: few are smooth."""
    width: int = 512
    """Of the hidden layers that clean."""
    num_blocks: int = 4
    """Residual blocks of them."""
    blend_frames: int = 20
    """Frames after which nothing is left of what a foreign first posture adds to a motion."""


class BehaviorDiffusion(NormalizedPostures):
    """Encodes what is done, and samples motions that do it from a posture on.

    Motions may stand and look anywhere: each is seen from its own first posture.

    Args:
        size: Sizes of the networks.
        guidance: Strength of the push towards what the code says: 1 samples what was learned, more is clearer and less
            varied (Ho and Salimans, 2022, arXiv:2207.12598).
        sampling_steps: Steps from noise to a motion, each of which takes the network twice.
    """

    blend: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, size: DiffusionSize, guidance: float = 1.0, sampling_steps: int = 12):
        super().__init__()
        self.size, self.guidance, self.sampling_steps = size, guidance, sampling_steps
        self.encoder = MotionEncoder(size.latent_dim)
        self.denoiser = BehaviorDenoiser(size)
        self.components = MotionCode(size.num_components, size.num_frames + 1, DIRECTION_FEATURES, 1)
        self.register_buffer("feature_mean", torch.zeros(DIRECTION_FEATURES))
        self.register_buffer("feature_std", torch.ones(DIRECTION_FEATURES))
        share = (torch.arange(size.num_frames + 1.0) / size.blend_frames).clamp(max=1)
        self.register_buffer("blend", 1 - share * share * (3 - 2 * share), persistent=False)  # (T + 1,) from 1 to 0

    def encode(self, joints: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `NormalizedPostures.encode`."""
        num_frames = joints.shape[1]
        if lengths is None:
            lengths = torch.full((len(joints),), num_frames, device=joints.device)
        return self.encoder(self.features(joints), frame_mask(lengths.to(joints.device), num_frames))

    @torch.no_grad()
    def decode(self, code: Tensor, start: Tensor, num_frames: int) -> Tensor:
        """See `NormalizedPostures.decode`. More than T frames go on, window by window, from the last posture.

        The noise is always the same: equal codes and postures give equal motions.
        """
        generator, made = torch.Generator().manual_seed(0), [start[:, None]]
        lengths = bone_sizes(start)  # (N, 16)
        while sum(window.shape[1] for window in made) <= num_frames:
            place = find_facing(made[-1][:, -1])
            front = self.features(made[-1][:, -1:])[:, 0]  # (N, D)
            noise = torch.randn((len(code), self.size.num_components), generator=generator).to(front)
            features = self._sample(code, front, noise)
            joints = from_directions(features * self.feature_std + self.feature_mean, lengths)
            made.append(place.to_world(joints[:, 1:]))
        return torch.cat(made, dim=1)[:, 1 : num_frames + 1]

    def features(self, joints: Tensor) -> Tensor:
        """Joints (N, T, 17, 3) in metres as the networks see them, (N, T, D), from where their first postures look."""
        return (to_directions(find_facing(joints[:, 0]).to_front(joints)) - self.feature_mean) / self.feature_std

    def begin_at(self, features: Tensor, start: Tensor) -> Tensor:
        """Let motions (N, T + 1, D) begin with other postures (N, D): the difference fades over the first frames.

        That is inertialization (Bollo, 2018, Game Developers Conference).
        """
        return features + self.blend[:, None] * (start - features[:, 0])[:, None]

    @torch.no_grad()
    def fit(self, windows: Tensor) -> None:
        """Take scale and principal components from windows (M, T + 1, 17, 3) of real motions."""
        directions = to_directions(find_facing(windows[:, 0]).to_front(windows))
        self.feature_mean.copy_(directions.mean(dim=(0, 1)))
        self.feature_std.copy_(directions.std(dim=(0, 1)).clamp_min(_LEAST_STD))
        own = (directions - self.feature_mean) / self.feature_std
        everything = torch.cat([own, self.begin_at(own, own[:, 0].roll(1, dims=0))])
        labels = torch.zeros(len(everything), dtype=torch.int64, device=own.device)
        self.components.fit(emphasize(everything), labels, own.new_ones(DIRECTION_FEATURES))

    def denoising_error(self, code: Tensor, start: Tensor, motions: Tensor, known: Tensor) -> Tensor:
        """Mean squared error of the predicted components, more of it near the end of the way and of large ones.

        Args:
            code: (N, Z).
            start: (N, D) features of first postures.
            motions: (N, T + 1, D) features of what shall be generated.
            known: (N, 2) 1 where code and first posture are known, 0 where the network learns to do without.
        """
        amplitude = self._amplitude()
        clean = self.components.encode(emphasize(motions)) * amplitude  # (N, K)
        mean, std = _TIMES
        time = torch.sigmoid(mean + std * torch.randn(len(clean), 1, device=clean.device))  # (N, 1)
        noisy = torch.lerp(torch.randn_like(clean), clean, time)
        error = self.denoiser(noisy, time, code, start, known) - clean  # (N, K)
        return ((error.square() * amplitude).mean(dim=1, keepdim=True) / (1 - time).clamp_min(_LEAST_WAY)).mean()

    def _sample(self, code: Tensor, start: Tensor, noise: Tensor) -> Tensor:
        """Sample features (N, T + 1, D) of motions by their codes (N, Z), first postures (N, D) and noise (N, K)."""
        both = code.new_ones(len(code), 2)
        without = both * code.new_tensor((0.0, 1.0))
        z = noise
        for step in range(self.sampling_steps):
            time = z.new_full((len(z), 1), step / self.sampling_steps)
            clean = self.denoiser(z, time, code, start, both)
            if self.guidance != 1:
                clean = torch.lerp(self.denoiser(z, time, code, start, without), clean, self.guidance)
            z = z + (clean - z) / (self.sampling_steps - step)
        return self.begin_at(calm(self.components.decode(z / self._amplitude())), start)

    def _amplitude(self) -> Tensor:
        """(K,) standard deviations of components where noise is added: large ones stay larger than noise for longer, so
        that a motion is decided upon from its outline to its details."""
        scale = self.components.get_buffer("scale")
        return (scale / scale.mean()).sqrt()


def emphasize(motions: Tensor) -> Tensor:
    """Add multiples of the differences from frame to frame to motions (N, T, D), so that quick movements count."""
    return motions + _EMPHASIS * F.pad(motions.diff(dim=1), (0, 0, 1, 0))


def calm(motions: Tensor) -> Tensor:
    """Return the inverse of `emphasize`."""
    frames = [motions[:, 0]]
    for frame in motions.unbind(dim=1)[1:]:
        frames.append((frame + _EMPHASIS * frames[-1]) / (1 + _EMPHASIS))
    return torch.stack(frames, dim=1)


class MotionEncoder(nn.Module):
    """Reads the code of a motion, mean and logarithm of the standard deviation, from its postures and changes.

    Args:
        latent_dim: Z.
        width: Channels of the convolutions over time.
    """

    def __init__(self, latent_dim: int, width: int = 96):
        super().__init__()
        self.layers = MaskedConvolutions(2 * DIRECTION_FEATURES, width)
        self.dropout = nn.Dropout(0.3)
        self.mean = nn.Linear(2 * width, latent_dim)
        self.logstd = nn.Linear(2 * width, latent_dim)
        nn.init.normal_(self.logstd.weight, std=0.01)
        nn.init.constant_(self.logstd.bias, -1.0)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, T, D), of which the frames of a mask (N, T) count, to (N, Z) and (N, Z)."""
        changes = F.pad(features.diff(dim=1), (0, 0, 1, 0)) * _SPEED
        read = self.layers(torch.cat([features, changes], dim=2), mask)  # (N, 2 W)
        return self.mean(self.dropout(read)), self.logstd(read).clamp(*_LOGSTD)


class MaskedConvolutions(nn.Module):
    """Convolutions over time, then mean and maximum over the frames that count.

    Args:
        num_features: D, numbers of a frame.
        width: W, channels, a multiple of 8.
    """

    def __init__(self, num_features: int, width: int):
        super().__init__()
        inputs = (num_features, width, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(near, width, _KERNEL, padding=_KERNEL // 2) for near in inputs)
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in inputs)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """(N, T, D) and a mask (N, T) of 0 and 1 to (N, 2 W)."""
        kept = mask[:, None].to(features)  # (N, 1, T)
        x = features.transpose(1, 2) * kept  # (N, D, T)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x))) * kept  # (N, W, T)
        return torch.cat([x.sum(dim=2) / kept.sum(dim=2).clamp_min(1), x.amax(dim=2)], dim=1)


class BehaviorDenoiser(nn.Module):
    """Cleans noisy components of a motion by its code and first posture.

    Args:
        size: Sizes.
        condition_dim: Numbers that code, posture and noise become.
        dropout: Share of activations that training drops.
    """

    def __init__(self, size: DiffusionSize, condition_dim: int = 256, dropout: float = 0.1):
        super().__init__()
        self.code = nn.Linear(size.latent_dim, condition_dim)
        self.start = nn.Sequential(
            nn.Linear(DIRECTION_FEATURES, condition_dim), nn.SiLU(), nn.Linear(condition_dim, condition_dim)
        )
        self.noise = nn.Linear(64, condition_dim)
        self.condition = nn.Linear(condition_dim, condition_dim)
        self.enter = nn.Linear(size.num_components, size.width)
        blocks = [ModulatedBlock(size.width, condition_dim, dropout) for _ in range(size.num_blocks)]
        self.blocks = nn.ModuleList(blocks)
        self.leave = nn.Linear(size.width, size.num_components)
        for layer in (self.leave, *(block.second for block in blocks)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, time: Tensor, code: Tensor, start: Tensor, known: Tensor) -> Tensor:
        """Predict components (N, K). See `BehaviorDiffusion.denoising_error`.

        Args:
            z: (N, K), noisy.
            time: (N, 1) of the way from noise to components, from 0 to 1.
            code: (N, Z).
            start: (N, D).
            known: (N, 2).
        """
        noise = self.noise(waves(time[:, 0], 1.0, 100.0, 32))  # (N, E)
        told = self.code(code) * known[:, :1] + self.start(start) * known[:, 1:]  # (N, E)
        condition = F.silu(self.condition(F.silu(noise + told)))  # (N, E)
        x = self.enter(z)  # (N, H)
        for block in self.blocks:
            x = block(x, condition)  # (N, H)
        return self.leave(x)  # (N, K)
