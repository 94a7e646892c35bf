"""Draws what one person does, done by another: as stick figures, or by a stage that draws people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import UseAppendAction

from orchestration.generation.motion_lookup import LookupSettings, MotionFinder, short_name
from orchestration.generation.videos import (
    ColorSettings,
    Generated,
    PoseSequence,
    Video,
    check_output_options,
    check_place,
    find_person,
    render_videos,
    write_frames,
    write_sheet,
)
from orchestration.training.runs import dataset_of, load_behavior
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.behavior_transfer import BehaviorTransfer, require_window, transfer_behavior, turn_to_viewer
from posegen.inference.motion_to_pose import pose_sequence
from posegen.inference.person import Person
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_picture
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames, resample
from posegen.motion.motion import MAX_FRAMES, Motion, write_motion
from posegen.motion.rendering import MotionRenderer, render_strips, write_motion_video
from posegen.stages.behavior_stage import BehaviorStage

_HIGHEST_RATE = 240.0


@dataclass(frozen=True, kw_only=True)
class TransferSettings(LookupSettings):
    """Whose behaviour goes on from whose posture, and who is seen to do it."""

    behavior: str
    """Whose behaviour: a motion's file .npz, a video, a motion of the run's dataset or, with --clips, a clip, by id or
    PERSON/ACTION."""
    posture: UseAppendAction[tuple[str, ...]]
    """From whose first posture, and in whose place, it is done, named likewise; may be given again. Each one gives a
    video."""
    frames: int | None = None
    """Frames of each video; by default it lasts as long as what behaviour is read from."""
    fps: float | None = None
    """Frames per second of the videos; by default the run's."""
    appearance: str = ""
    """Who is drawn: an image file, or a clip, of which the first frame is taken. Without, stick figures are."""
    renderer: str = ""
    """Run that draws the person: of the stage shape_posture, deformable_gan, video_generator or end_to_end."""
    yaw: float | None = None
    """Degrees by which the drawn person is turned from the viewer, to their left where it is positive; by default whose
    posture comes from a video stands as there, and others face the viewer."""
    stick_figures: bool = False
    """Show the motion in three dimensions beside the drawn person."""

    def __post_init__(self) -> None:
        if not self.posture:
            raise ConfigError("say from whose posture: --posture NAME")
        if bool(self.appearance) != bool(self.renderer):
            raise ConfigError("--appearance says who is drawn, and --renderer by which run: got one without the other")
        if not self.renderer and (self.stick_figures or self.yaw is not None):
            raise ConfigError("--stick-figures and --yaw are for who is drawn by a --renderer")
        if self.frames is not None and not 2 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 2 to {MAX_FRAMES}")
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_RATE:
            raise ConfigError(f"got fps {self.fps:g}, expected more than 0 and at most {_HIGHEST_RATE:g}")
        if self.yaw is not None and not math.isfinite(self.yaw):
            raise ConfigError(f"got yaw {self.yaw}, expected degrees")

    @property
    def postures(self) -> dict[str, str]:
        """Each posture that is named, by what its files are called."""
        found = {short_name(name): name for name in self.posture}
        if len(found) < len(set(self.posture)):
            raise ConfigError(f"two postures would have files of one name, got {', '.join(self.posture)}")
        return found


@dataclass(frozen=True)
class Transferred:
    """What was made."""

    drawn: Generated
    motions: list[Path]
    """One for each posture."""


@dataclass(frozen=True)
class _Renderer:
    """What draws a person, and the person."""

    network: VideoSynthesizer | PoseTransfer
    data: ClipDataset
    person: Person


def transfer(
    run: str, out: Path, settings: TransferSettings, *, batch: int = 4, colors: ColorSettings = ColorSettings()
) -> Transferred:
    """Let others do what somebody does; see the command's help. Beside each video the motion is written, .npz.

    Raises PosegenError (CheckpointError, DatasetError, MotionError, VideoError) or OSError where something is not there
    or does not fit; nothing is written then.
    """
    check_output_options(out, batch, colors)
    check_place(out, len(settings.postures), colors)
    if not settings.renderer:
        _require_own_colors(colors, "stick figures have no colours to choose")
    stage = load_behavior(run)
    finder = MotionFinder(run, stage.ground, settings)
    source = finder.find(settings.behavior)
    require_window(stage, source, settings.behavior)
    targets = {name: finder.find(posture) for name, posture in settings.postures.items()}
    renderer = _open_renderer(settings, colors) if settings.renderer else None
    made = dict(zip(targets, _transfer(stage, source, list(targets.values()), settings), strict=True))
    if renderer is None:
        drawn = _render_stick_figures(made, out)
    else:
        fps = settings.fps or stage.config.fps
        drawn = _render_person(renderer, _sequences(made, targets, renderer, fps, settings), out, batch, colors)
    files = {name: out.with_suffix(".npz") if out.suffix else out / f"{name}.npz" for name in made}
    for name, one in made.items():
        origin = {"run": str(StorageFolder(run)), "behavior": settings.behavior, "posture": settings.postures[name]}
        motion = replace(one.drawn, meta={**one.drawn.meta, **origin})
        write_motion(StorageFolder(files[name].parent), files[name].name, motion)
    return Transferred(drawn, list(files.values()))


