"""What one core makes of training and drawing at the paper's size: ``python -m tests.benchmarks.bench_cpu``.

Prints, for a step of both stages and for frames one by one and in fours, seconds of the processor and the rate of
arithmetic as a share of what one plain convolution in fp32 reaches in the same process: in fp32, and in bf16 where the
processor has it. With ``--compile`` the same of compiled networks, which needs a C++ compiler and minutes.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from posegen.networks.device import Precision, autocast
from posegen.stages import ColorEncoder, VideoGenerator
from tests.benchmarks.arithmetic import arithmetic
from tests.benchmarks.bench_generate import CPU, SIZE, convolution_rate, cpu_precisions, seconds
from tests.benchmarks.bench_steps import Case, random_batch
from tests.benchmarks.straightforward import step_color_encoder, step_video_generator

STAGE_II = replace(VideoGenerator.presets["paper"], lambda_vgg=0.0)
CASES = (
    Case("step of stage I", ColorEncoder, ColorEncoder.presets["paper"], SIZE, step_color_encoder),
    Case("step of stage II", VideoGenerator, STAGE_II, SIZE, step_video_generator),
)


def report(name: str, call: Callable[[], object], work: int, repeats: int) -> None:
    begin = time.perf_counter()
    call()  # which compiles, where something is compiled
    first, taken, rate = time.perf_counter() - begin, seconds(call, repeats), convolution_rate()
    share = 100 * work / taken / rate
    print(f"{name}: {taken:.2f} s, {share:.0f} % of the {rate / 1e9:.0f} GFLOP/s of a convolution", end="")
    print(f"; the first took {first:.0f} s", flush=True)


def report_step(case: Case, precision: Precision, compiled: bool) -> None:
    stage, batch = case.build(), random_batch(case)
    work = arithmetic(lambda: stage.step(batch))
    if compiled:
        stage.compile_networks()

    def step() -> object:
        with autocast(precision, CPU):
            return stage.step(batch)

    report(f"{case.name}, {precision}{', compiled' * compiled}, batch {case.config.batch_size}", step, work, repeats=1)


@torch.no_grad()
def report_frames(batch_size: int, precision: Precision, compiled: bool) -> None:
    torch.manual_seed(0)
    stage = VideoGenerator(STAGE_II).eval()
    features, previous = torch.randn(batch_size, 4, *SIZE), torch.randn(batch_size, 3, *SIZE)
    z = torch.randn(batch_size, STAGE_II.upper_latent_dim + STAGE_II.lower_latent_dim)
    work = arithmetic(lambda: stage.generator(features, previous, z))
    generator = torch.compile(stage.generator, options={"freezing": True}) if compiled else stage.generator

    def draw() -> object:
        with autocast(precision, CPU):
            return generator(features, previous, z)

    report(f"{batch_size} frames, {precision}{', compiled' * compiled}", draw, work, repeats=3)


def main() -> None:
    """Print all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true", help="compiled networks, too")
    parser.add_argument("--only", choices=("steps", "frames"), help="one of both alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for compiled in (False, True)[: 1 + given.compile]:
        for precision in cpu_precisions():
            for batch_size in (1, 4) if given.only != "steps" else ():
                report_frames(batch_size, precision, compiled)
            for case in CASES if given.only != "frames" else ():
                report_step(case, precision, compiled)


if __name__ == "__main__":
    main()
