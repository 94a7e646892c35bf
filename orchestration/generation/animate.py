"""Draws people in motions of three dimensions: of an action, by a trained ACTOR or a procedure, or from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from orchestration.generation.motions import load_actor
from orchestration.generation.videos import (
    ColorSettings,
    Generated,
    PoseSequence,
    check_output_options,
    check_place,
    find_person,
    is_image,
    open_run,
    render_videos,
)
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.motion_to_pose import face_viewer, pose_sequence
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames
from posegen.motion.motion import MAX_FRAMES, Motion, read_motion
from posegen.motion.rendering import MotionRenderer
from posegen.synthetic import motions as corpus

_MADE = 100  # frames of a motion that is made, where nobody says how many
_HIGHEST_RATE = 240.0


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """Which motion the person makes: actions that are made up, or a file."""

    action: UseAppendAction[tuple[str, ...]] = ()
    """An action, or several with commas between; may be given again. Each one gives a video."""
    actor: str = ""
    """Run of the stage actor that makes the motions; by default they are made by a procedure that knows 12 actions."""
    motion: Path | None = None
    """A motion's file, .npz, instead of an action."""
    frames: int | None = None
    """Frames of each video; by default 100 of an action, and all of a file."""
    fps: float | None = None
    """Frames per second; by default those of the clip that the person is from, or of the dataset."""
    yaw: float = 0.0
    """Degrees by which the person is turned from the viewer, to their left where it is positive."""
    stick_figures: bool = False
    """Show the motion in three dimensions beside the person."""

    def __post_init__(self) -> None:
        if (self.motion is None) == (not self.actions):
            raise ConfigError("say what the person does: --action NAME, or --motion FILE.npz")
        if self.motion and self.actor:
            raise ConfigError("an --actor makes motions of an --action, got a --motion file")
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 1 to {MAX_FRAMES:,}")
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_RATE:
            raise ConfigError(f"got fps {self.fps:g}, expected more than 0 and at most {_HIGHEST_RATE:g}")
        if not math.isfinite(self.yaw):
            raise ConfigError(f"got yaw {self.yaw}, expected degrees")

    @property
    def actions(self) -> list[str]:
        """The names that were given, each once."""
        names = (name.strip() for given in self.action for name in given.split(","))
        return list(dict.fromkeys(filter(None, names)))


def animate(
    run: str,
    dataset: str,
    *,
    content: str,
    moves: MotionSettings,
    out: Path,
    batch: int = 4,
    colors: ColorSettings = ColorSettings(),
) -> Generated:
    """Draw `content`, making motions, in the colours asked for; see the command's help.

    Raises ValueError (DatasetError, CheckpointError, MotionError, VideoError) where something is not there or does not
    fit.
    """
    check_output_options(out, batch, colors)
    check_place(out, len(moves.actions) or 1, colors)
    synthesizer, data = open_run(run, dataset)
    motions = find_motions(moves, moves.fps or _known_rate(data, content), colors.seed)
    person = find_person(data, content)
    sequences = [
        PoseSequence(
            name,
            pose_sequence(motion, person),
            motion.fps,
            figure=MotionRenderer(motion, synthesizer.size) if moves.stick_figures else None,
        )
        for name, motion in motions.items()
    ]
    return render_videos(synthesizer, data.info, person, sequences, out, batch, colors)


def find_motions(moves: MotionSettings, fps: float | None, seed: int) -> dict[str, Motion]:
    """Read or make the motions asked for, by name; they face the viewer and have the frames that are drawn.

    Args:
        moves: Which.
        fps: Frames per second of the video; None for those of the motion.
        seed: Decides what is made: a motion depends on it, on its action and its length alone.
    """
    if moves.motion is not None:
        found = {moves.motion.stem: read_motion(StorageFolder(moves.motion.parent), moves.motion.name)}
    else:
        found = _make_motions(moves, fps, seed)
    facing = {name: face_viewer(motion, fps or motion.fps, moves.yaw) for name, motion in found.items()}
    return {name: _begin(motion, moves) for name, motion in facing.items()}


def _begin(motion: Motion, moves: MotionSettings) -> Motion:
    """The frames of a motion that are drawn."""
    wanted = moves.frames or (len(motion) if moves.motion else _MADE)
    if len(motion) < wanted:
        raise ConfigError(
            f"{moves.motion} has {len(motion)} frames at {motion.fps:g} frames per second, expected {wanted}: "
            "ask for fewer --frames, or for more --fps"
        )
    return first_frames(motion, wanted)


def _known_rate(data: ClipDataset, content: str) -> float | None:
    """Frames per second of the clip that the person is from, or of the dataset's first; None where it has none."""
    if not is_image(content):
        return data.find(content).info.fps
    return data.clips[0].info.fps if data.clips else None


def _make_motions(moves: MotionSettings, fps: float | None, seed: int) -> dict[str, Motion]:
    """Make the motions: as long as the video, or a little longer, at the rate of who makes them."""
    actor = load_actor(moves.actor) if moves.actor else None
    own = corpus.FPS if actor is None else actor.config.fps
    wanted = moves.frames or _MADE
    length = wanted if fps is None else math.ceil((wanted - 1) * own / fps - 1e-6) + 1
    if actor is not None:
        return {name: actor.generate([name], [length], seed=seed)[0] for name in moves.actions}
    subject = corpus.make_subject(0, seed)
    return {name: corpus.perform(name, subject, seed=seed, frames=length) for name in moves.actions}
