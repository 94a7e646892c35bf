"""The behaviour net: what a person does as a code, apart from posture and place (Blattmann et al., 2021,
arXiv:2103.04677)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, AdamW

from posegen.errors import ConfigError
from posegen.losses import mean_kl_to_standard_normal, supervised_contrast
from posegen.metrics.behavior import code_distance, cross_displacement
from posegen.motion.rendering import render_strips
from posegen.motion.to_h36m import motion_from_h36m
from posegen.networks.behavior import BehaviorNet, PostureDecoder
from posegen.networks.behavior_diffusion import BehaviorDiffusion
from posegen.networks.bone_directions import mirror
from posegen.samples import Batch, BehaviorWindows, Samples, fixed_batch
from posegen.stages.behavior_stage import BehaviorStage
from posegen.stages.optimization import Losses, detached, mean_over_workers, sum_losses
from posegen.stages.stage import Metrics, Pictures

_CEILINGS = (0.45, 0.70)  # of the posture decoder's error: below either, the encoder is pushed (published code)
_DECAY = 0.3  # of the learning rate, each time
_FITTED = 1500  # windows that the principal components are made of
_DROPPED_STARTS = 0.1  # share of motions that diffusion learns without their first posture
_PAIRED = 0.4  # share of motions that diffusion learns by the code of their pair
_NOISES = 2  # levels of noise at which each motion is cleaned in a step
_SHOWN = 2  # transfers that a preview shows


class Behavior(BehaviorStage):
    """Learns a code of what a person does, apart from pose and place, from motions (behaviour net, a cVAE).

    The code carries a bounded amount of information and, best, no posture.
    """

    name = "behavior"
    objectives: ClassVar = {"joint_error": "val/joint_error", "posture_error": "val/posture_error", "ade": "val/ade"}

    @dataclass(frozen=True, kw_only=True)
    class Config(BehaviorStage.Config):
        """Settings of the behaviour net. Weights are those of the published code."""

        lr: float = 1e-4
        """Initial learning rate of Adam."""
        decay_at: tuple[float, ...] = (0.2, 0.45, 0.7)
        """Shares of the epochs after which the learning rate falls to 0.3 of what it was."""
        lambda_reconstruction: float = 2.5
        """Weight of the mean squared error of normalized postures."""
        information_max: float = 100.0
        """I_max: nats that a code may carry before the weight of the KL divergence rises."""
        gamma_rate: float = 1e-5
        """Change of that weight per step, for each nat above or below; 0 keeps it at gamma_init."""
        gamma_init: float = 0.0
        """The weight of the KL divergence to begin with."""
        lambda_auxiliary: float = 0.01
        """Weight of what the posture decoder cannot read out of the code; 0 trains without one."""
        auxiliary_steps: int = 5
        """Steps of the posture decoder in each step."""
        auxiliary_lr: float = 1e-4
        """Learning rate of the posture decoder."""
        lambda_cycle: float = 0.0
        """Weight of the difference of the code after a transfer from the one before; the paper trains without."""
        lambda_contrast: float = 0.0
        """Weight of the contrast of codes by their actions; the paper trains without."""
        foreign_starts: float = 0.7
        """Share of motions that diffusion learns from the first posture of another one."""
        drop_code: float = 0.12
        """Share of motions that diffusion learns without their code, which guidance needs."""
        weight_decay: float = 0.0
        """Of AdamW."""
        average: float = 0.995
        """Share of the averaged weights, which diffusion generates with, that a step keeps, at most."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.information_max > 0:
                raise ConfigError(f"information_max must be positive, got {self.information_max}")
            if self.auxiliary_steps < 1:
                raise ConfigError(f"auxiliary_steps must be at least 1, got {self.auxiliary_steps}")
            for name in ("gamma_rate", "gamma_init", "lambda_auxiliary", "lambda_cycle", "lambda_contrast"):
                if not getattr(self, name) >= 0:
                    raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
            for name in ("foreign_starts", "drop_code", "average"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
            if self.decoder == "diffusion" and self.lambda_cycle:
                raise ConfigError("lambda_cycle is for the recurrent decoder, through which gradients go back")
            if not all(0 <= share <= 1 for share in self.decay_at):
                raise ConfigError(f"decay_at must be shares from 0 to 1, got {self.decay_at}")

    accumulates = False  # the auxiliary decoder steps several times
    config: Behavior.Config
    gamma: Tensor
    num_steps: Tensor
    learner: BehaviorDiffusion

    def __init__(self, config: Config):
        super().__init__(config)
        learner: nn.Module = self.network
        if isinstance(self.network, BehaviorDiffusion):  # which generates with averaged weights
            self.learner = learner = deepcopy(self.network)
            self.network.requires_grad_(False)
            self.register_buffer("num_steps", torch.zeros((), dtype=torch.int64))
        pose_dim = self.network.mean.numel()
        self.auxiliary = PostureDecoder(pose_dim, config.latent_dim, config.num_frames)
        self.register_buffer("gamma", torch.tensor(config.gamma_init, dtype=torch.float64))
        self.optimizers = {
            "network": AdamW(learner.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True),
            "auxiliary": Adam(self.auxiliary.parameters(), lr=config.auxiliary_lr, fused=True),
        }

    @torch.no_grad()
    def begin(self, samples: Samples) -> None:
        """Take the scale of postures from the training data."""
        assert isinstance(samples, BehaviorWindows)
        scale = samples.scale()
        self.network.mean.copy_(torch.from_numpy(scale.mean))
        self.network.std.copy_(torch.from_numpy(scale.std))
        if isinstance(self.network, BehaviorDiffusion):
            windows = torch.cat([batch["motion"] for batch in fixed_batch(samples, _FITTED, _FITTED)]).to(self.device)
            self.network.fit(torch.cat([windows, mirror(windows)]))
            self.learner.load_state_dict(self.network.state_dict())

    def lr_factor(self, epoch: int) -> float:
        passed = [share for share in self.config.decay_at if epoch >= int(share * self.config.num_epochs + 1e-9)]
        return _DECAY ** len(passed)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of the network; that of the posture decoder stays."""
        super().start_epoch(epoch)
        for group in self.optimizers["auxiliary"].param_groups:
            group["lr"] = self.config.auxiliary_lr

    def step(self, batch: Batch) -> Losses:
        """Reconstruction, the KL divergence by its weight γ, and what takes posture out of the code (Section 3.2).

        Told besides are ``information``, the KL divergence in nats, ``gamma``, and ``posture``, the posture decoder's
        own loss: about 1 where posture cannot be predicted from the code.
        """
        config, network = self.config, self.network
        if isinstance(network, BehaviorDiffusion):
            return self._step_diffusion(batch)
        assert isinstance(network, BehaviorNet)
        x = network.normalize(batch["motion"])  # (N, T + 1, D)
        mean, logstd = network.encoder(x[:, :-1])  # (N, Z), (N, Z)
        code = mean + logstd.exp() * torch.randn_like(mean)  # (N, Z)
        decoded = network.decoder(code, x[:, 0], config.num_frames)  # (N, T, D)
        information = mean_kl_to_standard_normal(mean, 2 * logstd)
        losses = {
            "reconstruction": config.lambda_reconstruction * F.mse_loss(decoded, x[:, 1:]),
            "kl": self.gamma.to(information) * information,
        }
        measured = {"information": information, "gamma": self.gamma.clone()}
        if config.lambda_auxiliary:
            times, measured["posture"] = self._teach_auxiliary(mean.detach(), x)
            error = self._posture_error(mean, x, times)
            losses["auxiliary"] = -config.lambda_auxiliary * sum_losses(
                {str(ceiling): error.clamp(max=ceiling) for ceiling in _CEILINGS}
            )
        if config.lambda_contrast:
            losses["contrast"] = config.lambda_contrast * supervised_contrast(mean, batch["action"])
        if config.lambda_cycle:
            start = batch["paired"][:, 0]
            losses["cycle"] = config.lambda_cycle * F.mse_loss(self._code_after(mean, start), mean.detach())
        self.update("network", sum_losses(losses))
        self._bound(information)
        return detached(losses | measured)

    def _step_diffusion(self, batch: Batch) -> Losses:
        """Denoising of motions by their own codes or by those of another person who does the same, from their own first
        postures or from those of other actions; and what codes shall be like."""
        config, network, count = self.config, self.learner, len(batch["action"])
        motions = _mirror_half(torch.cat([batch["motion"], batch["matched"]]))  # (2 N, T + 1, 17, 3)
        lengths = torch.cat([batch["length"], batch["matched_length"]]).clamp(max=config.num_frames)
        mean, logstd = network.encode(motions[:, :-1], lengths)  # (2 N, Z), (2 N, Z)
        information = mean_kl_to_standard_normal(mean, 2 * logstd)
        code = mean + logstd.exp() * torch.randn_like(mean)
        code = torch.where(_chosen(code, _PAIRED), code.roll(count, dims=0), code)  # of the pair's other one
        features = network.features(motions)  # (2 N, T + 1, D)
        foreign = network.features(_mirror_half(batch["paired"][:, :1]))[:, 0].repeat(2, 1)  # (2 N, D)
        start = torch.where(_chosen(code, config.foreign_starts), foreign, features[:, 0])
        target = network.begin_at(features, start)
        known = torch.cat([~_chosen(code, config.drop_code), ~_chosen(code, _DROPPED_STARTS)], dim=1).to(code)
        inputs = (x.repeat(_NOISES, *[1] * (x.dim() - 1)) for x in (code, start, target, known))
        losses = {
            "denoising": network.denoising_error(*inputs),
            "kl": self.gamma.to(information) * information,
            "contrast": config.lambda_contrast * supervised_contrast(mean, batch["action"].repeat(2)),
        }
        measured = {"information": information, "gamma": self.gamma.clone()}
        if config.lambda_auxiliary:
            x = network.normalize(motions)
            times, measured["posture"] = self._teach_auxiliary(mean.detach(), x)
            losses["auxiliary"] = -config.lambda_auxiliary * self._posture_error(mean, x, times).clamp(max=1)
        self.update("network", sum_losses(losses))
        self._bound(information)
        self._average()
        return detached(losses | measured)

    def _bound(self, information: Tensor) -> None:
        """Change the weight of the KL divergence by the information above what is allowed."""
        excess = mean_over_workers(information.detach()) - self.config.information_max
        self.gamma.add_(self.config.gamma_rate * excess).clamp_(min=0)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the weights that generate towards those of this step."""
        self.num_steps += 1
        keep = min(self.config.average, (1 + self.num_steps.item()) / (10 + self.num_steps.item()))
        for own, new in zip(self.network.parameters(), self.learner.parameters(), strict=True):
            own.lerp_(new, 1 - keep)

    def _teach_auxiliary(self, code: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Let the posture decoder learn from codes (N, Z). Returns the last time (1,) that it learned, and its loss."""
        for _ in range(self.config.auxiliary_steps):
            times = torch.randint(self.config.num_frames, (1,), device=x.device)
            loss = self._posture_error(code, x, times)
            self.update("auxiliary", loss)
        return times, loss

    def _posture_error(self, code: Tensor, x: Tensor, times: Tensor) -> Tensor:
        """Mean squared error of what is read of postures x (N, T + 1, D) at times (K,) out of codes (N, Z)."""
        return F.mse_loss(self.auxiliary(code, times), x[:, times])

    def _code_after(self, code: Tensor, start: Tensor) -> Tensor:
        """The mean code (N, Z) of what a code (N, Z) makes of start postures (N, 17, 3) in metres."""
        decoded = self.network.decode(code, start, self.config.num_frames)  # (N, T, 17, 3)
        return self.network.encode(torch.cat([start[:, None], decoded[:, :-1]], dim=1))[0]

    @property
    def best_metric(self) -> str:
        """See `Stage.best_metric`. Sampled motions are not those that were encoded: what they do is compared."""
        return "val/consistency" if isinstance(self.network, BehaviorDiffusion) else super().best_metric

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Measure reconstruction from mean codes, the information in codes, and transfers.

        ``joint_error`` in metres; ``information`` in nats and ``information_share`` of what is allowed; with a posture
        decoder ``posture_error``, 1 or more where codes do not predict posture; ``cross_displacement`` of transfers
        from their source, in standard deviations: small where posture is copied; ``consistency``, how far the code of
        a transfer is from the source's, to be compared with ``same_action``, how far that of another motion of the
        same action is; and what `measure_futures` gives for codes of the prior.
        """
        network, num_frames = self.network, self.config.num_frames
        x = network.normalize(batch["motion"])  # (N, T + 1, D)
        mean, logstd = network.encode(batch["motion"][:, :-1], batch["length"].clamp(max=num_frames))
        same = network.decode(mean, batch["motion"][:, 0], num_frames)
        start = batch["paired"][:, 0]
        crossed = network.normalize(network.decode(mean, start, num_frames))
        matched, _ = network.encode(batch["matched"][:, :-1], batch["matched_length"].clamp(max=num_frames))
        information = mean_kl_to_standard_normal(mean, 2 * logstd).item()
        codes, after, of_same = (code.cpu().numpy() for code in (mean, self._code_after(mean, start), matched))
        metrics = {
            "joint_error": (same - batch["motion"][:, 1:]).norm(dim=-1).mean().item(),
            "information": information,
            "information_share": information / self.config.information_max,
            "cross_displacement": cross_displacement(crossed.cpu().numpy(), x[:, 1:].cpu().numpy()).average,
            "consistency": code_distance(codes, after).mean,
            "same_action": code_distance(codes, of_same).mean,
        }
        if self.config.lambda_auxiliary:
            times = torch.arange(num_frames, device=x.device)
            metrics["posture_error"] = self._posture_error(mean, x, times).item()
        return metrics | self.measure_futures(batch)

    @torch.no_grad()
    def preview(self, batch: Batch) -> Pictures:
        """Render strips of sources, of targets, and of the sources' behaviour transferred to the targets."""
        batch = {name: x[:_SHOWN] for name, x in batch.items()}
        mean, _ = self.network.encode(batch["motion"][:, :-1], batch["length"].clamp(max=self.config.num_frames))
        transferred = self.network.decode(mean, batch["paired"][:, 0], self.config.num_frames)
        captions, motions = [], []
        for row, label in enumerate(batch["action"].tolist()):
            action = self.config.actions[label]
            captions += [f"source: {action}", "target", f"transfer: {action} from the target's first posture"]
            joints = [x[row].cpu().numpy() for x in (batch["motion"], batch["paired"], transferred)]
            motions += [motion_from_h36m(x, self.config.fps) for x in joints]
        return {"transfer": render_strips(motions, captions)}


def _chosen(like: Tensor, share: float) -> Tensor:
    """True (N, 1) for about a share of the rows of `like` (N, ...)."""
    return torch.rand(len(like), 1, device=like.device) < share


def _mirror_half(motions: Tensor) -> Tensor:
    """Swap left and right of about half of the motions (N, T, 17, 3)."""
    return torch.where(_chosen(motions, 0.5)[:, :, None, None], mirror(motions), motions)


# A few thousand steps must do: many small ones, the rate high until late. On HumanAct12 the code's return after a
# transfer took more posture out of codes than a weight of 1 of the posture decoder, and kept the action.
_SMALL = Behavior.Config(
    num_epochs=36,
    epoch_size=3200,
    batch_size=16,
    lr=1e-3,
    decay_at=(0.7, 0.9),
    latent_dim=256,
    gamma_rate=1e-4,
    lambda_auxiliary=0.1,
    auxiliary_lr=1e-3,  # or it reads less than is there, and takes less out
    lambda_cycle=5.0,
)
Behavior.presets = {
    "posegen": Behavior.Config(),
    # In the eleven published epochs that are missing here, only classifiers learned.
    "reference": Behavior.Config(canonical=False, num_epochs=39, decay_at=(10 / 39, 22 / 39, 35 / 39)),
    "small": _SMALL,
    "tiny": replace(
        _SMALL, num_epochs=3, epoch_size=640, lr=3e-3, lambda_cycle=0.0, num_frames=25, latent_dim=64, auxiliary_steps=1
    ),
    "transfer": Behavior.Config(
        decoder="diffusion",
        least_frames=8,
        even=True,
        num_epochs=40,
        epoch_size=4800,
        batch_size=48,
        lr=1e-3,
        weight_decay=0.01,
        decay_at=(0.6, 0.8, 0.92),
        latent_dim=64,
        gamma_init=5e-4,
        gamma_rate=0.0,
        lambda_auxiliary=0.0,
        lambda_contrast=0.3,
    ),
}
