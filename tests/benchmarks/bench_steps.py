"""Training steps of both stages against straightforward ones: ``python -m tests.benchmarks.bench_steps``.

Prints the ratio of their times in turns on one core, that of their arithmetic, and where the time goes. Both must
give the same losses and weights, in double precision: in single precision Adam makes a full step of the rounding
error that is the gradient of a bias in front of a norm. Stage II runs without the perceptual network, which both run
alike and whose whole width beside a quarter of the others' would hide all else.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from posegen.samples import Batch
from posegen.stages import ColorEncoder, VideoGenerator
from posegen.stages.optimization import Losses
from posegen.stages.stage import Stage
from tests.benchmarks.arithmetic import arithmetic
from tests.benchmarks.straightforward import plain_adam, step_color_encoder, step_video_generator

ROUNDS = 5
KINDS = {  # of operations, by the names that the profiler has for them
    "convolution forward": ("mkldnn_convolution", "slow_conv2d_forward", "slow_conv_transpose2d"),
    "convolution backward": ("convolution_backward", "slow_conv2d_backward"),
    "norm": ("native_batch_norm",),
    "optimizer": ("Optimizer.", "fused_adam", "zero_"),
    "halving, padding": ("avg_pool2d", "reflection_pad2d"),
}


@dataclass(frozen=True)
class Case:
    """A stage of some size, and the straightforward form of its step."""

    name: str
    stage: type[Stage]
    config: Stage.Config
    size: tuple[int, int]
    straightforward: Callable[..., Losses]

    def build(self) -> Stage:
        torch.manual_seed(0)
        return self.stage(self.config)

    def build_plain(self) -> Stage:
        stage = self.build()
        plain_adam(stage)
        return stage


COLOR_ENCODER = ColorEncoder.Config(generator_width=16, encoder_width=16, discriminator_width=16, num_downs=6)
VIDEO_GENERATOR = VideoGenerator.Config(generator_width=8, encoder_width=16, discriminator_width=16, lambda_vgg=0.0)
CASES = (
    Case("stage I, tiny, 96×64", ColorEncoder, ColorEncoder.presets["tiny"], (96, 64), step_color_encoder),
    Case("stage I, paper's widths / 4, 192×128", ColorEncoder, COLOR_ENCODER, (192, 128), step_color_encoder),
    Case("stage II, tiny, 96×64", VideoGenerator, VideoGenerator.presets["tiny"], (96, 64), step_video_generator),
    Case("stage II, paper's widths / 4, 192×128", VideoGenerator, VIDEO_GENERATOR, (192, 128), step_video_generator),
)


def random_batch(case: Case) -> Batch:
    """A batch of noise with what either stage asks for."""
    random = torch.Generator().manual_seed(1)
    config, n = case.config, case.config.batch_size
    if isinstance(config, ColorEncoder.Config):
        shapes = {"features": (n, 4), "image": (n, 3), "region": (n, 1)}
        noise = torch.randn(n, 2, config.code_size, generator=random)
    else:
        assert isinstance(config, VideoGenerator.Config)
        shapes = {"features": (n, 2, 4), "images": (n, 2, 3), "regions": (n, 2, 2), "content": (n, 3), "start": (n, 3)}
        noise = torch.randn(n, config.upper_latent_dim + config.lower_latent_dim, generator=random)
    images = {name: torch.rand(*shape, *case.size, generator=random) for name, shape in shapes.items()}
    return {name: image if "region" in name else 2 * image - 1 for name, image in images.items()} | {"noise": noise}


def check_equal(case: Case, batch: Batch) -> None:
    """Raise AssertionError unless both steps lead from equal states to equal losses and weights."""
    ours, plain = case.build().double(), case.build_plain().double()
    precise = {name: tensor.double() for name, tensor in batch.items()}
    torch.testing.assert_close(ours.step(precise), case.straightforward(plain, precise), rtol=1e-5, atol=1e-5)
    ours_state, plain_state = ours.state_dict(), plain.state_dict()
    torch.testing.assert_close(ours_state, plain_state, rtol=1e-5, atol=1e-5, equal_nan=True)


def measure(ours: Callable[[], object], plain: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of the first, and the ratio of the second to it: medians of rounds in which both run."""
    pairs = []
    for step in (ours, plain) * 2:  # the first steps also allocate
        step()
    for _ in range(ROUNDS):
        start = time.process_time()
        ours()
        middle = time.process_time()
        plain()
        pairs.append((middle - start, time.process_time() - middle))
    return statistics.median(a for a, _ in pairs), statistics.median(b / a for a, b in pairs)


def time_shares(step: Callable[[], object]) -> dict[str, float]:
    """Share of a step's time by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    events = [(event.key, event.self_cpu_time_total) for event in profiler.key_averages()]
    total = sum(time for _, time in events)
    shares = {
        kind: sum(time for key, time in events if any(name in key for name in names)) / total
        for kind, names in KINDS.items()
    }
    return shares | {"rest": 1 - sum(shares.values())}


def report(case: Case) -> None:
    batch = random_batch(case)
    check_equal(case, batch)
    stage, straightforward = case.build(), case.build_plain()

    def ours() -> Losses:
        return stage.step(batch)

    def plain() -> Losses:
        return case.straightforward(straightforward, batch)

    seconds, ratio = measure(ours, plain)
    flops, plain_flops = arithmetic(ours), arithmetic(plain)
    print(f"{case.name}: {1000 * seconds:.0f} ms; straightforward {ratio:.2f} × that", end="")
    print(f" with {plain_flops / flops:.2f} × its {flops / 1e9:.1f} GFLOP")
    print("  " + ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in time_shares(ours).items()))


def main() -> None:
    """Compare all cases on one core."""
    torch.set_num_threads(1)
    for case in CASES:
        report(case)


if __name__ == "__main__":
    main()
