"""Motions that a behaviour net makes: random futures, what lies between two behaviours, and motions drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchestration.generation.motion_lookup import LookupSettings, MotionFinder, short_name
from orchestration.generation.motions import write_pictures
from orchestration.training.runs import load_behavior
from posegen.errors import ConfigError
from posegen.inference.behavior_transfer import require_window
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames, resample
from posegen.motion.motion import MAX_FRAMES, Motion, write_motion
from posegen.motion.to_openpose import h36m_joints
from posegen.stages.behavior_stage import BehaviorStage


@dataclass(frozen=True, kw_only=True)
class LengthSettings(LookupSettings):
    """How long motions are, and where others are looked up."""

    frames: int | None = None
    """Frames of each motion; by default as many as behaviour is read from."""

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 1 to {MAX_FRAMES}")


@dataclass(frozen=True)
class Reconstructed:
    """How near a motion that was drawn again comes."""

    name: str
    error: float
    """Metres from each joint to where it was, mean over all."""
    still: float
    """The same of who stands still."""


def sample_behavior(
    run: str, out: Path, observed: Sequence[str], *, samples: int, seed: int, settings: LengthSettings
) -> list[Motion]:
    """Draw random futures of motions from their last frames: codes of the prior, or of the flow where the run is one.

    Writes ``NAME-N.npz``, ``strips.png``, ``motions.mp4`` and ``motions.html``. Raises ConfigError or OSError where a
    motion or the run is not there; nothing is written then.
    """
    if samples < 1:
        raise ConfigError(f"samples must be at least 1, got {samples}")
    names = _unique(observed)
    stage = load_behavior(run)
    finder = MotionFinder(run, stage.ground, settings)
    starts = [finder.find(name) for name in names.values() for _ in range(samples)]
    made = stage.sample(starts, settings.frames or 0, seed=seed)
    numbered = [(name, number + 1) for name in names for number in range(samples)]
    files = [f"{name}-{number}" for name, number in numbered]
    meta: list[dict[str, str | int]] = [{"observed": names[name], "seed": seed} for name, _ in numbered]
    _write(run, out, made, files, meta)
    write_pictures(out, made, [f"{name}, future {number}" for name, number in numbered], title=StorageFolder(run).name)
    return made


def interpolate_behavior(
    run: str, out: Path, *, first: str, second: str, target: str, count: int, settings: LengthSettings
) -> list[Motion]:
    """Draw motions from a target's first frame with behaviours from that of one motion to that of another.

    Writes ``behavior-N.npz`` and pictures; raises as `sample_behavior`, and where a motion is too short.
    """
    stage = load_behavior(run)
    finder = MotionFinder(run, stage.ground, settings)
    start, end = (_find_behavior(finder, stage, name) for name in (first, second))
    made = stage.interpolate(start, end, finder.find(target), count=count, num_frames=settings.frames or 0)
    shares = np.linspace(0, 100, count).round().astype(int).tolist()
    origin = {"first": first, "second": second, "target": target}
    _write(run, out, made, [f"behavior-{number + 1}" for number in range(count)], [origin] * count)
    captions = [f"{share} % {short_name(second)}" for share in shares]
    write_pictures(out, made, captions, title=StorageFolder(run).name)
    return made


def reconstruct_behavior(run: str, out: Path, names: Sequence[str], settings: LengthSettings) -> list[Reconstructed]:
    """Draw motions again from their own behaviour and first posture, and measure how near they come.

    Writes ``NAME.npz`` and pictures, each motion before what was drawn of it; raises as `interpolate_behavior`.
    """
    named = _unique(names)
    stage = load_behavior(run)
    finder = MotionFinder(run, stage.ground, settings)
    motions = [_find_behavior(finder, stage, name) for name in named.values()]
    made = stage.reconstruct(motions, settings.frames or 0)
    _write(run, out, made, list(named), [{"behavior": name} for name in named.values()])
    real = [first_frames(_without_start(motion), len(drawn)) for motion, drawn in zip(motions, made, strict=True)]
    pairs = [motion for pair in zip(real, made, strict=True) for motion in pair]
    write_pictures(
        out, pairs, [f"{name}{kind}" for name in named for kind in ("", ", drawn again")], StorageFolder(run).name
    )
    return [_compare(*one) for one in zip(named, motions, made, strict=True)]


def _unique(names: Sequence[str]) -> dict[str, str]:
    """Names by what their files are called. Raises ConfigError where there are none, or two would be called alike."""
    if not names:
        raise ConfigError("say which motions: files, or names in the run's dataset")
    found = {short_name(name): name for name in names}
    if len(found) < len(names):
        raise ConfigError(f"two motions would have files of one name, got {', '.join(names)}")
    return found


def _find_behavior(finder: MotionFinder, stage: BehaviorStage, name: str) -> Motion:
    """A motion that is long enough for its behaviour, at the run's rate."""
    motion = finder.find(name)
    require_window(stage, motion, name)
    return resample(motion, stage.config.fps)


def _without_start(motion: Motion) -> Motion:
    """A motion of joints from its second frame on; of one frame, that frame."""
    rows = slice(min(1, len(motion) - 1), None)
    return replace(motion, joints=motion.joints[rows], valid=motion.valid[rows], rot6d=None, rest=None)


def _compare(name: str, motion: Motion, drawn: Motion) -> Reconstructed:
    joints = h36m_joints(motion)
    real = joints[1 : len(drawn) + 1]
    again = h36m_joints(drawn)[: len(real)]
    error, still = (float(np.linalg.norm(x - real, axis=-1).mean()) for x in (again, joints[:1]))
    return Reconstructed(name, error, still)


def _write(
    run: str, out: Path, motions: Sequence[Motion], files: Sequence[str], meta: Sequence[Mapping[str, str | int]]
) -> None:
    """Write motions with where they came from."""
    out.mkdir(parents=True, exist_ok=True)
    for motion, file, origin in zip(motions, files, meta, strict=True):
        write_motion(
            StorageFolder(out),
            f"{file}.npz",
            replace(motion, meta={**motion.meta, "run": str(StorageFolder(run)), **origin}),
        )
