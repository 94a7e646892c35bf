"""The protocol that measures a behaviour net, after Blattmann et al. (2021, arXiv:2103.04677, published code).

It is repeated with several seeds. Each repeat samples windows of the training motions, on which the probes are trained,
and windows of held-out motions, on which everything is measured. Windows are sampled evenly over actions, so that
chance is one over the number of actions that have one. A transfer is between different actions and, where the data has
several people, between different people. Postures are normalized by the net's own mean and standard deviation.

Metrics are given by source: ``real`` motions; the rollouts of `posegen.evaluation.behavior_rollouts`, which are
``reconstruction``, ``transfer``, ``late`` (transfers that start in the second half of their targets), ``prior`` and
``flow`` (random codes); ``code``, for what is predicted from codes; and ``chance``, for uninformed predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posegen.errors import ConfigError, DatasetError
from posegen.evaluation.behavior_probes import (
    ActionWindows,
    evaluate_posture_probe,
    measure_realism,
    predict_actions,
    train_action_classifier,
    train_discriminator,
    train_posture_probe,
)
from posegen.evaluation.behavior_rollouts import (
    Rollout,
    WindowRollouts,
    encode_windows,
    read_windows,
    roll_out,
    roll_out_windows,
    sample_late_starts,
    sample_random_codes,
    sample_windows,
)
from posegen.metrics.behavior import (
    average_pairwise_distance,
    code_distance,
    cross_displacement,
    displacement_error,
    limb_drift,
    self_distance,
)
from posegen.networks.bone_directions import mirror
from posegen.samples import BehaviorWindows
from posegen.stages.behavior_stage import BehaviorStage

BehaviorSource = Literal["real", "reconstruction", "transfer", "late", "prior", "flow", "code", "chance"]
FuturesFrom = Literal["last frame", "first frame"]
_Values = Mapping[BehaviorSource, Mapping[str, float]]

_EVERY = 4  # futures are generated for one window in four, as published
_PROBED = (0, 10, 20, 30, 40, 49)  # frames of fifty whose postures are predicted from codes, as published


@dataclass(frozen=True, kw_only=True)
class BehaviorProtocol:
    """Evaluation protocol of a behaviour net."""

    seeds: int = 3
    """Repeats, each with other windows, pairs, codes and probes."""
    windows: int = 480
    """Held-out windows, over all actions."""
    least_frames: int = 8
    """Frames of the shortest motions, which are windows of their own; what is shorter is left out, and listed."""
    training_windows: int = 3600
    """Windows that the probes are trained on, over all actions."""
    sequences: int = 48
    """Held-out windows for which futures are generated, at most."""
    futures: int = 50
    """Random futures of each."""
    action_dim: int = 96
    """Channels of the action classifiers, a multiple of 8."""
    action_steps: int = 600
    """Training steps of the action classifiers, of 64 windows each: one classifier of postures, one of movements. Their
    accuracy on real motions says whether that is enough."""
    realism_dim: int = 128
    """Size of the recurrent state of the discriminators; the published one has 256."""
    realism_steps: int = 300
    """Training steps of the discriminators, one for each kind of generated motions."""
    posture_steps: int = 300
    """Training steps of the posture probes, one for each of six frames."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 2 if name in ("seeds", "futures") else 1
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        if self.action_dim % 8:
            raise ConfigError(f"action_dim must be a multiple of 8, got {self.action_dim}")


