"""ACTOR: a training step against a straightforward one, and generation: ``python -m tests.benchmarks.bench_actor``.

Straightforward is what the published code does: PyTorch's transformer with its plain attention, frames first, bodies
posed joint by joint, and AdamW as it comes. Both must give the same losses and weights, in double precision and without
dropout. Prints the ratio of their times in turns on one core, where the time goes, and frames drawn a second.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import AdamW
from torch.profiler import ProfilerActivity, profile

from posegen.losses import kl_to_standard_normal
from posegen.motion.anatomy import REST
from posegen.motion.kinematics import MARKER_DISTANCE
from posegen.motion.pose_features import motion_features
from posegen.networks.actor import sinusoidal_positions
from posegen.samples import Batch
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS
from posegen.stages import Actor
from posegen.stages.optimization import Losses, detached, sum_losses
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import make_subject, perform
from tests.benchmarks.arithmetic import arithmetic
from tests.benchmarks.bench_steps import measure

REFERENCE = replace(Actor.presets["reference"], actions=tuple(ACTIONS), fps=25.0)
TINY = replace(REFERENCE, latent_dim=32, num_layers=2, feedforward_dim=64, dropout=0.0)
MOTIONS = 1000
KINDS = {  # of operations, by the names that the profiler has for them
    "linear layers": ("aten::mm", "aten::addmm"),
    "attention": ("aten::bmm", "_softmax", "scaled_dot_product", "flash_attention"),
    "dropout": ("bernoulli", "dropout"),
    "optimizer": ("Optimizer.", "adamw", "zero_"),
}


class Straightforward(nn.Module):
    """The networks of a stage as PyTorch's own transformer, with their weights."""

    def __init__(self, stage: Actor):
        super().__init__()
        config, self.stage = stage.config, stage
        sizes = (config.latent_dim, config.num_heads, config.feedforward_dim, config.dropout, "gelu")
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes), config.num_layers, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes), config.num_layers)
        for network, own in ((self.encoder, stage.encoder), (self.decoder, stage.decoder)):
            network.layers = own.layers
            for layer in own.layers:
                layer.self_attn.batch_first = False
                if isinstance(layer, nn.TransformerDecoderLayer):
                    layer.multihead_attn.batch_first = False
        stage.optimizers["network"] = AdamW(stage.parameters(), lr=config.lr, weight_decay=config.weight_decay)

    def encode(self, motion: Tensor, action: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Motion (N, T, 25, 6) to mean and logvar (N, Z)."""
        own = self.stage.encoder
        frames = own.embedding(motion.permute(1, 0, 2, 3).reshape(motion.shape[1], len(motion), -1))  # (T, N, Z)
        x = torch.cat([own.mean_tokens[action][None], own.logvar_tokens[action][None], frames])  # (2 + T, N, Z)
        x = own.dropout(x + sinusoidal_positions(x.transpose(0, 1)).unsqueeze(1))
        padding = torch.cat([torch.zeros(len(mask), 2, dtype=torch.bool), ~mask], dim=1)
        x = self.encoder(x, src_key_padding_mask=padding)
        return x[0], x[1]

    def decode(self, z: Tensor, action: Tensor, mask: Tensor) -> Tensor:
        """Codes (N, Z) to motions (N, T, 25, 6)."""
        own = self.stage.decoder
        memory = (z + own.action_biases[action]).unsqueeze(0)  # (1, N, Z)
        x = torch.zeros(mask.shape[1], len(z), z.shape[1], dtype=z.dtype)  # (T, N, Z)
        x = own.dropout(x + sinusoidal_positions(x.transpose(0, 1)).unsqueeze(1))
        x = self.decoder(x, memory, tgt_key_padding_mask=~mask)
        motion = own.head(x).reshape(mask.shape[1], len(z), 25, 6).permute(1, 0, 2, 3).clone()
        motion[~mask] = 0
        return motion

    def step(self, batch: Batch) -> Losses:
        """The published losses, one after the other."""
        config, motion, action = self.stage.config, batch["motion"], batch["action"]
        mask = torch.arange(motion.shape[1]) < batch["length"][:, None]
        mean, logvar = self.encode(motion, action, mask)
        fake = self.decode(mean + torch.exp(logvar / 2) * torch.randn_like(mean), action, mask)
        losses = {
            "kl": config.lambda_kl * kl_to_standard_normal(mean, logvar) / len(mean),
            "rotation": config.lambda_rotation * (fake[mask] - motion[mask]).square().mean(),
        }
        drawn, real = pose_one_by_one(fake, batch["rest"]), pose_one_by_one(motion, batch["rest"])
        losses["vertex"] = config.lambda_vertex * (drawn[mask] - real[mask]).square().mean()
        optimizer = self.stage.optimizers["network"]
        optimizer.zero_grad()
        sum_losses(losses).backward()
        optimizer.step()
        return detached(losses)


def pose_one_by_one(features: Tensor, rest: Tensor) -> Tensor:
    """Joints and markers (N, T, 96, 3) of features (N, T, 25, 6) on bodies (N, 24, 3), the root at the origin."""
    first = nn.functional.normalize(features[:, :, :24, :3], dim=-1)
    second = features[:, :, :24, 3:]
    second = nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    local = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)
    turned, joints = [local[:, :, 0]], [torch.zeros_like(features[:, :, 0, :3])]
    for joint, parent in enumerate(SMPL_24_PARENTS[1:], start=1):
        offset = (rest[:, joint] - rest[:, parent])[:, None, :, None]
        joints.append(joints[parent] + (turned[parent] @ offset)[..., 0])
        turned.append(turned[parent] @ local[:, :, joint])
    points = list(joints)
    for name, joint, axes in zip(SMPL_24, joints, turned, strict=True):
        distance = MARKER_DISTANCE[name.endswith(("hand", "foot", "head"))]
        points += [joint + distance * axes[..., :, axis] for axis in range(3)]
    return torch.stack(points, dim=2)


def make_batch(lengths: Tensor) -> Batch:
    """Twenty motions of the procedural corpus, of so many frames (20,) of 60."""
    people = [make_subject(number) for number in range(2)]
    motions = [perform(action, person) for person in people for action in ACTIONS][: len(lengths)]
    features = torch.stack([torch.from_numpy(motion_features(motion)[:60]) for motion in motions])
    mask = torch.arange(60) < lengths[:, None]
    return {
        "motion": features * mask[:, :, None, None],
        "length": lengths,
        "action": torch.arange(len(motions)) % len(ACTIONS),
        "rest": torch.from_numpy(REST).float().expand(len(motions), -1, -1),
    }


def build(config: Actor.Config) -> Actor:
    torch.manual_seed(0)
    return Actor(config)


def check_equal() -> None:
    """Raise AssertionError unless both steps lead from equal states to equal losses and weights."""
    batch = make_batch(torch.arange(41, 61))
    precise = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    ours, other = build(TINY).double(), build(TINY).double()
    found = []
    for step in (ours.step, Straightforward(other).step):
        torch.manual_seed(1)
        found.append(step(precise))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.state_dict(), other.state_dict(), rtol=1e-5, atol=1e-5)


def time_shares(step: Callable[[], object]) -> dict[str, float]:
    """Share of a step's time by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    events = [(event.key, event.self_cpu_time_total) for event in profiler.key_averages()]
    total = sum(spent for _, spent in events)
    shares = {
        kind: sum(spent for key, spent in events if any(name in key for name in names)) / total
        for kind, names in KINDS.items()
    }
    return shares | {"rest": 1 - sum(shares.values())}


def bench_step() -> None:
    batch = make_batch(torch.full((20,), 60))
    stage, straightforward = build(REFERENCE), Straightforward(build(REFERENCE))

    def ours() -> Losses:
        return stage.step(batch)

    def plain() -> Losses:
        with sdpa_kernel(SDPBackend.MATH):
            return straightforward.step(batch)

    seconds, ratio = measure(ours, plain)
    print(f"step of 20 × 60 frames: {1000 * seconds:.0f} ms; straightforward {ratio:.2f} × that", end="")
    print(f"; {arithmetic(ours) / 1e9:.0f} GFLOP")
    print("  " + ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in time_shares(ours).items()))


@torch.no_grad()
def bench_generation() -> None:
    """A thousand motions of 60 frames, a hundred at a time, to joints; attention alone as it comes and plainly."""
    stage = build(REFERENCE).eval()
    actions, lengths = [REFERENCE.actions[k % len(ACTIONS)] for k in range(MOTIONS)], [60] * MOTIONS
    start = time.process_time()
    stage.generate(actions, lengths)
    seconds = time.process_time() - start
    print(f"generation of {MOTIONS} motions: {MOTIONS * 60 / seconds:.0f} frames/s")
    labels, counts, z = torch.arange(100) % len(ACTIONS), torch.full((100,), 60), torch.randn(100, 256)
    for name, context in (("as it comes", nullcontext), ("plain", lambda: sdpa_kernel(SDPBackend.MATH))):
        with context():
            start = time.process_time()
            stage.draw(labels, counts, z)
        print(f"  networks alone, attention {name}: {6000 / (time.process_time() - start):.0f} frames/s")


def main() -> None:
    """Print all ratios and speeds on one core."""
    torch.set_num_threads(1)
    check_equal()
    bench_step()
    bench_generation()


if __name__ == "__main__":
    main()
