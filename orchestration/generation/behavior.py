"""``posegen behavior sample | interpolate | reconstruct``: motions that a behaviour net generates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchestration.generation.motion_lookup import LookupSettings, MotionFinder, short_name
from orchestration.generation.motions import picture_files, write_pictures
from posegen.errors import ConfigError
from posegen.inference.behavior import BehaviorGenerator, PreparedMotion, load_behavior_generator
from posegen.io.output_files import OverwriteSettings
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames
from posegen.motion.motion import MAX_FRAMES, Motion, write_motion
from posegen.motion.to_openpose import h36m_joints


@dataclass(frozen=True, kw_only=True)
class LengthSettings(LookupSettings, OverwriteSettings):
    """The length of generated motions, and the datasets in which other motions are looked up."""

    frames: int | None = None
    """Frames of each motion; by default as many as behaviour is encoded from."""

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 1 to {MAX_FRAMES}")


@dataclass(frozen=True, kw_only=True)
class InterpolationSettings(LengthSettings):
    """The motions between which behaviour is interpolated."""

    first: str
    """A motion, see `posegen behavior sample --help`: the behaviour of the first generated motion."""
    second: str
    """A motion: the behaviour of the last generated motion."""
    target: str
    """A motion, with the first pose of all generated motions."""
    count: int = 5
    """Motions to generate, with both ends."""


@dataclass(frozen=True)
class Reconstructed:
    """Error of a reconstructed motion."""

    name: str
    error: float
    """Metres from each joint to the real one, mean over all."""
    still: float
    """The same of the baseline that stands still."""


def sample_behavior(
    run: str, out: Path, observed: Sequence[str], *, samples: int, seed: int, settings: LengthSettings
) -> list[Motion]:
    """Sample random futures of motions from their last frames: codes of the prior, or of the flow where the run is one.

    Writes ``NAME-N.npz``, ``strips.png``, ``motions.mp4`` and ``motions.html``.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: Folder for the files.
        observed: Motions by name, see `MotionFinder.find`.
        samples: Futures of each motion.
        seed: Seed of the codes.
        settings: Length, and where motions are looked up.

    Raises:
        PosegenError: The run or a motion cannot be found or read. Nothing is written then.
        OSError: A file cannot be read. Nothing is written then.
    """
    if samples < 1:
        raise ConfigError(f"samples must be at least 1, got {samples}")
    names = _by_file_name(observed)
    numbered = [(name, number + 1) for name in names for number in range(samples)]
    _require_outputs(out, [f"{name}-{number}" for name, number in numbered], settings, observed)
    behavior = load_behavior_generator(run)
    finder = MotionFinder(run, behavior.ground, settings)
    prepared = [behavior.prepare(finder.find(name)) for name in names.values()]
    starts = [motion for motion in prepared for _ in range(samples)]
    generated = behavior.sample(starts, settings.frames or 0, seed=seed)
    origins: list[dict[str, str | int]] = [{"observed": names[name], "seed": seed} for name, _ in numbered]
    _write(run, out, generated, [f"{name}-{number}" for name, number in numbered], origins)
    captions = [f"{name}, future {number}" for name, number in numbered]
    write_pictures(out, generated, captions, title=StorageFolder(run).name)
    return generated


def interpolate_behavior(run: str, out: Path, settings: InterpolationSettings) -> list[Motion]:
    """Generate motions from one posture with behaviours from that of one motion to that of another, in even steps.

    Writes ``behavior-N.npz`` and pictures; raises as `sample_behavior`, and MotionError where a motion is too short.
    """
    files = [f"behavior-{number + 1}" for number in range(settings.count)]
    _require_outputs(out, files, settings)
    behavior = load_behavior_generator(run)
    finder = MotionFinder(run, behavior.ground, settings)
    start, end = (_find_window(finder, behavior, name) for name in (settings.first, settings.second))
    target = behavior.prepare(finder.find(settings.target))
    count = settings.count
    generated = behavior.interpolate(start, end, target, count=count, num_frames=settings.frames or 0)
    shares = np.linspace(0, 100, count).round().astype(int).tolist()
    origin = {"first": settings.first, "second": settings.second, "target": settings.target}
    _write(run, out, generated, files, [origin] * count)
    captions = [f"{share} % {short_name(settings.second)}" for share in shares]
    write_pictures(out, generated, captions, title=StorageFolder(run).name)
    return generated


def reconstruct_behavior(run: str, out: Path, names: Sequence[str], settings: LengthSettings) -> list[Reconstructed]:
    """Generate motions again from their own behaviour and first posture, and measure the error.

    Writes ``NAME.npz`` and pictures, each motion before its reconstruction; raises as `interpolate_behavior`.
    """
    by_file = _by_file_name(names)
    _require_outputs(out, list(by_file), settings, names)
    behavior = load_behavior_generator(run)
    finder = MotionFinder(run, behavior.ground, settings)
    motions = [_find_window(finder, behavior, name) for name in by_file.values()]
    generated = behavior.reconstruct(motions, settings.frames or 0)
    _write(run, out, generated, list(by_file), [{"behavior": name} for name in by_file.values()])
    real = [first_frames(_without_start(one.motion), len(other)) for one, other in zip(motions, generated, strict=True)]
    pairs = [motion for pair in zip(real, generated, strict=True) for motion in pair]
    captions = [f"{name}{kind}" for name in by_file for kind in ("", ", reconstructed")]
    write_pictures(out, pairs, captions, title=StorageFolder(run).name)
    return [_measure(*one) for one in zip(by_file, motions, generated, strict=True)]


def _require_outputs(out: Path, names: Sequence[str], settings: LengthSettings, *inputs: object) -> None:
    """Raise ConfigError where motions of these names, or the pictures of them, would replace others."""
    settings.require_writable([*(out / f"{name}.npz" for name in names), *picture_files(out)], settings, *inputs)


def _by_file_name(names: Sequence[str]) -> dict[str, str]:
    """Names of motions by the stems of their files. Raises ConfigError where there are none, or two stems are equal."""
    if not names:
        raise ConfigError("no motions given, expected files, or names in the run's dataset")
    found = {short_name(name): name for name in names}
    if len(found) < len(names):
        raise ConfigError(f"two motions would have files of one name, got {', '.join(names)}")
    return found


def _find_window(finder: MotionFinder, behavior: BehaviorGenerator, name: str) -> PreparedMotion:
    """Find a motion that is long enough for its behaviour to be read."""
    motion = behavior.prepare(finder.find(name))
    behavior.require_window(motion, name)
    return motion


def _without_start(motion: Motion) -> Motion:
    """A motion from its second frame on; of one frame, that frame."""
    rows = slice(min(1, len(motion) - 1), None)
    rot6d = None if motion.rot6d is None else motion.rot6d[rows]
    return replace(motion, joints=motion.joints[rows], valid=motion.valid[rows], rot6d=rot6d)


def _measure(name: str, motion: PreparedMotion, generated: Motion) -> Reconstructed:
    real = motion.joints[1 : len(generated) + 1]
    reconstructed = h36m_joints(generated)[: len(real)]
    error, still = (float(np.linalg.norm(x - real, axis=-1).mean()) for x in (reconstructed, motion.joints[:1]))
    return Reconstructed(name, error, still)


def _write(
    run: str, out: Path, motions: Sequence[Motion], files: Sequence[str], origins: Sequence[Mapping[str, str | int]]
) -> None:
    """Write motions with notes on where they are from."""
    out.mkdir(parents=True, exist_ok=True)
    for motion, file, origin in zip(motions, files, origins, strict=True):
        meta = {**motion.meta, "run": str(StorageFolder(run)), **origin}
        write_motion(StorageFolder(out), f"{file}.npz", replace(motion, meta=meta))