def score_behavior(
    stage: BehaviorStage,
    training: BehaviorWindows,
    held_out: BehaviorWindows,
    protocol: BehaviorProtocol,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[BehaviorSource, dict[str, list[float]]]:
    """Measure a behaviour net and, if the stage has one, the flow of its codes.

    Args:
        stage: The trained stage.
        training: Windows of the training motions, for the probes.
        held_out: Windows of other motions, of the same actions.
        protocol: How to measure.
        on_progress: Called with the number of parts that are done and the number of all.

    Returns:
        By source and metric, one value for each seed. The functions of this module describe the metrics.

    Raises:
        DatasetError: The two share motions, their actions differ, or there are fewer than two of them.
    """
    _check_held_out(training, held_out)
    total = protocol.seeds * len(_PARTS)
    scores: dict[BehaviorSource, dict[str, list[float]]] = {}
    for seed in range(protocol.seeds):
        repeat = _Repeat(stage, training, held_out, protocol, seed)
        for number, measure in enumerate(_PARTS):
            on_progress(seed * len(_PARTS) + number, total)
            for source, metrics in measure(repeat).items():
                for name, value in metrics.items():
                    scores.setdefault(source, {}).setdefault(name, []).append(value)
    on_progress(total, total)
    return scores


def futures_from(held_out: BehaviorWindows) -> FuturesFrom:
    """Return where futures begin: after observed windows, or, where no motion has two windows, at first postures."""
    return "last frame" if len(_observed(held_out)) else "first frame"


def probed_frames(num_frames: int) -> list[int]:
    """Return the frames of a window whose postures are predicted from its code: for fifty frames the published ones."""
    return sorted({frame * num_frames // (_PROBED[-1] + 1) for frame in _PROBED})


def _check_held_out(training: BehaviorWindows, held_out: BehaviorWindows) -> None:
    if training.actions != held_out.actions:
        raise DatasetError(f"got the actions {training.actions} to train probes on and {held_out.actions} to measure")
    shared = {entry.motion_id for entry in training.entries} & {entry.motion_id for entry in held_out.entries}
    if shared:
        raise DatasetError(
            f"{held_out.dataset.folder} has {min(shared)} in the training and in the test split: split it again"
        )


class _Repeat:
    """One repeat of the protocol: what all its metrics are computed from."""

    def __init__(
        self,
        stage: BehaviorStage,
        training: BehaviorWindows,
        held_out: BehaviorWindows,
        protocol: BehaviorProtocol,
        seed: int,
    ):
        self.stage, self.protocol, self.seed = stage, protocol, seed
        self.samples = held_out
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.training = self._roll_out(training, protocol.training_windows)
        self.held_out = self._roll_out(held_out, protocol.windows)

    @cached_property
    def late(self) -> Rollout:
        """Transfers that start in the second half of the targets."""
        starts = sample_late_starts(self.stage, self.held_out.windows.targets, self.rng)
        return roll_out(self.stage, self.held_out.codes, starts)

    def postures(self, joints: Tensor) -> Tensor:
        """Joints (..., 17, 3) as normalized postures (..., 51)."""
        return self.stage.network.normalize(joints.to(self.stage.device))

    def _roll_out(self, samples: BehaviorWindows, count: int) -> WindowRollouts:
        return roll_out_windows(self.stage, sample_windows(samples, count, self.rng), self.generator)


def _score_actions(repeat: _Repeat) -> _Values:
    """``accuracy``: share of motions classified as the action of their code. ``target_accuracy``: share of transfers
    classified as the action of the target, from whose posture they start.

    The classifier is trained on real windows without their first frame, which the net does not generate. Of every
    motion the frames count that its source has.
    """
    return _classify(repeat, "accuracy", lambda joints: repeat.postures(joints)[:, 1:])


def _score_movements(repeat: _Repeat) -> _Values:
    """``movement_accuracy`` and ``target_movement_accuracy``: the same by a classifier of differences from frame to
    frame, as the second published one, which does not see in which posture people start.
    """

    def changes(joints: Tensor) -> Tensor:
        return repeat.postures(joints).diff(dim=1)

    scale = changes(repeat.training.windows.joints).std()
    return _classify(repeat, "movement_accuracy", lambda joints: changes(joints) / scale)


def _classify(repeat: _Repeat, metric: str, features: Callable[[Tensor], Tensor]) -> _Values:
    """Accuracy of a classifier of these features of windows (N, T + 1, 17, 3)."""
    protocol, training, held_out = repeat.protocol, repeat.training.windows, repeat.held_out
    labels, targets = held_out.windows.labels, held_out.windows.target_labels
    both = torch.cat([training.joints, mirror(training.joints)])
    classifier = train_action_classifier(
        ActionWindows(features(both), training.lengths.repeat(2) - 1, training.labels.repeat(2)),
        len(repeat.samples.actions),
        hidden_dim=protocol.action_dim,
        steps=protocol.action_steps,
        seed=repeat.seed,
    )
    motions: dict[BehaviorSource, Tensor] = {
        "real": held_out.windows.joints,
        "reconstruction": held_out.rollouts["reconstruction"].with_starts,
        "transfer": held_out.rollouts["transfer"].with_starts,
        "late": repeat.late.with_starts,
    }
    predicted = {
        source: predict_actions(classifier, features(joints), held_out.windows.lengths - 1).cpu()
        for source, joints in motions.items()
    }
    values: dict[BehaviorSource, dict[str, float]] = {
        source: {metric: _share(of_source == labels)} for source, of_source in predicted.items()
    }
    for source in ("transfer", "late"):
        values[source][f"target_{metric}"] = _share(predicted[source] == targets)
    values["chance"] = {metric: 1 / len(repeat.samples.present)}
    return values


def _score_realism(repeat: _Repeat) -> _Values:
    """``realism``: mean probability "real" of generated motions; at best that of real ones, ``realism_of_real``, about
    0.5. ``realism_accuracy``: share of correct predictions of the discriminator, at best 0.5.

    Each kind of rollout has its own discriminator, as published, trained on rollouts of the training motions and
    evaluated on those of held-out ones. The published one is evaluated on the motions that it was trained on.
    """
    protocol = repeat.protocol
    values: dict[BehaviorSource, dict[str, float]] = {}
    training, held_out = (repeat.postures(x.windows.joints[:, 1:]) for x in (repeat.training, repeat.held_out))
    for kind, rollout in repeat.training.rollouts.items():
        discriminator = train_discriminator(
            training,
            repeat.postures(rollout.joints),
            hidden_dim=protocol.realism_dim,
            steps=protocol.realism_steps,
            seed=repeat.seed,
        )
        generated = repeat.postures(repeat.held_out.rollouts[kind].joints)
        realism = measure_realism(discriminator, held_out, generated)
        values[kind] = {
            "realism": realism.generated,
            "realism_of_real": realism.real,
            "realism_accuracy": realism.accuracy,
        }
    values["chance"] = {"realism": 0.5, "realism_of_real": 0.5, "realism_accuracy": 0.5}
    return values


def _score_starts(repeat: _Repeat) -> _Values:
    """``first_step``: metres, mean over joints, from the start posture to the first generated frame, and for real
    motions from a frame to the next. ``joint_error``: metres from joints of reconstructions to those of the window.
    """
    windows, rollouts = repeat.held_out.windows.joints, repeat.held_out.rollouts

    def first_step(rollout: Rollout) -> float:
        return _joint_distance(rollout.joints[:, 0], rollout.starts)

    return {
        "real": {"first_step": _joint_distance(windows[:, 1:], windows[:, :-1])},
        "reconstruction": {
            "first_step": first_step(rollouts["reconstruction"]),
            "joint_error": _joint_distance(rollouts["reconstruction"].joints.cpu(), windows[:, 1:]),
        },
        "transfer": {"first_step": first_step(rollouts["transfer"])},
        "late": {"first_step": first_step(repeat.late)},
    }


def _score_transfers(repeat: _Repeat) -> _Values:
    """``cross_displacement`` and ``cross_displacement_final``: distance of whole postures of transfers from those of
    their source, in standard deviations; small where postures are copied. ``real`` is that of the targets.

    ``consistency`` and ``consistency_std``: distance of the code of a generated motion from the code that it was
    generated from. For comparison, ``real`` is that of two windows of one action, ``chance`` of different actions.
    """
    network, held_out = repeat.stage.network, repeat.held_out
    windows, transfer = held_out.windows, held_out.rollouts["transfer"]
    source = _array(repeat.postures(windows.joints[:, 1:]))
    values: dict[BehaviorSource, dict[str, float]] = {}
    displaced: dict[BehaviorSource, Tensor] = {"real": windows.targets[:, 1:], "transfer": transfer.joints}
    for name, joints in displaced.items():
        displacement = cross_displacement(_array(repeat.postures(joints)), source)
        values[name] = {"cross_displacement": displacement.average, "cross_displacement_final": displacement.final}
    codes: dict[BehaviorSource, Tensor] = {
        "real": encode_windows(network, windows.same, windows.same_lengths),
        "chance": encode_windows(network, windows.targets, windows.target_lengths),
        "reconstruction": held_out.rollouts["reconstruction"].encode(network, windows.lengths),
        "transfer": transfer.encode(network, windows.lengths),
        "late": repeat.late.encode(network, windows.lengths),
    }
    for name, of_source in codes.items():
        distance = code_distance(_array(held_out.codes), _array(of_source))
        values.setdefault(name, {}).update(consistency=distance.mean, consistency_std=distance.std)
    return values


def _score_limbs(repeat: _Repeat) -> _Values:
    """``limb_drift``: how much limbs change their length, see `posegen.metrics.behavior.limb_drift`.

    It belongs beside every figure of diversity: futures are diverse also where bodies fall apart.
    """
    motions: dict[BehaviorSource, Tensor] = {"real": repeat.held_out.windows.joints}
    motions |= {kind: rollout.with_starts for kind, rollout in repeat.held_out.rollouts.items()}
    return {source: {"limb_drift": limb_drift(_array(joints))} for source, joints in motions.items()}


def _score_futures(repeat: _Repeat) -> _Values:
    """``asd``, ``fsd``, ``apd``: distances between random futures; ``ade``, ``fde``: distance of the nearest one from
    the real future. Metres of whole postures, see `posegen.metrics.behavior`.

    Futures start at the last frame of every fourth held-out window, or of fewer that are spread evenly; the window that
    begins there is the real future. See `futures_from` for data without such windows.
    """
    protocol, samples = repeat.protocol, repeat.samples
    numbers = _observed(samples) if futures_from(samples) == "last frame" else np.arange(len(samples.labels))
    every = numbers[repeat.seed % _EVERY :: _EVERY] if len(numbers) >= _EVERY else numbers
    count = min(protocol.sequences, len(every))
    real = read_windows(samples, every[np.linspace(0, len(every) - 1, count).astype(int)])
    starts = real[:, 0].repeat_interleave(protocol.futures, dim=0)
    values: dict[BehaviorSource, dict[str, float]] = {}
    for kind, codes in sample_random_codes(repeat.stage, len(starts), repeat.generator).items():
        futures = _array(roll_out(repeat.stage, codes, starts).joints.unflatten(0, (count, -1)))
        spread, error = self_distance(futures), displacement_error(futures, _array(real[:, 1:]))
        values[kind] = {
            "asd": spread.average,
            "fsd": spread.final,
            "apd": average_pairwise_distance(futures),
            "ade": error.average,
            "fde": error.final,
        }
    return values


def _score_leakage(repeat: _Repeat) -> _Values:
    """``posture_error``: distance, in standard deviations, of postures predicted from codes, mean over the frames of
    `probed_frames`; ``chance`` predicts the mean posture of the training data. ``posture_r2``: share of the variance
    that is predicted. ``posture_error_N`` and ``posture_r2_N`` are those of frame N. Each frame has its own probe, as
    published.
    """
    training, held_out = repeat.training, repeat.held_out
    results = {}
    for frame in probed_frames(repeat.stage.config.num_frames):
        postures, truth = (repeat.postures(x.windows.joints[:, frame]) for x in (training, held_out))
        probe = train_posture_probe(training.codes, postures, steps=repeat.protocol.posture_steps, seed=repeat.seed)
        results[frame] = evaluate_posture_probe(probe, held_out.codes, truth, postures.mean(dim=0))
    error, constant_error, r2 = np.mean(list(results.values()), axis=0).tolist()
    return {
        "code": {
            "posture_error": error,
            "posture_r2": r2,
            **{f"posture_error_{frame}": result.error for frame, result in results.items()},
            **{f"posture_r2_{frame}": result.r2 for frame, result in results.items()},
        },
        "chance": {
            "posture_error": constant_error,
            "posture_r2": 0.0,
            **{f"posture_error_{frame}": result.constant_error for frame, result in results.items()},
        },
    }


_PARTS: tuple[Callable[[_Repeat], _Values], ...] = (
    _score_actions,
    _score_movements,
    _score_realism,
    _score_starts,
    _score_transfers,
    _score_limbs,
    _score_futures,
    _score_leakage,
)


def _observed(samples: BehaviorWindows) -> np.ndarray:
    """Numbers (K,) of the windows that begin where another one ends."""
    return np.flatnonzero(samples.locate(np.arange(len(samples.labels)))[1] >= samples.num_frames)


def _joint_distance(joints: Tensor, others: Tensor) -> float:
    """Mean distance of joints (..., 17, 3) in metres."""
    return (joints - others).norm(dim=-1).mean().item()


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


def _array(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()
