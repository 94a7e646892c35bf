"""Measures what a run of behaviour has learned, and files what it found with the run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from orchestration.generation.code_plots import plot_action_map
from orchestration.generation.motions import write_pictures
from orchestration.tracking.mirror import recorded
from orchestration.training.runs import dataset_of, load_behavior
from posegen.datasets.motions import MotionDataset
from posegen.errors import EvaluationError
from posegen.evaluation.behavior import BehaviorProtocol, FuturesFrom, Source, futures_from, score_behavior
from posegen.evaluation.behavior_rollouts import Windows, choose_windows, decode, encode, random_codes
from posegen.io.records import parse_record
from posegen.io.storage import StorageFolder
from posegen.metrics.motion import Repeated, repeated
from posegen.samples import BehaviorWindows
from posegen.stages.behavior_stage import BehaviorStage

_FILE = "behavior.json"
_MUST_AGREE = {
    "data_fingerprint": "different data",
    "actions": "different actions",
    "num_frames": "windows of different lengths",
    "canonical": "different coordinates",
    "protocol": "different protocols",
}
_MAPPED = 1000  # codes in a map
_TRANSFERS, _STARTS, _FUTURES = 6, 2, 5  # that are shown; futures are of each start


@dataclass(frozen=True, kw_only=True)
class BehaviorEvaluation:
    """All that was measured of a run, and how. The content of ``RUN/evaluation/behavior.json``."""

    run: str
    stage: str
    dataset: str
    data_fingerprint: str
    """Of all motions and of how they are split."""
    actions: tuple[str, ...]
    num_frames: int
    """Of a window after its first."""
    canonical: bool
    num_held_out: int
    """Motions."""
    futures_from: FuturesFrom
    protocol: BehaviorProtocol
    scores: dict[Source, dict[str, Repeated]]

    @property
    def basis(self) -> list[str]:
        """In words, what the figures rest on."""
        protocol = self.protocol
        return [
            f"{protocol.windows:,} windows of {self.num_frames} frames from {self.num_held_out:,} held-out motions "
            f"(data {self.data_fingerprint}), evenly over {len(self.actions)} actions, {protocol.seeds} seeds",
            f"judges learned from {protocol.training_windows:,} windows of the training split: actions in "
            f"{protocol.action_steps} steps, realism in {protocol.realism_steps}, postures in {protocol.posture_steps}",
            f"{protocol.futures} futures of each of at most {protocol.sequences} held-out windows, from the "
            f"{self.futures_from} of {'an observed one' if self.futures_from == 'last frame' else 'what happened'}",
            "± half of the 95 % confidence interval of the mean over seeds, 1.96 s/√n",
        ]


def evaluate_behavior(
    run: str,
    protocol: BehaviorProtocol,
    *,
    dataset: str = "",
    pictures: bool = True,
    on_part: Callable[[int, int], None] = lambda done, total: None,
) -> BehaviorEvaluation:
    """Measure a run by the protocol of `posegen.evaluation.behavior`.

    Writes ``RUN/evaluation/behavior.json`` and pictures to ``RUN/behavior``; files all of it with the run in MLflow.

    Args:
        run: Run of the stage behavior or behavior_flow.
        protocol: How.
        dataset: Folder of motions; by default those that it was trained on.
        pictures: Draw transfers, random futures and a map of codes.
        on_part: Hears how many of how many parts are done.

    Raises:
        PosegenError: The run is of another stage, or the motions do not fit it.
    """
    stage = load_behavior(run)
    data = MotionDataset(dataset or dataset_of(run))
    learned, held_out = _open_windows(stage, data)
    found = score_behavior(stage, learned, held_out, protocol, on_part=on_part)
    evaluation = BehaviorEvaluation(
        run=str(StorageFolder(run)),
        stage=stage.name,
        dataset=str(data.folder),
        data_fingerprint=data.fingerprint,
        actions=tuple(held_out.actions),
        num_frames=stage.config.num_frames,
        canonical=stage.config.canonical,
        num_held_out=len(held_out.entries),
        futures_from=futures_from(held_out),
        protocol=protocol,
        scores={source: {name: repeated(np.array(x)) for name, x in of.items()} for source, of in found.items()},
    )
    _record(evaluation)
    if pictures:
        show_behavior(run, stage, held_out)
    return evaluation


def read_behavior(run: str) -> BehaviorEvaluation:
    """What was measured of a run. Raises EvaluationError where nothing was."""
    folder = StorageFolder(run) / "evaluation"
    if not folder.exists(_FILE):
        raise EvaluationError(f"{run} has no figures of behaviour: measure it with `posegen behavior evaluate {run}`")
    return parse_record(BehaviorEvaluation, folder.read(_FILE), f"{folder}/{_FILE}", EvaluationError)


def check_comparable(evaluations: Sequence[BehaviorEvaluation]) -> None:
    """Raise EvaluationError where figures rest on different data or protocols."""
    first = evaluations[0]
    for other in evaluations[1:]:
        for name, what in _MUST_AGREE.items():
            ours, theirs = getattr(first, name), getattr(other, name)
            if ours != theirs:
                raise EvaluationError(
                    f"figures of {first.run} and {other.run} do not compare: they rest on {what} "
                    f"({_difference(ours, theirs)}): measure both alike"
                )


def _difference(ours: object, theirs: object) -> str:
    """Both, or, of protocols, the first setting in which they differ."""
    if isinstance(ours, BehaviorProtocol) and isinstance(theirs, BehaviorProtocol):
        settings = asdict(theirs)
        return next(f"{name} {x}, {settings[name]}" for name, x in asdict(ours).items() if x != settings[name])
    return f"{ours}, {theirs}"


def show_behavior(run: str, stage: BehaviorStage, held_out: BehaviorWindows) -> str:
    """Draw transfers, random futures and a map of the codes of held-out motions: in ``RUN/behavior`` and in MLflow.

    Returns the folder.
    """
    folder = StorageFolder(run) / "behavior"
    with tempfile.TemporaryDirectory() as name:
        local = Path(name)
        shown = choose_windows(held_out, len(held_out.actions), np.random.default_rng(0))  # one of each action
        _render_transfers(local / "transfers", stage, shown)
        _render_futures(local / "futures", stage, shown)
        windows = choose_windows(held_out, _MAPPED, np.random.default_rng(0))
        actions = [stage.config.actions[label] for label in windows.labels.tolist()]
        codes = encode(stage.network, windows.joints).cpu().numpy()
        plot_action_map(local / "codes.png", codes, actions, title="codes of held-out motions")
        folder.upload(local)
    with recorded(run) as log:
        log.log_own_files("behavior")
    return str(folder)


def _open_windows(stage: BehaviorStage, data: MotionDataset) -> tuple[BehaviorWindows, BehaviorWindows]:
    """All windows of the training and of the test split."""
    data.rate(stage.config.fps)
    config = replace(stage.config, epoch_size=0)
    learned, held_out = (stage.open_samples(config, data, split) for split in ("train", "test"))
    assert isinstance(learned, BehaviorWindows) and isinstance(held_out, BehaviorWindows)
    return learned, held_out


def _render_transfers(folder: Path, stage: BehaviorStage, windows: Windows) -> None:
    """Draw sources, targets and transfers, of actions from the first to the last."""
    rows = np.linspace(0, len(windows.labels) - 1, min(_TRANSFERS, len(windows.labels))).astype(int)
    transfer = decode(stage, encode(stage.network, windows.joints[rows]), windows.targets[rows, 0]).with_starts.cpu()
    motions, captions = [], []
    for number, row in enumerate(rows):
        source, target = (stage.config.actions[x[row]] for x in (windows.labels, windows.target_labels))
        captions += [f"source: {source}", f"target: {target}", f"transfer: {source} as the target starts"]
        motions += [windows.joints[row], windows.targets[row], transfer[number]]
    _write(folder, stage, motions, captions, "transfers", columns=3)


def _render_futures(folder: Path, stage: BehaviorStage, windows: Windows) -> None:
    """Draw what happened and random futures of its first posture: of the flow, where there is one."""
    rows = np.linspace(0, len(windows.labels) - 1, _STARTS).astype(int)
    starts = windows.joints[rows, 0].repeat_interleave(_FUTURES, dim=0)
    *_, (kind, codes) = random_codes(stage, len(starts), torch.Generator().manual_seed(0)).items()
    futures = decode(stage, codes, starts).with_starts.cpu().unflatten(0, (len(rows), _FUTURES))
    motions, captions = [], []
    for row, of_row in zip(rows, futures, strict=True):
        captions += [f"real: {stage.config.actions[windows.labels[row]]}"]
        captions += [f"{kind} {number + 1}" for number in range(_FUTURES)]
        motions += [windows.joints[row], *of_row]
    _write(folder, stage, motions, captions, "random futures", columns=1 + _FUTURES)


def _write(
    folder: Path, stage: BehaviorStage, motions: Sequence[Tensor], captions: Sequence[str], title: str, columns: int
) -> None:
    write_pictures(folder, [stage.to_motion(x.numpy()) for x in motions], captions, title=title, columns=columns)


def _record(evaluation: BehaviorEvaluation) -> None:
    folder = StorageFolder(evaluation.run) / "evaluation"
    scores = {source: {name: x._asdict() for name, x in of.items()} for source, of in evaluation.scores.items()}
    folder.write_json(_FILE, {**asdict(evaluation), "scores": scores})
    means = {f"behavior/{source}_{name}": x.mean for source, of in evaluation.scores.items() for name, x in of.items()}
    with recorded(evaluation.run) as log:
        log.log_metrics(means, step=0, group="behavior")
