"""Frames per second of drawing, and of what is done to frames around it: ``python -m tests.benchmarks.bench_generate``.

All at the paper's sizes, with weights that were not trained, on one core and in its seconds. The generator's rate of
arithmetic is printed as a share of what one plain convolution reaches in the same process.
"""

from __future__ import annotations

import os

from posegen.errors import ConfigError, WeightsError

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable, Iterator

import cv2
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.metrics.temporal import implied_flow, warp_error
from posegen.networks.device import Precision, autocast, require_precision
from posegen.networks.restoration import FeatureRestorer
from posegen.perception.openpose import find_people, load_network
from posegen.stages import DeformableGAN, VideoGenerator
from posegen.synthetic.studio import RenderSettings, StudioClip, render_action

SIZE = (384, 256)
NUM_FRAMES = 3
CPU = torch.device("cpu")


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Shortest CPU time of a call, which other work on the machine disturbs least."""
    times = []
    for _ in range(repeats + 1):  # the first one also allocates
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def flops(function: Callable[[], object]) -> int:
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@torch.inference_mode()
def convolution_rate(channels: int = 256) -> float:
    """Operations per second of a 3×3 convolution at a quarter of the resolution."""
    convolution = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
    x = torch.randn(1, channels, SIZE[0] // 4, SIZE[1] // 4)
    return flops(lambda: convolution(x)) / seconds(lambda: convolution(x))


@torch.inference_mode()
def bench_generator(stage: VideoGenerator, batch_size: int, precision: Precision) -> None:
    latent_dim = stage.config.upper_latent_dim + stage.config.lower_latent_dim
    features, previous = torch.randn(batch_size, 4, *SIZE), torch.randn(batch_size, 3, *SIZE)
    z = torch.randn(batch_size, latent_dim)

    def draw() -> torch.Tensor:
        with autocast(precision, CPU):
            return stage.generator(features, previous, z)

    work, rate, time_per_batch = flops(draw), convolution_rate(), seconds(draw)
    print(
        f"generator, {precision}, batch {batch_size}: {batch_size / time_per_batch:.2f} frames/s, "
        f"{work / batch_size / 1e9:.1f} GFLOP/frame, {work / time_per_batch / 1e9:.0f} GFLOP/s, "
        f"{100 * work / time_per_batch / rate:.0f} % of the {rate / 1e9:.0f} that a convolution in fp32 reaches"
    )


def report(name: str, num_frames: int, function: Callable[[], object], repeats: int = 1) -> None:
    print(f"{name}: {num_frames / seconds(function, repeats):.2f} frames/s")


def bench_methods(clip: StudioClip, stage: VideoGenerator) -> None:
    """Whole frames, from the content image and poses to uint8."""
    content = Person(clip.images[0], clip.keypoints[0], clip.edges[0], clip.masks[0])
    ours = VideoSynthesizer(stage, SIZE, CPU)
    theirs = PoseTransfer(DeformableGAN(DeformableGAN.presets["paper"]), SIZE, CPU)
    report("proposed method", len(clip.images), lambda: list(ours.frames(content, clip.keypoints)))
    report("Deformable GAN", len(clip.images), lambda: list(theirs.frames(content, clip.keypoints)))


@torch.inference_mode()
def bench_restoration() -> None:
    restorer = FeatureRestorer().eval()
    features, support = torch.randn(1, 4, *SIZE), torch.rand(1, 1, *SIZE)
    report("feature restoration", 1, lambda: restorer(features, support), repeats=3)


def bench_openpose(clip: StudioClip) -> None:
    try:
        network = load_network()
    except WeightsError:
        print("OpenPose: no weights here, not timed")
        return
    report(f"OpenPose ({type(network).__name__})", 1, lambda: find_people(network, clip.images[0]), repeats=3)


def bench_warp_error(clip: StudioClip) -> None:
    def measure() -> float:
        flow = implied_flow(clip.keypoints, clip.masks)
        return warp_error(clip.images, flow.offsets, flow.valid)

    report("implied_flow and warp_error", len(clip.images), measure, repeats=3)


def cpu_precisions() -> Iterator[Precision]:
    """The precisions that this CPU has; prints why it lacks one."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        try:
            require_precision(precision, CPU)
        except ConfigError as error:
            print(f"{precision}: {error}")
        else:
            yield precision


def main() -> None:
    """Print all speeds."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    clip = render_action("bruno", "jumping_jacks", NUM_FRAMES, RenderSettings(size=SIZE))
    stage = VideoGenerator(VideoGenerator.presets["paper"]).eval()
    for precision in cpu_precisions():
        for batch_size in (1, 4):
            bench_generator(stage, batch_size, precision)
    bench_methods(clip, stage)
    bench_restoration()
    bench_openpose(clip)
    bench_warp_error(clip)


if __name__ == "__main__":
    main()
