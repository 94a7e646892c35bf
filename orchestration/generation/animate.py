"""``posegen animate``: a person of an image renders a motion, which is generated for an action or read from a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from orchestration.generation.colors import OWN_COLORS, ColorSettings, choose_codes
from orchestration.generation.motions import load_actor
from orchestration.generation.output import GeneratedVideos, OutputSettings, PoseSequence
from orchestration.generation.people import is_image, load_person, open_clips
from orchestration.generation.videos import render_recolored
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.motion_to_pose import face_viewer, retarget_motion
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames, resample, with_rotations
from posegen.motion.motion import MAX_FRAMES, Motion, read_motion
from posegen.motion.rendering import MotionRenderer
from posegen.synthetic import motions as corpus

_DEFAULT_FRAMES = 100  # of a motion that is generated
_HIGHEST_RATE = 240.0


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """The motion of the person: generated for actions, or read from a file."""

    action: UseAppendAction[tuple[str, ...]] = ()
    """An action, or several separated by commas; may be given again. Each gives one video."""
    actor: str = ""
    """Run of the stage actor that generates the motions; by default a procedure does, which knows 25 actions."""
    motion: Path | None = None
    """A motion file, .npz, instead of an action."""
    frames: int | None = None
    """Frames of each video; by default 100 of an action, and all of a file."""
    fps: float | None = None
    """Frames per second; by default those of the clip that the person is from, or of the dataset."""
    yaw: float | None = None
    """Degrees by which the person is turned from the viewer, positive to their left; by default 0, and with a photo
    three-quarter where the front hides an action."""
    stick_figures: bool = False
    """Show the motion as a stick figure in three dimensions beside the person."""

    def __post_init__(self) -> None:
        if (self.motion is None) == (not self.actions):
            raise ConfigError("say what the person does: --action NAME, or --motion FILE.npz")
        if self.motion and self.actor:
            raise ConfigError("an --actor makes motions of an --action, got a --motion file")
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 1 to {MAX_FRAMES:,}")
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_RATE:
            raise ConfigError(f"got fps {self.fps:g}, expected more than 0 and at most {_HIGHEST_RATE:g}")
        if self.yaw is not None and not math.isfinite(self.yaw):
            raise ConfigError(f"got yaw {self.yaw}, expected degrees")

    @property
    def actions(self) -> list[str]:
        """The names that were given, without repetitions."""
        names = (name.strip() for given in self.action for name in given.split(","))
        return list(dict.fromkeys(filter(None, names)))


def animate(
    run: str,
    dataset: str,
    *,
    content: str,
    moves: MotionSettings,
    output: OutputSettings,
    colors: ColorSettings = OWN_COLORS,
) -> GeneratedVideos:
    """Render a person in motions, in the colours given.

    Args:
        run: Run of the stage video_generator or end_to_end.
        dataset: Clip dataset of the run's frame size.
        content: The person: an image file, or a clip, of which the first usable frame is taken.
        moves: The motions.
        output: Where the videos are written.
        colors: Colours of the clothes.

    Raises:
        PosegenError: The run, a motion, an image or a colour cannot be found or does not fit. Nothing is written then.
    """
    output.require_place_for((len(moves.actions) or 1) * colors.num_videos)
    synthesizer = load_renderer(run, VideoSynthesizer)
    data = open_clips(dataset, synthesizer.size)
    motions = resolve_motions(moves, moves.fps or _rate_of(data, content), colors.seed)
    person = load_person(data, content)
    sequences = [
        PoseSequence(
            name,
            retarget_motion(motion, person),
            motion.fps,
            figure=MotionRenderer(motion, synthesizer.size) if moves.stick_figures else None,
        )
        for name, motion in motions.items()
    ]
    codes = choose_codes(synthesizer, person, data.info, colors)
    return render_recolored(synthesizer, person, sequences, codes, output)


def resolve_motions(moves: MotionSettings, fps: float | None, seed: int) -> dict[str, Motion]:
    """Read or generate the motions of the videos, by name: resampled, facing the viewer, and with rotations.

    Args:
        moves: Which motions.
        fps: Frames per second of the video; None keeps the motion's.
        seed: Seed of generated motions, which depend on it, on their action and their length alone.

    Raises:
        PosegenError: An action is unknown, or a file cannot be read or is too short.
    """
    if moves.motion is not None:
        found = {moves.motion.stem: read_motion(StorageFolder(moves.motion.parent), moves.motion.name)}
    else:
        found = _generate_actions(moves, fps, seed)
    facing = {
        name: resample(face_viewer(motion, moves.yaw or 0.0), fps or motion.fps) for name, motion in found.items()
    }
    return {name: with_rotations(_cut(motion, moves)) for name, motion in facing.items()}


def _cut(motion: Motion, moves: MotionSettings) -> Motion:
    """The frames of a motion that are rendered."""
    wanted = moves.frames or (len(motion) if moves.motion else _DEFAULT_FRAMES)
    if len(motion) < wanted:
        raise ConfigError(
            f"{moves.motion} has {len(motion)} frames at {motion.fps:g} frames per second, expected {wanted}: "
            "ask for fewer --frames, or for more --fps"
        )
    return first_frames(motion, wanted)


def _rate_of(data: ClipDataset, content: str) -> float | None:
    """Frames per second of the clip that the person is from, or of the dataset's first; None where it has no clip."""
    if not is_image(content):
        return data.find(content).info.fps
    return data.clips[0].info.fps if data.clips else None


def _generate_actions(moves: MotionSettings, fps: float | None, seed: int) -> dict[str, Motion]:
    """Motions of all actions, as long as the video or a little longer, at the rate of the actor or the procedure."""
    actor = load_actor(moves.actor) if moves.actor else None
    own_fps = corpus.PROCEDURAL_FPS if actor is None else actor.config.fps
    wanted = moves.frames or _DEFAULT_FRAMES
    length = wanted if fps is None else math.ceil((wanted - 1) * own_fps / fps - 1e-6) + 1
    if actor is not None:
        return {name: actor.generate([name], [length], seed=seed)[0] for name in moves.actions}
    subject = corpus.make_subject(0, seed)
    return {name: corpus.perform(name, subject, seed=seed, frames=length) for name in moves.actions}
