"""Measures runs of behaviour nets and of the flows of their codes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from orchestration.evaluation.records import (
    Basis,
    EvaluationRecord,
    check_protocol,
    save_evaluation,
    scores_of_seeds,
)
from orchestration.generation.code_plots import plot_action_map
from orchestration.generation.motions import write_pictures
from orchestration.tracking.mirror import recorded
from orchestration.training.runs import load_behavior
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.motions import MotionDataset
from posegen.errors import counted
from posegen.evaluation.behavior import BehaviorProtocol, FuturesFrom, futures_from, score_behavior
from posegen.evaluation.behavior_rollouts import (
    PairedWindows,
    encode_windows,
    roll_out,
    sample_random_codes,
    sample_windows,
)
from posegen.io.storage import StorageFolder
from posegen.motion.to_h36m import motion_from_h36m
from posegen.samples import BehaviorWindows
from posegen.stages.behavior_stage import BehaviorStage

_MAPPED = 1000  # codes in a map
_TRANSFERS, _STARTS, _FUTURES = 6, 2, 5  # in pictures; futures are of each start


@dataclass(frozen=True, kw_only=True)
class BehaviorBasis(Basis):
    """Settings that the scores of behaviour depend on."""

    kind = "behavior"
    command = "posegen behavior evaluate"
    subject = "behaviour"
    must_agree: ClassVar[Mapping[str, str]] = {
        "actions": "different actions",
        "num_frames": "windows of different lengths",
        "canonical": "different coordinates",
        "protocol": "different protocols",
    }
    old_file = "behavior.json"

    actions: tuple[str, ...]
    """Actions with held-out windows."""
    num_frames: int
    """Of a window, its first one not counted."""
    canonical: bool
    num_held_out: int
    """Motions."""
    futures_from: FuturesFrom
    protocol: BehaviorProtocol
    left_out: str = ""
    """Held-out motions that are too short to be measured, by action."""

    def describe(self, data: str) -> list[str]:
        protocol = self.protocol
        least = min(protocol.least_frames, self.num_frames + 1)
        left_out = f"; shorter than {counted(least, 'frame')}, and left out: {self.left_out}" if self.left_out else ""
        start = "observed windows" if self.futures_from == "last frame" else "the real futures"
        return [
            f"{counted(protocol.windows, 'window')} of {counted(self.num_frames, 'frame')} from "
            f"{counted(self.num_held_out, 'held-out motion')} "
            f"(data {data}), evenly over {counted(len(self.actions), 'action')} "
            f"({', '.join(self.actions)}), {protocol.seeds} "
            f"seeds{left_out}",
            f"probes trained on {counted(protocol.training_windows, 'window')} of the training "
            "split: action classifiers for "
            f"{protocol.action_steps} steps, discriminators {protocol.realism_steps}, posture probes "
            f"{protocol.posture_steps}",
            f"{counted(protocol.futures, 'future')} of each of at most "
            f"{counted(protocol.sequences, 'held-out window')}, from the "
            f"{self.futures_from} of {start}",
            "± half of the 95 % confidence interval of the mean over seeds, 1.96 s/√n",
        ]


def evaluate_behavior(
    run: str,
    protocol: BehaviorProtocol,
    *,
    dataset: str = "",
    pictures: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationRecord[BehaviorBasis]:
    """Measure a run by the protocol of `posegen.evaluation.behavior`, and save the record.

    Pictures go to ``RUN/behavior`` and to MLflow.

    Args:
        run: Run of the stage behavior or behavior_flow.
        protocol: How to measure.
        dataset: Folder of motions; by default those that the run was trained on.
        pictures: Whether to render transfers, random futures and a map of codes.
        on_progress: Called with the number of parts that are done and the number of all.

    Raises:
        PosegenError: The run is of a stage with another protocol, or the motions do not fit it.
    """
    check_protocol(run, "behavior")
    stage = load_behavior(run)
    data = MotionDataset(dataset or dataset_of(run))
    training, held_out = _open_windows(stage, data, protocol.least_frames)
    values = score_behavior(stage, training, held_out, protocol, on_progress=on_progress)
    record = EvaluationRecord(
        run=str(StorageFolder(run)),
        stage=stage.name,
        dataset=str(data.folder),
        data_fingerprint=data.fingerprint,
        basis=BehaviorBasis(
            actions=tuple(held_out.present),
            num_frames=stage.config.num_frames,
            canonical=stage.config.canonical,
            num_held_out=len(held_out.entries),
            futures_from=futures_from(held_out),
            protocol=protocol,
            left_out=held_out.describe_left_out(),
        ),
        scores=scores_of_seeds(values),
    )
    save_evaluation(record)
    if pictures:
        show_behavior(run, stage, held_out)
    return record


def show_behavior(run: str, stage: BehaviorStage, held_out: BehaviorWindows) -> str:
    """Render transfers, random futures and a map of the codes of held-out motions: in ``RUN/behavior`` and in MLflow.

    Returns the folder.
    """
    folder = StorageFolder(run) / "behavior"
    with tempfile.TemporaryDirectory() as name:
        local = Path(name)
        shown = sample_windows(held_out, len(held_out.actions), np.random.default_rng(0))  # one of each action
        _render_transfers(local / "transfers", stage, shown)
        _render_futures(local / "futures", stage, shown)
        windows = sample_windows(held_out, _MAPPED, np.random.default_rng(0))
        actions = [stage.config.actions[label] for label in windows.labels.tolist()]
        codes = encode_windows(stage.network, windows.joints, windows.lengths).cpu().numpy()
        plot_action_map(local / "codes.png", codes, actions, title="codes of held-out motions")
        folder.upload(local)
    with recorded(run) as log:
        log.log_own_files("behavior")
    return str(folder)


def _open_windows(
    stage: BehaviorStage, data: MotionDataset, least_frames: int
) -> tuple[BehaviorWindows, BehaviorWindows]:
    """Open all windows of the training and of the test split, of motions with so many frames or more."""
    data.rate(stage.config.fps)
    config = replace(stage.config, epoch_size=0, least_frames=min(least_frames, stage.config.num_frames + 1))
    training, held_out = (stage.open_samples(config, data, split) for split in ("train", "test"))
    assert isinstance(training, BehaviorWindows) and isinstance(held_out, BehaviorWindows)
    return training, held_out


def _render_transfers(folder: Path, stage: BehaviorStage, windows: PairedWindows) -> None:
    """Render sources, targets and transfers, of actions from the first to the last."""
    rows = np.linspace(0, len(windows.labels) - 1, min(_TRANSFERS, len(windows.labels))).astype(int)
    codes = encode_windows(stage.network, windows.joints[rows], windows.lengths[rows])
    transfers = roll_out(stage, codes, windows.targets[rows, 0]).with_starts.cpu()
    motions, captions = [], []
    for number, row in enumerate(rows):
        source, target = (stage.config.actions[x[row]] for x in (windows.labels, windows.target_labels))
        captions += [f"source: {source}", f"target: {target}", f"transfer: {source} from the target's posture"]
        motions += [windows.joints[row], windows.targets[row], transfers[number]]
    _write(folder, stage, motions, captions, "transfers", columns=3)


def _render_futures(folder: Path, stage: BehaviorStage, windows: PairedWindows) -> None:
    """Render real motions and random futures of their first postures: of the flow, where there is one."""
    rows = np.linspace(0, len(windows.labels) - 1, _STARTS).astype(int)
    starts = windows.joints[rows, 0].repeat_interleave(_FUTURES, dim=0)
    *_, (kind, codes) = sample_random_codes(stage, len(starts), torch.Generator().manual_seed(0)).items()
    futures = roll_out(stage, codes, starts).with_starts.cpu().unflatten(0, (len(rows), _FUTURES))
    motions, captions = [], []
    for row, of_row in zip(rows, futures, strict=True):
        captions += [f"real: {stage.config.actions[windows.labels[row]]}"]
        captions += [f"{kind} {number + 1}" for number in range(_FUTURES)]
        motions += [windows.joints[row], *of_row]
    _write(folder, stage, motions, captions, "random futures", columns=1 + _FUTURES)


def _write(
    folder: Path, stage: BehaviorStage, motions: Sequence[Tensor], captions: Sequence[str], title: str, columns: int
) -> None:
    made = [motion_from_h36m(x.numpy(), stage.config.fps) for x in motions]
    write_pictures(folder, made, captions, title=title, columns=columns)