def _transfer(
    stage: BehaviorStage, source: Motion, targets: Sequence[Motion], settings: TransferSettings
) -> list[BehaviorTransfer]:
    """Transfers of the frames that are drawn, at their rate."""
    own = stage.config.fps
    fps = settings.fps or own
    wanted = settings.frames or int(stage.config.num_frames * fps / own + 1e-6) + 1
    length = max(math.ceil((wanted - 1) * own / fps - 1e-6) + 1, 2)

    def cut(motion: Motion) -> Motion:
        return first_frames(resample(motion, fps), wanted)

    return [
        BehaviorTransfer(cut(one.source), cut(one.posture), cut(one.drawn))
        for one in transfer_behavior(stage, source, targets, length)
    ]


def _require_own_colors(colors: ColorSettings, reason: str) -> None:
    if replace(colors, seed=0) != ColorSettings():
        raise ConfigError(f"{reason}: leave --upper, --lower and --sample out")


# ---- Stick figures


def _render_stick_figures(made: dict[str, BehaviorTransfer], out: Path) -> Generated:
    """Draw source, posture and transfer beside each other, and each below the others as strips."""
    captions = ["behaviour", "posture", "transfer"]
    videos, sheets = [], []
    for name, one in made.items():
        video = out if out.suffix else out / f"{name}.mp4"
        motions = [one.source, one.posture, one.drawn]
        video.parent.mkdir(parents=True, exist_ok=True)
        write_motion_video(video, motions, captions, columns=len(motions))
        write_picture(video.with_suffix(".png"), render_strips(motions, captions))
        videos.append(video)
        sheets.append(video.with_suffix(".png"))
    return Generated(videos, sheets, sum(len(one.drawn) for one in made.values()))


# ---- People


def _open_renderer(settings: TransferSettings, colors: ColorSettings) -> _Renderer:
    """Open what draws and find the person. Raises ConfigError where frames are of another size, or nobody is seen."""
    network = load_renderer(settings.renderer)
    if isinstance(network, PoseTransfer):
        _require_own_colors(colors, f"the stage {network.stage.name} draws in the picture's own colours")
    folder = settings.clips or dataset_of(settings.renderer)
    data = ClipDataset(folder)
    if data.info.size != network.size:
        raise ConfigError(f"{folder} has frames of {data.info.size}, the renderer was trained at {network.size}")
    return _Renderer(network, data, find_person(data, settings.appearance))


def _sequences(
    made: dict[str, BehaviorTransfer],
    targets: dict[str, Motion],
    renderer: _Renderer,
    fps: float,
    settings: TransferSettings,
) -> list[PoseSequence]:
    """The poses of the person in each video."""
    sequences = []
    for name, one in made.items():
        seen = turn_to_viewer(one.drawn, targets[name], fps, settings.yaw)
        figure = MotionRenderer(seen, renderer.network.size) if settings.stick_figures else None
        sequences.append(PoseSequence(name, pose_sequence(seen, renderer.person), fps, figure=figure))
    return sequences


def _render_person(
    renderer: _Renderer, sequences: Sequence[PoseSequence], out: Path, batch: int, colors: ColorSettings
) -> Generated:
    """Draw the person in each pose sequence: with colours, or as the picture has them, each frame by itself."""
    network, person = renderer.network, renderer.person
    if isinstance(network, VideoSynthesizer):
        return render_videos(network, renderer.data.info, person, sequences, out, batch, colors)
    videos = [Video(out if out.suffix else out / f"{poses.name}.mp4", poses) for poses in sequences]
    sheets = []
    for video in videos:
        frames = ({0: frame} for frame in network.frames(person, video.poses.keypoints))
        sheets.append(write_sheet(person.image, [video], write_frames([video], frames)))
    return Generated([video.out for video in videos], sheets, sum(len(poses.keypoints) for poses in sequences))
