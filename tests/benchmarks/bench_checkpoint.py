"""What checkpoints cost at the paper's size: ``python -m tests.benchmarks.bench_checkpoint``.

A checkpoint stops the training while its tensors are copied, and a thread writes the copy. Prints both, the share of
the time that both take together if nothing of the writing were hidden, and the share that the training loses, by the
steps that run beside the writing against those that run alone.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace

import torch

from orchestration.training.checkpoint_writer import CheckpointWriter
from orchestration.training.job import TrainSettings
from posegen.checkpoints.checkpoint import TrainingProgress, checkpoint_bytes
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder, VideoGenerator
from tests.benchmarks.bench_steps import Case, random_batch
from tests.benchmarks.straightforward import step_color_encoder, step_video_generator

STEPS = 3
SIZE = (384, 256)
STAGE_II = replace(VideoGenerator.presets["paper"], lambda_vgg=0.0)  # whose network is not saved, and takes longer
CASES = (
    Case("stage I", ColorEncoder, ColorEncoder.presets["paper"], SIZE, step_color_encoder),
    Case("stage II", VideoGenerator, STAGE_II, SIZE, step_video_generator),
)


def report(case: Case) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    stage = case.build().to(device)
    batch = {name: tensor.to(device) for name, tensor in random_batch(case).items()}

    def step() -> float:
        start = time.perf_counter()
        stage.step(batch)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    step()  # the first also allocates the moments of Adam
    alone = statistics.median(step() for _ in range(STEPS))
    progress = TrainingProgress(epoch=0, step=1, data_fingerprint="", size=SIZE, epoch_step=1)
    with tempfile.TemporaryDirectory() as folder, CheckpointWriter(StorageFolder(folder), keep=1) as writer:
        start = time.perf_counter()
        writer.begin(stage, progress)
        copied = time.perf_counter() - start
        lost = copied + step() - alone
        writer.wait()
        start = time.perf_counter()
        writer.begin(stage, progress)
        writer.wait()
        whole = time.perf_counter() - start

    settings = TrainSettings()
    interval = max(whole / settings.checkpoint_share, settings.checkpoint_interval * alone)
    print(
        f"{case.name}: a step {alone:.2f} s, a checkpoint of {checkpoint_bytes(stage) / 1e9:.2f} GB: "
        f"copied in {copied:.2f} s, there after {whole:.2f} s"
    )
    print(f"  by default one every {interval:.0f} s, {interval / alone:.0f} steps: {whole / interval:.2%} of the time")
    print(f"  lost to the training: {lost:.2f} s, {lost / interval:.2%}; at every 500 steps {whole / 500 / alone:.2%}")


if __name__ == "__main__":
    for each in CASES:
        report(each)
