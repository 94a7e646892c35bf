"""The motion that is asked for: generated for actions, or read from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets import motion_formats
from posegen.errors import ConfigError, MotionError, counted
from posegen.features.body_pose import BodyPoses
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.view_choice import choose_yaw, yaw_for
from posegen.io.storage import StorageFolder
from posegen.motion.editing import JOIN_SECONDS, first_frames, join, resample, with_rotations
from posegen.motion.motion import MAX_FRAMES, Motion, read_motion
from posegen.networks.device import default_device
from posegen.stages import MotionDiffusion, MotionGenerator
from posegen.synthetic import motions as corpus
from posegen.weights.shipped import load_shipped

SHIPPED_RUN = "shipped"
"""The name that stands for a run: motion_diffusion, trained on procedural motions, as it comes with posegen."""
PROCEDURE = "procedure"
"""The name that stands for no run: procedural motions."""

SHIPPED_ACTIONS = tuple(sorted(corpus.ACTIONS))
"""The actions of that model, in the order of its labels."""

_SHIPPED_FPS = 12.5
_DEFAULT_FRAMES = 100  # of a motion that is generated
_HIGHEST_RATE = 240.0


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """The motion of the person: generated for actions, or read from a file."""

    action: tuple[str, ...] = ()
    """An action, or several separated by commas; may be given again. Each gives one video."""
    actions: tuple[str, ...] = ()
    """Actions in a row, which give one video together."""
    actor: str = ""
    """Run of actor or motion_diffusion that generates the motions; by default the one that comes with posegen, which
    knows 30 actions. procedure: curves of joint angles instead, without a network."""
    motion: Path | None = None
    """A motion file instead of an action: .npz, BVH, or another that `posegen motion convert` reads."""
    frames: int | None = None
    """Frames of each video; by default 100 of each action, and all of a file or of --poses."""
    fps: float | None = None
    """Frames per second; by default 25 of an action, and those of a motion file or of an --actor. With a run, those of
    the clip that the person is from, or of its dataset."""
    yaw: float | None = None
    """Degrees by which the person is turned from the viewer, positive to their left; by default 35 where the front
    hides what the motion does, and otherwise 0."""
    stick_figures: bool = False
    """Show the motion as a stick figure in three dimensions beside the person."""
    page: bool = False
    """Write a page beside each video, .html, on which the motion can be turned while the video plays."""

    def __post_init__(self) -> None:
        # fields are frozen
        object.__setattr__(self, "action", tuple(",".join(map(self._known, one.split(","))) for one in self.action))
        object.__setattr__(self, "actions", tuple(map(self._known, self.actions)))
        if self._num_sources > 1:
            raise ConfigError("got several motions, expected one of --action, --actions and --motion")
        if self.motion and self.actor:
            raise ConfigError("an --actor makes motions of an --action, got a --motion file")
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 1 to {MAX_FRAMES:,}")
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_RATE:
            raise ConfigError(f"got fps {self.fps:g}, expected more than 0 and at most {_HIGHEST_RATE:g}")
        if self.yaw is not None and not math.isfinite(self.yaw):
            raise ConfigError(f"got yaw {self.yaw}, expected degrees")

    def require_no_motion(self) -> None:
        """Raise ConfigError where a motion, or an option of motions alone, is given beside poses to follow."""
        if self.is_given:
            given = "--action" if self.action_names else "--actions" if self.actions else "--motion"
            raise ConfigError(f"got --poses and {given}, expected one of them")
        for name in ("actor", "yaw", "stick_figures", "page"):
            if getattr(self, name) not in ("", None, False):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is used with a motion, got --poses: leave {option} out")

    def _known(self, action: str) -> str:
        """The name of an action that posegen knows, typed in any case; of runs, the run itself reads it."""
        name = action.strip().lower()
        return name if self.actor in ("", SHIPPED_RUN, PROCEDURE) and name in corpus.ACTIONS else action

    @property
    def is_given(self) -> bool:
        """True if any motion is given."""
        return self._num_sources > 0

    @property
    def _num_sources(self) -> int:
        return sum((self.motion is not None, bool(self.action_names), bool(self.actions)))

    @property
    def action_names(self) -> list[str]:
        """The names of actions with a video each, without repetitions."""
        names = (name.strip() for given in self.action for name in given.split(","))
        return list(dict.fromkeys(filter(None, names)))

    @property
    def names(self) -> list[str]:
        """The names of the motions that `resolve_motions` returns, each of which gives a video."""
        if self.motion is not None:
            return [self.motion.stem]
        return ["-".join(self.actions)] if self.actions else self.action_names

    @property
    def num_motions(self) -> int:
        """Number of motions that `resolve_motions` returns."""
        return len(self.names) or 1


def load_generator(run: str) -> MotionGenerator:
    """Load the newest checkpoint of a run that generates motions, or `SHIPPED_RUN`, on a GPU if there is one."""
    found = _shipped_generator() if run == SHIPPED_RUN else load_stage(find_checkpoint(run), MotionGenerator)
    return found.to(default_device())


def _shipped_generator() -> MotionGenerator:
    preset = MotionDiffusion.presets["compact"]
    assert isinstance(preset, MotionDiffusion.Config)
    config = replace(preset, actions=SHIPPED_ACTIONS, fps=_SHIPPED_FPS)
    return MotionDiffusion.of_shipped(config, load_shipped("motion"))


def resolve_motions(
    moves: MotionSettings, fps: float | None, seed: int, person: BodyPoses | None = None
) -> dict[str, Motion]:
    """Read or generate the motions of the videos, by name: resampled, turned to be seen, and with rotations.

    Args:
        moves: Which motions.
        fps: Frames per second of the video; None keeps the motion's.
        seed: Seed of generated motions, which depend on it, on their action and their length alone.
        person: Who moves: somebody whom the photo shows from the side or from behind stays turned so by default.

    Raises:
        PosegenError: An action is unknown, or a file cannot be read or is too short.
    """
    if not moves.is_given:
        raise ConfigError("no motion given: use --action NAME, --actions NAME NAME, --motion FILE or --poses VIDEO")
    if not moves.motion and not moves.actor:
        fps = fps or corpus.PROCEDURAL_FPS  # the shipped model's own rate is that of slow films
    if moves.motion is not None:
        found = {moves.names[0]: read_motion_file(moves.motion, moves.fps)}
    else:
        found = _generate_actions(moves, fps, seed)
    facing = {name: _turn(motion, moves.yaw, person) for name, motion in found.items()}
    resampled = {name: with_rotations(resample(motion, fps or motion.fps)) for name, motion in facing.items()}
    if moves.actions:
        count = _frames_of_each(moves, fps or next(iter(resampled.values())).fps)
        resampled = {name: first_frames(motion, count) for name, motion in resampled.items()}
        resampled = {moves.names[0]: join([resampled[name] for name in moves.actions])}
    return {name: _cut(motion, moves) for name, motion in resampled.items()}


def read_motion_file(path: str | PathLike[str], fps: float | None = None) -> Motion:
    """Read the motion in a file: posegen's own, BVH, or of another format of `posegen.datasets.motion_formats`.

    Args:
        path: The file.
        fps: Frames per second of one that does not say them.

    Raises:
        MotionError: It cannot be read, holds several motions, or does not say its frame rate.
        FileNotFoundError: There is none.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and motion_formats.detect(path) in (None, "motion"):
        return read_motion(StorageFolder(path.parent), path.name)
    sources = motion_formats.read(path, motion_formats.ImportOptions(fps=fps, overrule=False))
    if len(sources) != 1:
        raise MotionError(
            f"{path} holds {counted(len(sources), 'motion')}, expected one: write it to a file with "
            "`posegen motion convert`"
        )
    return sources[0].load()


