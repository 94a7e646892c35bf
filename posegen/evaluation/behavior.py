"""How good a behaviour net is, by a protocol after Blattmann et al. (2021, arXiv:2103.04677, published code).

So many times, each with its own seed: windows of motions that the net learned from, of which judges learn, too; windows
of held-out ones, of which nobody did; what the net makes of both; and every metric of the latter. Windows are drawn
evenly over actions, so that chance is one in as many as there are. A transfer is between different actions and, where
the data has them, different people. Postures are normalized by the net's own mean and standard deviation.

What is measured are sources of motions: ``real`` ones and, as `posegen.evaluation.behavior_rollouts` generates them,
``reconstruction``, ``transfer``, ``late`` (transfers whose targets begin somewhere in their second half), ``prior`` and
``flow`` (random codes); ``code``, what is read out of codes; and ``chance``, what somebody gets who knows nothing.
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
    judge_postures,
    judge_realism,
    learn_actions,
    learn_postures,
    learn_realism,
    tell_actions,
)
from posegen.evaluation.behavior_rollouts import (
    Drawn,
    Played,
    choose_windows,
    decode,
    encode,
    late_starts,
    play,
    random_codes,
    read_windows,
)
from posegen.metrics.behavior import (
    average_pairwise_distance,
    code_distance,
    cross_displacement,
    displacement_error,
    limb_drift,
    self_distance,
)
from posegen.samples import BehaviorWindows
from posegen.stages.behavior_stage import BehaviorStage

Source = Literal["real", "reconstruction", "transfer", "late", "prior", "flow", "code", "chance"]
Metrics = Mapping[Source, Mapping[str, float]]
FuturesFrom = Literal["last frame", "first frame"]

_EVERY = 4  # of the windows one is a sequence whose futures are drawn, as published
_READ = (0, 10, 20, 30, 40, 49)  # frames of fifty that are read out of a code, as published


@dataclass(frozen=True, kw_only=True)
class BehaviorProtocol:
    """How behaviour is measured."""

    seeds: int = 3
    """How often, each time with other windows, pairs, codes and judges."""
    windows: int = 480
    """Held-out windows, over all actions."""
    training_windows: int = 1920
    """Windows that judges learn from, over all actions."""
    sequences: int = 48
    """Held-out windows whose futures are drawn, at most."""
    futures: int = 50
    """Random futures of each."""
    action_dim: int = 128
    """Size of the recurrent state of what tells actions; the published one has 512, and takes ten times as long."""
    action_steps: int = 300
    """Steps in which it learns, of 64 windows each; once from postures, once from their changes."""
    realism_dim: int = 128
    """Size of the recurrent state of what tells real from drawn; the published one has 256."""
    realism_steps: int = 300
    """Steps in which it learns; once for each kind of motion that is drawn."""
    posture_steps: int = 300
    """Steps in which what reads postures out of codes learns; once for each of six frames."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 2 if name in ("seeds", "futures") else 1
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")


def score_behavior(
    stage: BehaviorStage,
    learned: BehaviorWindows,
    held_out: BehaviorWindows,
    protocol: BehaviorProtocol,
    *,
    on_part: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Source, dict[str, list[float]]]:
    """Measure a behaviour net and, if the stage has one, the flow of its codes: every metric, once for each seed.

    Args:
        stage: What is measured.
        learned: Windows that judges learn from.
        held_out: Windows of other motions, of the same actions.
        protocol: How.
        on_part: Hears how many of how many parts are done.

    Returns:
        By source and metric; what each metric is, the functions of this module say.

    Raises:
        DatasetError: Both have the same motions, their actions differ, or there are fewer than two of them.
    """
    _check_held_out(learned, held_out)
    total = protocol.seeds * len(_PARTS)
    found: dict[Source, dict[str, list[float]]] = {}
    for seed in range(protocol.seeds):
        trial = _Trial(stage, learned, held_out, protocol, seed)
        for number, measure in enumerate(_PARTS):
            on_part(seed * len(_PARTS) + number, total)
            for source, metrics in measure(trial).items():
                for name, value in metrics.items():
                    found.setdefault(source, {}).setdefault(name, []).append(value)
    on_part(total, total)
    return found


