"""What a GPU makes of both stages at the paper's size, in under 8 minutes: ``python -m tests.benchmarks.bench_gpu``.

Prints, for stage I and stage II at 384×256: frames a second, memory, and the share of the GPU's limit for bf16, of
plain fp32 and of bf16 with channels last and compiled networks; and how far apart the pictures of both are after 200
steps from the same weights, as MS-SSIM against the true ones. With ``--smoke`` everything is tiny and runs on a CPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from torch import Tensor

from orchestration.runtime.worker import prefetch, to_device
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.metrics.image import MS_SSIM_MIN_SIZE, ms_ssim, ssim
from posegen.networks.device import Precision, autocast, default_device, fit_to_device, require_precision
from posegen.samples import Batch, EpochLoader, fixed_batch
from posegen.stages import ColorEncoder, VideoGenerator
from posegen.stages.stage import Stage
from posegen.stages.video_stage import to_unit_range
from tests.benchmarks.arithmetic import arithmetic
from tests.benchmarks.bench_train import make_dataset

LIMIT = 790e12  # FLOP/s of bf16 that an H200 was seen to reach
WARM_UP, MEASURED = 5, 20  # steps


@dataclass(frozen=True)
class Variant:
    """A way to run a stage."""

    name: str
    precision: Precision
    is_fitted: bool
    """Whether layouts, TF32 and compiling are the device's, or PyTorch's plain ones."""


VARIANTS = (Variant("fp32", "fp32", False), Variant("bf16, channels last, compiled", "bf16", True))


@dataclass(frozen=True)
class Case:
    """A stage to be measured."""

    name: str
    config: Stage.Config
    frames: int
    """That a sample has."""
    drift_batch: int
    """Samples of a step in the comparison of pictures."""


def paper_cases() -> list[Case]:
    encoder = replace(ColorEncoder.presets["paper"], batch_size=32)
    video = replace(VideoGenerator.presets["paper"], batch_size=8)
    return [Case("stage I", encoder, 1, 8), Case("stage II", video, 2, 2)]


def tiny_cases() -> list[Case]:
    narrow = {"generator_width": 4, "encoder_width": 4, "discriminator_width": 4}
    encoder = replace(ColorEncoder.presets["tiny"], batch_size=2, **narrow)
    video = replace(VideoGenerator.presets["tiny"], batch_size=2, num_blocks=1, num_local_blocks=1, **narrow)
    return [Case("stage I", encoder, 1, 2), Case("stage II", video, 2, 2)]


def build(config: Stage.Config, variant: Variant, device: torch.device) -> Stage:
    """The stage with the weights that it begins with, run as the variant says."""
    torch.manual_seed(config.seed)
    stage = config.stage(config)
    stage.leave_untrained()  # what a step costs does not depend on the perceptual network's weights
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    if variant.is_fitted:
        fit_to_device(stage, device)
        if device.type == "cuda":
            stage.compile_networks()
    return stage.to(device).train()


def step(stage: Stage, batch: Batch, variant: Variant, device: torch.device) -> None:
    with autocast(variant.precision, device):
        stage.step(batch)


def count_flops(config: Stage.Config, batch: Batch, device: torch.device) -> float:
    """Floating-point operations of a step, which do not depend on how it is run."""
    stage = build(config, VARIANTS[0], device)
    return float(arithmetic(lambda: stage.step(batch)))


def measure(stage: Stage, batch: Batch, variant: Variant, device: torch.device, steps: int) -> tuple[float, float]:
    """Seconds of a step, and bytes of memory at most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(min(WARM_UP, steps)):
        step(stage, batch, variant, device)
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step(stage, batch, variant, device)
    _wait(device)
    seconds = (time.perf_counter() - start) / steps
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    return seconds, float(memory)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def learn(case: Case, variant: Variant, data: ClipDataset, device: torch.device, steps: int) -> float:
    """Similarity to the true pictures after so many steps: the same samples in the same order for all variants."""
    config = replace(case.config, batch_size=case.drift_batch)
    stage = build(config, variant, device)
    samples = stage.open_samples(config, data, "train")
    for batch in prefetch(_batches(EpochLoader(samples, config.batch_size), steps), device):
        step(stage, batch, variant, device)
    stage.eval()
    (batch,) = fixed_batch(samples, 4, 4, epoch=10**6)
    fake, real = draw(stage, to_device(batch, device))
    similarity = ms_ssim if min(real.shape[-2:]) >= MS_SSIM_MIN_SIZE else ssim
    return float(similarity(to_unit_range(fake.float()), to_unit_range(real)).mean())


def _batches(loader: EpochLoader, steps: int) -> Iterator[Batch]:
    taken = 0
    while True:
        for batch in loader.epoch(taken // loader.num_steps):
            if taken == steps:
                return
            taken += 1
            yield batch


@torch.no_grad()
def draw(stage: Stage, batch: Batch) -> tuple[Tensor, Tensor]:
    """Generated and true pictures (N, 3, H, W) in [-1, 1]."""
    if isinstance(stage, ColorEncoder):
        return stage.generator(batch["features"], stage.encoder(batch["image"])[0]), batch["image"]
    assert isinstance(stage, VideoGenerator)
    pair = stage.generate_pair(batch, stage.conditions(batch), stage.encode(batch["content"]))
    return pair[:, 1], batch["images"][:, 1]


def report(case: Case, data: ClipDataset, device: torch.device, steps: int, drift_steps: int) -> None:
    """Print what each variant of a stage reaches."""
    samples = case.config.stage.open_samples(case.config, data, "train")
    (batch,) = fixed_batch(samples, case.config.batch_size, case.config.batch_size)
    batch = to_device(batch, device)
    flops = count_flops(case.config, batch, device)
    print(f"{case.name}: {flops / case.config.batch_size / 1e12:.3f} TFLOP a sample, {case.config.batch_size} a step")
    rates, similarities = [], []
    for variant in VARIANTS:
        try:
            require_precision(variant.precision, device)
        except ConfigError as error:
            print(f"  {variant.name}: {error}")
            continue
        seconds, memory = measure(build(case.config, variant, device), batch, variant, device, steps)
        rates.append(case.frames * case.config.batch_size / seconds)
        similarities.append(learn(case, variant, data, device, drift_steps))
        print(
            f"  {variant.name:<30} {rates[-1]:8.1f} frames/s  {memory / 2**30:6.1f} GiB  "
            f"{flops / seconds / 1e12:7.2f} TFLOP/s, {100 * flops / seconds / LIMIT:6.2f} % of the limit  "
            f"similarity {similarities[-1]:.4f} after {drift_steps} steps",
            flush=True,
        )
    if len(rates) == len(VARIANTS):
        drift = abs(similarities[1] - similarities[0])
        print(f"  {rates[1] / rates[0]:.2f} times as fast, drift {drift:.4f}", flush=True)


def main() -> None:
    """Measure both stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the CPU")
    is_smoke = parser.parse_args().smoke
    device = torch.device("cpu") if is_smoke else default_device()
    if device.type == "cpu" and not is_smoke:
        print("no GPU is here: try it with --smoke")
        return
    where = "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    print(f"PyTorch {torch.__version__} on {where}")
    with tempfile.TemporaryDirectory() as folder:
        size, num_frames = ((64, 64), 3) if is_smoke else ((384, 256), 12)
        data = ClipDataset(make_dataset(Path(folder), size, num_frames))
        for case in tiny_cases() if is_smoke else paper_cases():
            report(case, data, device, *((1, 1) if is_smoke else (MEASURED, 200)))


if __name__ == "__main__":
    main()