def _turn(motion: Motion, yaw: float | None, person: BodyPoses | None) -> Motion:
    """The motion as it is to be seen."""
    facing = face_viewer(motion)
    if yaw is None:
        yaw = choose_yaw(facing) if person is None else yaw_for(facing, person)
    return face_viewer(facing, yaw)


def _cut(motion: Motion, moves: MotionSettings) -> Motion:
    """The frames of a motion that are rendered."""
    usual = len(motion) if moves.motion or moves.actions else _DEFAULT_FRAMES
    wanted = moves.frames or usual
    if len(motion) < wanted:
        raise ConfigError(
            f"{moves.motion} has {counted(len(motion), 'frame')} at {motion.fps:g} frames per "
            f"second, expected {wanted}: "
            "ask for fewer --frames, or for more --fps"
        )
    return first_frames(motion, wanted)


def _generate_actions(moves: MotionSettings, fps: float | None, seed: int) -> dict[str, Motion]:
    """Motions of all actions, as long as the video or a little longer, at the rate of the actor or the procedure."""
    actor = None if moves.actor == PROCEDURE else load_generator(moves.actor or SHIPPED_RUN)
    own_fps = corpus.PROCEDURAL_FPS if actor is None else actor.config.fps
    names = list(dict.fromkeys(moves.actions)) or moves.action_names
    wanted = _frames_of_each(moves, fps or own_fps)
    length = wanted if fps is None else math.ceil((wanted - 1) * own_fps / fps - 1e-6) + 1
    if actor is not None:
        return {name: actor.generate([name], [length], seed=seed)[0] for name in names}
    subject = corpus.make_subject(0, seed)
    return {name: corpus.perform(name, subject, seed=seed, frames=length) for name in names}


def _frames_of_each(moves: MotionSettings, rate: float) -> int:
    """Count the frames of each action that a video of so many frames a second needs."""
    if not (moves.actions and moves.frames):
        return moves.frames or _DEFAULT_FRAMES
    blends = (len(moves.actions) - 1) * int(JOIN_SECONDS * rate)  # those in which two of them are blended
    return math.ceil((moves.frames + blends) / len(moves.actions))