def futures_from(held_out: BehaviorWindows) -> FuturesFrom:
    """Where futures begin: behind observed windows, or, where no motion is as long as two, with the first posture."""
    return "last frame" if len(_observed(held_out)) else "first frame"


def read_frames(num_frames: int) -> list[int]:
    """The frames of a window whose postures are read out of its code: of fifty the published ones."""
    return sorted({frame * num_frames // (_READ[-1] + 1) for frame in _READ})


def _check_held_out(learned: BehaviorWindows, held_out: BehaviorWindows) -> None:
    if learned.actions != held_out.actions:
        raise DatasetError(f"got the actions {learned.actions} to learn from and {held_out.actions} to measure")
    shared = {entry.motion_id for entry in learned.entries} & {entry.motion_id for entry in held_out.entries}
    if shared:
        raise DatasetError(f"{held_out.dataset.folder} has {min(shared)} to learn from and to measure: split it anew")


class _Trial:
    """One round of all metrics."""

    def __init__(
        self,
        stage: BehaviorStage,
        learned: BehaviorWindows,
        held_out: BehaviorWindows,
        protocol: BehaviorProtocol,
        seed: int,
    ):
        self.stage, self.protocol, self.seed = stage, protocol, seed
        self.samples = held_out
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.learned = self._play(learned, protocol.training_windows)
        self.held_out = self._play(held_out, protocol.windows)

    @cached_property
    def late(self) -> Drawn:
        """Transfers to postures in the second half of the targets."""
        return decode(self.stage, self.held_out.codes, late_starts(self.stage, self.held_out.windows.targets, self.rng))

    def postures(self, joints: Tensor) -> Tensor:
        """Joints (..., 17, 3) as the net sees them, (..., 51)."""
        return self.stage.network.normalize(joints.to(self.stage.device))

    def _play(self, samples: BehaviorWindows, count: int) -> Played:
        return play(self.stage, choose_windows(samples, count, self.rng), self.generator)


def _score_actions(trial: _Trial) -> Metrics:
    """``accuracy``: how often a judge sees the action of the window that the code is from. ``target_accuracy``: how
    often, in transfers, that of the target, whose posture they start with.

    The judge learned real windows without their first frame, which is none that the net draws.
    """
    return _tell_actions(trial, "accuracy", lambda joints: trial.postures(joints)[:, 1:])


def _score_movements(trial: _Trial) -> Metrics:
    """``movement_accuracy`` and ``target_movement_accuracy``: the same by a judge that sees changes from frame to frame
    alone, as a second published one does: the posture in which people start tells it nothing.
    """

    def changes(joints: Tensor) -> Tensor:
        return trial.postures(joints).diff(dim=1)

    scale = changes(trial.learned.windows.joints).std()
    return _tell_actions(trial, "movement_accuracy", lambda joints: changes(joints) / scale)


def _tell_actions(trial: _Trial, metric: str, see: Callable[[Tensor], Tensor]) -> Metrics:
    """How often a judge is right that sees this of windows (N, T + 1, 17, 3)."""
    protocol, learned, held_out = trial.protocol, trial.learned.windows, trial.held_out
    labels, targets = held_out.windows.labels, held_out.windows.target_labels
    judge = learn_actions(
        see(learned.joints),
        learned.labels.to(trial.stage.device),
        len(trial.samples.actions),
        hidden_dim=protocol.action_dim,
        steps=protocol.action_steps,
        seed=trial.seed,
    )
    told: dict[Source, Tensor] = {
        "real": tell_actions(judge, see(held_out.windows.joints)).cpu(),
        "reconstruction": tell_actions(judge, see(held_out.drawn["reconstruction"].with_starts)).cpu(),
        "transfer": tell_actions(judge, see(held_out.drawn["transfer"].with_starts)).cpu(),
        "late": tell_actions(judge, see(trial.late.with_starts)).cpu(),
    }
    found: dict[Source, dict[str, float]] = {source: {metric: _share(seen == labels)} for source, seen in told.items()}
    for source in ("transfer", "late"):
        found[source][f"target_{metric}"] = _share(told[source] == targets)
    found["chance"] = {metric: 1 / len(trial.samples.actions)}
    return found


def _score_realism(trial: _Trial) -> Metrics:
    """``realism``: mean probability, to a judge, that a drawn motion is real; the best is what the same judge says of
    real ones, ``realism_of_real``, about 0.5. ``realism_accuracy``: how often it is right, 0.5 at best.

    Each kind has its own judge, as published, which learned from windows of the training data and what was drawn of
    them, and is asked about held-out ones. The published one is asked about what it learned from.
    """
    protocol = trial.protocol
    found: dict[Source, dict[str, float]] = {}
    learned, asked = (trial.postures(x.windows.joints[:, 1:]) for x in (trial.learned, trial.held_out))
    for kind, drawn in trial.learned.drawn.items():
        judge = learn_realism(
            learned,
            trial.postures(drawn.joints),
            hidden_dim=protocol.realism_dim,
            steps=protocol.realism_steps,
            seed=trial.seed,
        )
        realism = judge_realism(judge, asked, trial.postures(trial.held_out.drawn[kind].joints))
        found[kind] = {
            "realism": realism.fakes,
            "realism_of_real": realism.reals,
            "realism_accuracy": realism.accuracy,
        }
    found["chance"] = {"realism": 0.5, "realism_of_real": 0.5, "realism_accuracy": 0.5}
    return found


def _score_starts(trial: _Trial) -> Metrics:
    """``first_step``: metres, in the mean over joints, from the start posture to the first frame that is drawn, or from
    a frame of real motion to the next. ``joint_error``: metres from joints of reconstructions to those of the window.
    """
    windows, drawn = trial.held_out.windows.joints, trial.held_out.drawn

    def first_step(of_kind: Drawn) -> float:
        return _joint_distance(of_kind.joints[:, 0], of_kind.starts)

    return {
        "real": {"first_step": _joint_distance(windows[:, 1:], windows[:, :-1])},
        "reconstruction": {
            "first_step": first_step(drawn["reconstruction"]),
            "joint_error": _joint_distance(drawn["reconstruction"].joints.cpu(), windows[:, 1:]),
        },
        "transfer": {"first_step": first_step(drawn["transfer"])},
        "late": {"first_step": first_step(trial.late)},
    }


def _score_transfers(trial: _Trial) -> Metrics:
    """``cross_displacement`` and ``cross_displacement_final``: distance of whole postures of transfers from those of
    their source, in standard deviations; small where posture is copied. ``real`` is that of their targets.

    ``consistency`` and ``consistency_std``: distance of the code of what was drawn from the code that it was drawn
    from. The yardsticks are two windows of one action, under ``real``, and of different ones, under ``chance``.
    """
    network, held_out = trial.stage.network, trial.held_out
    windows, transfer = held_out.windows, held_out.drawn["transfer"]
    source = _array(trial.postures(windows.joints[:, 1:]))
    found: dict[Source, dict[str, float]] = {}
    displaced: dict[Source, Tensor] = {"real": windows.targets[:, 1:], "transfer": transfer.joints}
    for name, joints in displaced.items():
        displacement = cross_displacement(_array(trial.postures(joints)), source)
        found[name] = {"cross_displacement": displacement.average, "cross_displacement_final": displacement.final}
    codes: dict[Source, Tensor] = {
        "real": encode(network, windows.same),
        "chance": encode(network, windows.targets),
        "reconstruction": held_out.drawn["reconstruction"].codes(network),
        "transfer": transfer.codes(network),
        "late": trial.late.codes(network),
    }
    for name, of_source in codes.items():
        distance = code_distance(_array(held_out.codes), _array(of_source))
        found.setdefault(name, {}).update(consistency=distance.mean, consistency_std=distance.std)
    return found


def _score_limbs(trial: _Trial) -> Metrics:
    """``limb_drift``: how much limbs change their length, see `posegen.metrics.behavior.limb_drift`.

    It belongs beside every figure of diversity: futures also vary where bodies fall apart.
    """
    motions: dict[Source, Tensor] = {"real": trial.held_out.windows.joints}
    motions |= {kind: drawn.with_starts for kind, drawn in trial.held_out.drawn.items()}
    return {source: {"limb_drift": limb_drift(_array(joints))} for source, joints in motions.items()}


def _score_futures(trial: _Trial) -> Metrics:
    """``asd``, ``fsd``, ``apd``: how far random futures are from each other; ``ade``, ``fde``: how far the nearest is
    from what happened. Metres of whole postures, see `posegen.metrics.behavior`.

    Of every fourth held-out window, or of fewer that are spread evenly, so many futures begin with its last frame; the
    window that begins there is what happened. See `futures_from` for data without such.
    """
    protocol, samples = trial.protocol, trial.samples
    numbers = _observed(samples) if futures_from(samples) == "last frame" else np.arange(len(samples.labels))
    every = numbers[trial.seed % _EVERY :: _EVERY] if len(numbers) >= _EVERY else numbers
    count = min(protocol.sequences, len(every))
    happened = read_windows(samples, every[np.linspace(0, len(every) - 1, count).astype(int)])
    starts = happened[:, 0].repeat_interleave(protocol.futures, dim=0)
    found: dict[Source, dict[str, float]] = {}
    for kind, codes in random_codes(trial.stage, len(starts), trial.generator).items():
        futures = _array(decode(trial.stage, codes, starts).joints.unflatten(0, (count, -1)))
        own, error = self_distance(futures), displacement_error(futures, _array(happened[:, 1:]))
        found[kind] = {
            "asd": own.average,
            "fsd": own.final,
            "apd": average_pairwise_distance(futures),
            "ade": error.average,
            "fde": error.final,
        }
    return found


def _score_leakage(trial: _Trial) -> Metrics:
    """``posture_error``: distance, in standard deviations, of postures that are read out of codes, in the mean over the
    frames of `read_frames`; under ``chance`` is that of the mean posture of the training data. ``posture_r2``: the
    share of their variance that is read; ``posture_error_N`` and ``posture_r2_N`` are those of frame N. Each frame has
    its own reader, as published.
    """
    learned, held_out = trial.learned, trial.held_out
    readings = {}
    for frame in read_frames(trial.stage.config.num_frames):
        postures, asked = (trial.postures(x.windows.joints[:, frame]) for x in (learned, held_out))
        reader = learn_postures(learned.codes, postures, steps=trial.protocol.posture_steps, seed=trial.seed)
        readings[frame] = judge_postures(reader, held_out.codes, asked, postures.mean(dim=0))
    error, constant, r2 = np.mean(list(readings.values()), axis=0).tolist()
    return {
        "code": {
            "posture_error": error,
            "posture_r2": r2,
            **{f"posture_error_{frame}": reading.error for frame, reading in readings.items()},
            **{f"posture_r2_{frame}": reading.r2 for frame, reading in readings.items()},
        },
        "chance": {
            "posture_error": constant,
            "posture_r2": 0.0,
            **{f"posture_error_{frame}": reading.constant for frame, reading in readings.items()},
        },
    }


_PARTS: tuple[Callable[[_Trial], Metrics], ...] = (
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
    """Windows (K,) of which another one ends where they begin."""
    return np.flatnonzero(samples.locate(np.arange(len(samples.labels)))[1] >= samples.num_frames)


def _joint_distance(joints: Tensor, others: Tensor) -> float:
    """Mean distance of joints (..., 17, 3) in metres."""
    return (joints - others).norm(dim=-1).mean().item()


def _share(hits: Tensor) -> float:
    return hits.float().mean().item()


def _array(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()
