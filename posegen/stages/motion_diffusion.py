"""Motions of an action by diffusion in a linear code of whole windows (Karras et al., 2022, arXiv:2206.00364)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW

from posegen.datasets.dataset import Dataset, Split
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.losses import masked_mse
from posegen.metrics.motion import amplitude
from posegen.motion.floor import FEET
from posegen.motion.motion import Motion
from posegen.motion.planted_feet import Planting, plant_feet
from posegen.motion.pose_features import pose_features
from posegen.motion.world_features import (
    PLACES,
    WORLD_FEATURES,
    append_world,
    flat_world,
    move_world,
    unflat_world,
)
from posegen.networks.actor import frame_mask
from posegen.networks.code_constraint import CodeConstraint
from posegen.networks.motion_denoiser import (
    Denoised,
    MotionCode,
    MotionDenoiser,
    denoise,
    noise_levels,
    sample_codes_heun,
)
from posegen.samples import Batch, Samples, Window, WorldCrops, fixed_batch
from posegen.skeletons import SMPL_24, joint_indices
from posegen.stages.motion_generator import GivenFrames, MotionGenerator
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.stages.stage import Metrics, Stage

_ANY = -1  # the label of no action in particular
_FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")
_FEET_PLACES = [3 * foot + axis for foot in joint_indices(_FEET, SMPL_24) for axis in range(3)]
_FITTED = 3000  # windows that the linear code is made of
_STILL = 0.01  # metres a frame below which a foot stands
_SHIPPED = ("code.", "averaged.", "rest")  # beginnings of the names of what generates
_REMEMBERED = 2**28  # numbers of codes that are kept, 1 GiB
_MEASURED_NOISE = (0.1, 0.3, 1.0, 3.0)


class _Part(NamedTuple):
    """Actions of motions for some frames."""

    actions: Tensor
    """Labels or shares of them, see `MotionGenerator.decode`."""
    frames: int


class MotionDiffusion(MotionGenerator):
    """Learns to generate motions of an action, of any length, from labelled motions (diffusion).

    It denoises principal components of windows; limbs are made rigid at the end.

    Places of joints and axes in the world are linear in the code, so one small network denoises a whole window, and
    frames that are given are linear constraints on it.
    """

    name = "motion_diffusion"
    objectives: ClassVar = {**MotionGenerator.objectives, "denoising": "val/denoising_error"}

    @dataclass(frozen=True, kw_only=True)
    class Config(MotionGenerator.Config):
        """Settings of the diffusion. Noise levels are those of Karras et al., Table 1, of codes of unit variance."""

        num_epochs: int = 200
        """Passes over the data."""
        epoch_size: int = 51200
        """Samples in an epoch; 0 takes every motion once."""
        batch_size: int = 256
        """Samples in a step, over all workers together."""
        lr: float = 1e-3
        """Highest learning rate of AdamW, which rises to it and falls along half a cosine."""
        warmup_epochs: int = 1
        """Epochs in which the learning rate rises."""
        weight_decay: float = 0.01
        """Of AdamW."""
        num_frames: int = 60
        """Frames of a window. Shorter motions are learned as they are; longer ones are made of several windows."""
        shortest: int = 1
        """Frames of the shortest motions that are generated whole: of a shorter one these are the first frames. As many
        as the shortest motions learned from have: the network knows no others."""
        code_dim: int = 512
        """Principal components of a window that are kept: with few of them motion is smooth."""
        foot_strength: float = 1.0
        """Strength with which standing feet of generated motions are kept from sliding; 0 leaves them as they are."""
        foot_weight: float = 3.0
        """Weight of the places of ankles and feet in the components: feet that slide are seen."""
        width: int = 1024
        """Width of the network's hidden layers."""
        num_blocks: int = 6
        """Residual blocks of the network."""
        dropout: float = 0.1
        """Share of activations that training drops."""
        average: float = 0.999
        """Share of the averaged weights, which generate, that a step keeps, at most."""
        blend: float = 0.0
        """Distance of samples from motions, in differences of two others of the same action: with more, single motions
        are less learned by heart, see `MotionCode.blend`."""
        drop_action: float = 0.1
        """Probability that a sample is learned without its action, which guidance needs
        (Ho and Salimans, 2022, arXiv:2207.12598)."""
        guidance: float = 1.0
        """Strength of the push of generated motions towards their action: 1 samples what was learned, more is more
        typical and less varied."""
        overlap: int = 15
        """Frames that a window repeats of the one before it, where a motion is longer than a window."""
        tolerance: float = 0.05
        """Metres that each number of a window may be off the frames that it repeats. The code is exact to a centimetre
        or two: what is bound more tightly is followed by codes that no motion has, and by leaps."""
        sampling_steps: int = 16
        """Steps from noise to a motion; each takes the network twice."""
        noise_mean: float = -0.4
        """Mean of the logarithm of the noise that is learned."""
        noise_std: float = 1.2
        """Standard deviation of that logarithm."""
        component_weight: float = 0.5
        """Weight of a component in the loss: its standard deviation to the power of this."""
        lambda_velocity: float = 0.0
        """Weight of the joints' velocities, in units of the mean squared velocity of real ones."""
        lambda_contact: float = 0.0
        """Weight of the velocity of feet that stand, in the same units."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("code_dim", "width", "num_blocks", "sampling_steps"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
            for name in ("dropout", "drop_action", "average"):
                if not 0 <= getattr(self, name) < 1:
                    raise ConfigError(f"{name} must be in [0, 1), got {getattr(self, name)}")
            if self.num_frames < 2:
                raise ConfigError(f"num_frames must be at least 2, got {self.num_frames}")
            if not 1 <= self.shortest <= self.num_frames:
                raise ConfigError(f"shortest must be from 1 to num_frames, got {self.shortest}")
            if not 1 <= self.overlap < self.num_frames:
                raise ConfigError(f"overlap must be at least 1 and below num_frames, got {self.overlap}")
            for name in ("guidance", "foot_strength", "blend"):
                if getattr(self, name) < 0:
                    raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
            if not self.tolerance > 0:
                raise ConfigError(f"tolerance must be positive, got {self.tolerance}")
            if not self.noise_std > 0:
                raise ConfigError(f"noise_std must be positive, got {self.noise_std}")

        @property
        def window(self) -> Window:
            return Window(num_frames=self.num_frames)

    config: MotionDiffusion.Config

    def __init__(self, config: Config):
        super().__init__(config)
        num_actions = max(len(config.actions), 1)
        self.code = MotionCode(config.code_dim, config.num_frames, WORLD_FEATURES * len(SMPL_24), num_actions)
        self.network = MotionDenoiser(num_actions, config.code_dim, config.width, config.num_blocks, config.dropout)
        self.averaged = deepcopy(self.network).requires_grad_(False)
        self.register_buffer("num_steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean_speed", torch.ones(()))
        self._codes: dict[int, Tensor] = {}  # of windows that were learned from, by number
        self.optimizers = {
            "network": AdamW(self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
        }

    @classmethod
    def open_samples(cls, config: Stage.Config, dataset: Dataset, split: Split) -> Samples:
        assert isinstance(config, cls.Config) and isinstance(dataset, MotionDataset)
        return WorldCrops(
            dataset,
            split,
            actions=dataset.actions(config.actions),
            window=config.window,
            epoch_size=config.epoch_size,
            seed=config.seed,
        )

    @property
    def code_dim(self) -> int:
        return self.config.code_dim

    @torch.no_grad()
    def begin(self, samples: Samples) -> None:
        """Find the linear code of windows, and how fast joints move in them."""
        assert isinstance(samples, WorldCrops)
        rounds = -(-_FITTED // max(len(samples.plan(0)), 1))
        batches = [batch for k in range(rounds) for batch in fixed_batch(samples, _FITTED, 256, epoch=k)]
        windows = torch.cat([flat_world(batch["world"]) for batch in batches])[:_FITTED]
        actions = torch.cat([batch["action"] for batch in batches])[:_FITTED]
        weights = torch.ones(windows.shape[-1])
        for foot in joint_indices(_FEET, SMPL_24):
            weights[3 * foot : 3 * foot + 3] = self.config.foot_weight
        self._codes.clear()
        self.code.fit(windows.to(self.device), actions.to(self.device), weights.to(self.device))
        self.get_buffer("mean_speed").copy_(windows[..., PLACES].diff(dim=1).square().mean())

    def lr_factor(self, epoch: int) -> float:
        warmup, total = self.config.warmup_epochs, self.config.num_epochs
        if epoch < warmup:
            return (epoch + 1) / (warmup + 1)
        share = (epoch - warmup) / max(total - warmup, 1)
        return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * share)))

    def step(self, batch: Batch) -> Losses:
        """Squared errors of the network's output, weighted as Karras et al. do, and those of velocities."""
        config = self.config
        code, action = self._encode_once(batch), batch["action"]  # (N, K), (N,)
        if config.blend:
            code = self.code.blend(code, action, config.blend)
        sigma = torch.exp(torch.randn(len(code), device=code.device) * config.noise_std + config.noise_mean)  # (N,)
        noisy = code + sigma[:, None] * torch.randn_like(code)  # (N, K)
        dropped = torch.rand(len(code), device=code.device) < config.drop_action
        found = self._denoise(self.network, noisy, sigma, action.masked_fill(dropped, _ANY), batch["length"])
        error = found.code - code  # (N, K)
        losses = {"denoising": self._weighted(error / found.scale)}
        if config.lambda_velocity or config.lambda_contact:
            losses |= self._motion_losses(code, error, sigma, batch["length"])
        self.update("network", sum_losses(losses))
        self._average()
        return detached(losses)

    def _weighted(self, errors: Tensor) -> Tensor:
        """Mean squared errors (N, K), each component weighted by its scale."""
        weights = self.code.get_buffer("scale") ** self.config.component_weight
        return (errors.square() * (weights / weights.mean())).mean()

    def _motion_losses(self, code: Tensor, error: Tensor, sigma: Tensor, length: Tensor) -> Losses:
        """Velocities of joints, and of feet that stand, where the noise leaves them to be known."""
        real = self.code.decode(code)[..., PLACES]  # (N, T, 72)
        off = self.code.decode_difference(error, PLACES)  # (N, T, 72)
        mask = frame_mask(length, real.shape[1])[:, 1:]  # (N, T - 1)
        known = (1 + sigma.square()).rsqrt()[:, None, None] / self.get_buffer("mean_speed").sqrt()
        speed, wrong = real.diff(dim=1), off.diff(dim=1)  # (N, T - 1, 72)
        losses: Losses = {}
        if self.config.lambda_velocity:
            losses["velocity"] = self.config.lambda_velocity * masked_mse(known * wrong, torch.zeros_like(wrong), mask)
        if self.config.lambda_contact:
            feet, slid = (x.unflatten(2, (-1, 3))[:, :, FEET] for x in (speed, known * (speed + wrong)))
            stands = feet.norm(dim=-1, keepdim=True) < _STILL  # (N, T - 1, 2, 1)
            losses["contact"] = self.config.lambda_contact * masked_mse(slid * stands, torch.zeros_like(slid), mask)
        return losses

    def _denoise(
        self, network: MotionDenoiser, noisy: Tensor, sigma: Tensor, action: Tensor, length: Tensor
    ) -> Denoised:
        return denoise(network, self.code.gaussian(action), noisy, sigma, (action, length))

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards those of this step."""
        steps = self.get_buffer("num_steps")
        steps += 1
        keep = min(self.config.average, (1 + steps.item()) / (10 + steps.item()))
        for own, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            own.lerp_(new, 1 - keep)

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Return the components of each window."""
        return self.code.encode(flat_world(batch["world"]))

    @torch.no_grad()
    def _encode_once(self, batch: Batch) -> Tensor:
        """`encode` of windows of the training split, which come again and again: their codes are kept."""
        numbers = batch["window"].tolist()
        if len(self._codes) * self.code_dim > _REMEMBERED:
            return self.encode(batch)
        new = [row for row, number in enumerate(numbers) if number not in self._codes]
        if new:
            codes = self.code.encode(flat_world(batch["world"][new]))
            self._codes |= {numbers[row]: code for row, code in zip(new, codes, strict=True)}
        return torch.stack([self._codes[number] for number in numbers])

    @torch.no_grad()
    def reconstruct(self, batch: Batch) -> Tensor:
        return self._to_features(self.code.decode(self.encode(batch)), batch["length"], 0.0)

    @torch.no_grad()
    def decode(self, actions: Tensor, lengths: Tensor, z: Tensor) -> Tensor:
        """See `MotionGenerator.decode`. What is longer than a window is continued from its last frames."""
        windows = self._extend(None, _Part(actions, int(lengths.max())), z, lengths=lengths)
        return self._to_features(windows, lengths, self.config.foot_strength)

    @torch.no_grad()
    def compose(
        self, actions: Sequence[str], frames: Sequence[int], *, given: GivenFrames | None = None, seed: int = 0
    ) -> Motion:
        labels = self.check_parts(actions, frames)
        generator = torch.Generator().manual_seed(seed)
        windows: Tensor | None = None
        given = None if given is None else given.to(self.device)
        for label, count in zip(labels, frames, strict=True):
            z = self.sample_codes(1, generator).to(self.device)
            part = _Part(torch.tensor([label], device=self.device), count)
            windows = self._extend(windows, part, z, given=given)
        assert windows is not None
        count = windows.shape[1]
        held = None if given is None else given.weights[:count, _FEET_PLACES].any(dim=1)
        if held is not None:
            held = F.pad(held, (0, count - len(held)))
        mask = torch.ones(1, count, dtype=torch.bool, device=self.device)
        world = unflat_world(windows)
        features = plant_feet(world, self.get_buffer("rest"), mask, self._planting(self.config.foot_strength, held))[0]
        return self.to_motion(features, actions[0] if len(set(actions)) == 1 else "")

    def shipped_weights(self) -> dict[str, Tensor]:
        """Return what generates: the code, the averaged weights and the body.

        Raises ConfigError for sizes other than those of the preset compact.
        """
        shipped = self.presets["compact"]
        assert isinstance(shipped, MotionDiffusion.Config)
        for name in ("num_frames", "code_dim", "width", "num_blocks"):
            if getattr(self.config, name) != getattr(shipped, name):
                raise ConfigError(
                    f"shipped motion models have the preset compact: {name} {getattr(shipped, name)}, "
                    f"got {getattr(self.config, name)}"
                )
        return {name: tensor for name, tensor in self.state_dict().items() if name.startswith(_SHIPPED)}

    @classmethod
    def of_shipped(cls, config: Config, weights: dict[str, Tensor]) -> MotionDiffusion:
        """Make a stage of a configuration that generates as one did that gave `shipped_weights`."""
        stage = cls(config)
        stage.load_state_dict({**stage.state_dict(), **weights})
        stage.network.load_state_dict(stage.averaged.state_dict())
        return stage

    def set_guidance(self, guidance: float) -> None:
        if guidance != 1 and not self.config.drop_action:
            raise ConfigError(
                "the run was trained with drop_action 0: guidance needs motions of no action in particular"
            )
        self.config = replace(self.config, guidance=guidance)

    def _extend(
        self,
        windows: Tensor | None,
        part: _Part,
        z: Tensor,
        *,
        lengths: Tensor | None = None,
        given: GivenFrames | None = None,
    ) -> Tensor:
        """Motions (N, F, C) that go on for as many frames as a part has, window by window.

        Each window repeats the last frames of what is there, as far as its linear code can, and is blended with them.
        """
        most, overlap = self.config.num_frames, self.config.overlap
        begun = 0 if windows is None else windows.shape[1]
        end = begun + part.frames
        ends = torch.full((len(z),), end, device=z.device) if lengths is None else begun + lengths
        while windows is None or windows.shape[1] < end:
            start = 0 if windows is None else max(windows.shape[1] - overlap, 0)
            known = None if windows is None else windows[:, start:]
            held = self._hold(known, given, start)
            count = (ends - start).clamp(max(self.config.shortest, 1 if known is None else known.shape[1] + 1), most)
            added = self._sample(part.actions, count, z, held)[:, : min(most, end - start)]
            windows = added if windows is None else append_world(windows, added, start)
            z = z.roll(1, dims=1) * (1 - 2 * (torch.arange(z.shape[1], device=z.device) % 2))  # still N(0, I)
        return windows

    def _hold(self, known: Tensor | None, given: GivenFrames | None, start: int) -> CodeConstraint | None:
        """The constraint of the frames that are there already, and of those that are given, from a frame on."""
        mean = self.code.get_buffer("mean")  # (T, C)
        weights, values = torch.zeros_like(mean), torch.zeros_like(mean)[None]
        origin = mean.new_zeros(1, 3) if known is None else known[:, 0, :3]
        if given is not None:
            of_window = slice(start, start + len(mean))
            count = len(given.weights[of_window])
            weights[:count] = given.weights[of_window]
            values[:, :count] = move_world(given.values[None, of_window], -origin)
        if known is not None:
            count = known.shape[1]
            weights[:count] = 1 / self.config.tolerance
            values = values.repeat(len(known) // len(values), 1, 1)
            values[:, :count] = move_world(known, -origin)
        return CodeConstraint(self.code, weights, values) if weights.any() else None

    def _sample(self, actions: Tensor, lengths: Tensor, noise: Tensor, held: CodeConstraint | None = None) -> Tensor:
        """Windows (N, T, C) of codes of noise (N, K)."""

        def clean(z: Tensor, sigma: Tensor) -> Tensor:
            code = self._clean(z, sigma, actions, lengths)
            return code if held is None else held(code, self.code.uncertainty(actions, sigma))

        levels = noise_levels(self.config.sampling_steps).to(noise)
        return self.code.decode(sample_codes_heun(clean, noise, levels))

    def _clean(self, z: Tensor, sigma: Tensor, actions: Tensor, lengths: Tensor) -> Tensor:
        """Clean codes (N, K) of noisy ones by the averaged weights, guided."""
        self.averaged.eval()
        levels = sigma.expand(len(z))
        found = self._denoise(self.averaged, z, levels, actions, lengths).code
        if self.config.guidance == 1:
            return found
        anything = torch.full((len(z),), _ANY, device=z.device)
        plain = self._denoise(self.averaged, z, levels, anything, lengths).code
        return plain + self.config.guidance * (found - plain)

    def _to_features(self, windows: Tensor, lengths: Tensor, foot_strength: float) -> Tensor:
        """Pose features (N, T, 25, 6) of windows, T the largest length, zeros behind each end."""
        world = unflat_world(windows[:, : int(lengths.max())])
        mask = frame_mask(lengths, world.shape[1])
        return plant_feet(world, self.get_buffer("rest"), mask, self._planting(foot_strength)) * mask[..., None, None]

    def _planting(self, strength: float, held: Tensor | None = None) -> Planting:
        return Planting(strength, self.config.fps or Planting.fps, held)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure how well noise is removed, how near motions come through their codes, and how far random ones move.

        ``denoising_error`` the mean weighted squared error of the network's output over levels of noise, 1 where
        nothing is learned; ``joint_error`` in metres, without the root's translation; ``amplitude`` how far joints of
        generated motions move in relation to those of real ones.
        """
        code, action, length = self.encode(batch), batch["action"], batch["length"]
        noise, errors = self.fixed_codes(len(code)), []
        self.averaged.eval()
        for level in _MEASURED_NOISE:
            sigma = torch.full((len(code),), level, device=code.device)
            found = self._denoise(self.averaged, code + level * noise, sigma, action, length)
            errors.append(self._weighted((found.code - code) / found.scale).item())
        drawn = {"real": batch["motion"], "same": self.reconstruct(batch), "new": self.decode(action, length, noise)}
        bodies = self.get_buffer("rest").expand(len(code), -1, -1)
        joints = {key: pose_features(x, bodies, translate=False).joints for key, x in drawn.items()}
        mask = frame_mask(length, joints["same"].shape[1])
        real, new = (
            sum(amplitude(x[:n]) for x, n in zip(joints[key].cpu().numpy(), length.tolist(), strict=True))
            for key in ("real", "new")
        )
        near = (joints["same"] - joints["real"][:, : mask.shape[1]]).norm(dim=-1)
        return {
            "denoising_error": float(np.mean(errors)),
            "joint_error": near[mask].mean().item(),
            "amplitude": float(new / max(real, 1e-9)),
        }


# On HumanAct12 (docs/results.md), 15 CPU-minutes: without dropout FID is lower after as many steps, guidance halves it
# again, and samples around motions keep what is generated nearly as far from them as they are from each other.
_SMALL = MotionDiffusion.Config(
    num_epochs=15, epoch_size=102400, width=768, num_blocks=4, dropout=0.0, blend=0.4, drop_action=0.05, guidance=1.6
)
MotionDiffusion.presets = {
    "posegen": MotionDiffusion.Config(),
    "small": _SMALL,
    # Small enough to be shipped. Windows are whole takes of procedural motions, four seconds at 12.5 frames a second;
    # guidance makes up for their being too small without it (docs/models/motion.md).
    "compact": MotionDiffusion.Config(
        num_epochs=40,
        epoch_size=25600,
        batch_size=128,
        num_frames=50,
        shortest=38,
        code_dim=256,
        foot_strength=6.0,
        overlap=5,
        tolerance=0.2,
        width=448,
        num_blocks=3,
        dropout=0.0,
        blend=0.3,
        guidance=1.2,
    ),
    "gpu": MotionDiffusion.Config(num_epochs=400, epoch_size=204800, batch_size=1024, width=2048, num_blocks=8),
    "tiny": replace(
        _SMALL,
        num_epochs=3,
        epoch_size=0,
        batch_size=8,
        num_frames=20,
        overlap=5,
        code_dim=32,
        width=32,
        num_blocks=1,
        sampling_steps=4,
        dropout=0.1,
        blend=0.0,
        drop_action=0.1,
        guidance=1.0,
    ),
}
