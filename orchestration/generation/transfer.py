"""``posegen transfer``: behaviour of one motion, start postures of others; as stick figures or a rendered person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import UseAppendAction

from orchestration.generation.motion_lookup import LookupSettings, MotionFinder, short_name
from orchestration.generation.output import GeneratedVideos, OutputSettings, sheet_path
from orchestration.generation.videos import render_in_own_colors, render_recolored
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.behavior import BehaviorGenerator, PreparedMotion, load_behavior_generator
from posegen.inference.motion_to_pose import turn_to_viewer
from posegen.inference.people import load_person, open_clips
from posegen.inference.person import Person, body_with_trunk
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import OWN_COLORS, ColorSettings, choose_codes
from posegen.inference.run_video import PoseSequence
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_picture
from posegen.io.storage import StorageFolder
from posegen.motion.editing import first_frames, resample, with_rotations
from posegen.motion.motion import MAX_FRAMES, Motion, write_motion
from posegen.motion.rendering import GridLayout, MotionRenderer, render_strips, write_motion_video
from posegen.networks.device import Precision

_HIGHEST_RATE = 240.0


@dataclass(frozen=True, kw_only=True)
class TransferSettings(LookupSettings):
    """The behaviour, the poses from which it starts, and the person to render."""

    behavior: str
    """Source of the behaviour: a motion file .npz, a video, a motion of the run's dataset or, with --clips, a clip; by
    id or PERSON/ACTION."""
    posture: UseAppendAction[tuple[str, ...]]
    """Source of the first pose and the place, named likewise; may be given again. Each gives one video."""
    frames: int | None = None
    """Frames of each video; by default as long as the window that behaviour is encoded from."""
    fps: float | None = None
    """Frames per second of the videos; by default the run's."""
    appearance: str = ""
    """The person to render: an image file, or a video file or a clip, of which the first frame is taken; by default
    stick figures."""
    renderer: str = ""
    """Run that renders the person: of the stage shape_posture, deformable_gan, video_generator or end_to_end."""
    yaw: float | None = None
    """Degrees by which the rendered person is turned from the viewer, positive to their left; by default the
    orientation seen in a video is kept, and otherwise the person faces the viewer."""
    stick_figures: bool = False
    """Show the motion as a stick figure in three dimensions beside the rendered person."""

    def __post_init__(self) -> None:
        if not self.posture:
            raise ConfigError("no start posture given: --posture NAME")
        if bool(self.appearance) != bool(self.renderer):
            raise ConfigError(
                "--appearance is the person, and --renderer the run that renders: got one without the other"
            )
        if not self.renderer and (self.stick_figures or self.yaw is not None):
            raise ConfigError("--stick-figures and --yaw are for a person that is rendered by a --renderer")
        if self.frames is not None and not 2 <= self.frames <= MAX_FRAMES:
            raise ConfigError(f"got frames {self.frames}, expected 2 to {MAX_FRAMES}")
        if self.fps is not None and not 0 < self.fps <= _HIGHEST_RATE:
            raise ConfigError(f"got fps {self.fps:g}, expected more than 0 and at most {_HIGHEST_RATE:g}")
        if self.yaw is not None and not math.isfinite(self.yaw):
            raise ConfigError(f"got yaw {self.yaw}, expected degrees")

    @property
    def postures(self) -> dict[str, str]:
        """The postures' names, by the stems of the files that are written for them."""
        found = {short_name(name): name for name in self.posture}
        if len(found) < len(set(self.posture)):
            raise ConfigError(f"two postures would have files of one name, got {', '.join(self.posture)}")
        return found


@dataclass(frozen=True)
class Transferred:
    """The files of a transfer."""

    rendered: GeneratedVideos
    motions: list[Path]
    """One for each posture."""


@dataclass(frozen=True)
class _Transfer:
    """One transfer of behaviour at the rate of its video."""

    source: Motion
    posture: Motion
    """The start posture: one frame."""
    generated: Motion
    """The source's behaviour, from the start posture on, which is its first frame."""
    target: Motion
    """The motion that the posture is from."""


@dataclass(frozen=True)
class _Renderer:
    """A renderer, the person to render, and the dataset that both fit."""

    network: VideoSynthesizer | PoseTransfer
    data: ClipDataset
    person: Person


def transfer(
    run: str, settings: TransferSettings, output: OutputSettings, *, colors: ColorSettings = OWN_COLORS
) -> Transferred:
    """Transfer the behaviour of one motion to people in other postures, and render the result.

    Beside each video a contact sheet, .sheet.png, and the generated motion, .npz, are written.

    Args:
        run: Run of the stage behavior or behavior_flow.
        settings: The motions, and the person to render.
        output: Where the videos are written.
        colors: Colours of the clothes, for a renderer with colour codes.

    Raises:
        PosegenError: A run, motion, clip or image cannot be found or does not fit. Nothing is written then.
        OSError: A file cannot be read. Nothing is written then.
    """
    output.require_place_for(len(settings.postures) * colors.num_videos)
    if not settings.renderer:
        _require_own_colors(colors, "stick figures have no colours to choose")
        if output.precision != "fp32":
            raise ConfigError("stick figures are drawn without a network: leave --precision out")
    _require_outputs(settings, output, colors)
    behavior = load_behavior_generator(run)
    finder = MotionFinder(run, behavior.ground, settings)
    source = behavior.prepare(finder.find(settings.behavior))
    behavior.require_window(source, settings.behavior)
    targets = {name: behavior.prepare(finder.find(posture)) for name, posture in settings.postures.items()}
    renderer = _open_renderer(settings, colors, output.precision) if settings.renderer else None
    transfers = _transfer(behavior, source, targets, settings)
    if renderer is None:
        rendered = _render_stick_figures(transfers, output)
    else:
        rendered = _render_person(renderer, transfers, settings, output, colors)
    return Transferred(rendered, _write_motions(run, transfers, settings, output))


def _require_outputs(settings: TransferSettings, output: OutputSettings, colors: ColorSettings) -> None:
    """Raise ConfigError where a motion, a video or a sheet would replace what is read, or another file."""
    files = [_motion_path(output, name) for name in settings.postures]
    output.require_writable(files, settings, colors)
    if colors.num_videos == 1:
        output.require_videos([output.path(name) for name in settings.postures], settings, colors)


def _motion_path(output: OutputSettings, name: str) -> Path:
    """Return the file of a motion generated for a posture: beside its video."""
    return output.path(name).with_suffix(".npz")


def _transfer(
    behavior: BehaviorGenerator,
    source: PreparedMotion,
    targets: Mapping[str, PreparedMotion],
    settings: TransferSettings,
) -> dict[str, _Transfer]:
    """Transfers of the frames that are rendered, at their rate."""
    fps = settings.fps or behavior.fps
    wanted = settings.frames or int(behavior.num_frames * fps / behavior.fps + 1e-6) + 1
    length = max(math.ceil((wanted - 1) * behavior.fps / fps - 1e-6) + 1, 2)  # at the net's rate

    def at_rate(motion: Motion) -> Motion:
        return first_frames(resample(motion, fps), wanted)

    generated = behavior.transfer([source] * len(targets), list(targets.values()), length - 1, with_start=True)
    shown = at_rate(first_frames(source.motion, length))
    return {
        name: _Transfer(shown, at_rate(first_frames(target.motion, 1)), at_rate(motion), target.motion)
        for (name, target), motion in zip(targets.items(), generated, strict=True)
    }


def _write_motions(
    run: str, transfers: Mapping[str, _Transfer], settings: TransferSettings, output: OutputSettings
) -> list[Path]:
    """Write the generated motions beside their videos, with a note on where they are from."""
    paths = []
    for name, one in transfers.items():
        origin = {"run": str(StorageFolder(run)), "behavior": settings.behavior, "posture": settings.postures[name]}
        motion = replace(one.generated, meta={**one.generated.meta, **origin})
        path = _motion_path(output, name)
        write_motion(StorageFolder(path.parent), path.name, motion)
        paths.append(path)
    return paths


def _require_own_colors(colors: ColorSettings, reason: str) -> None:
    """Raise ConfigError, with the reason, where colours are given."""
    if replace(colors, seed=0) != ColorSettings():
        raise ConfigError(f"{reason}: leave --upper, --lower and --sample out")


# ---- Stick figures


def _render_stick_figures(transfers: Mapping[str, _Transfer], output: OutputSettings) -> GeneratedVideos:
    """Write a video with source, posture and transfer beside each other, and their strips below each other."""
    captions = ["behaviour", "posture", "transfer"]
    videos, sheets = [], []
    for name, one in transfers.items():
        path = output.path(name)
        motions = [with_rotations(motion) for motion in (one.source, one.posture, one.generated)]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_motion_video(path, motions, captions, GridLayout(columns=len(motions), one_scale=True))
        write_picture(sheet_path(path), render_strips(motions, captions))
        videos.append(path)
        sheets.append(sheet_path(path))
    return GeneratedVideos(videos, sheets, sum(len(one.generated) for one in transfers.values()))


# ---- People


def _open_renderer(settings: TransferSettings, colors: ColorSettings, precision: Precision) -> _Renderer:
    """Load the renderer, its dataset and the person. Raises PosegenError where they do not fit."""
    network = load_renderer(settings.renderer, precision=precision)
    if isinstance(network, PoseTransfer):
        _require_own_colors(colors, f"the stage {network.stage.name} renders the picture's own colours")
    data = open_clips(settings.clips or dataset_of(settings.renderer), network.size)
    return _Renderer(network, data, load_person(data, settings.appearance))


def _render_person(
    renderer: _Renderer,
    transfers: Mapping[str, _Transfer],
    settings: TransferSettings,
    output: OutputSettings,
    colors: ColorSettings,
) -> GeneratedVideos:
    """Render the person in each transfer: with colour codes where the renderer has them, or as in the picture."""
    network, person = renderer.network, renderer.person
    sequences = _project(renderer, transfers, settings)
    if isinstance(network, PoseTransfer):
        return render_in_own_colors(network, person, sequences, output, (settings,))
    codes = choose_codes(network, person, renderer.data.info, colors)
    return render_recolored(network, person, sequences, codes, output, (settings, colors))


def _project(
    renderer: _Renderer, transfers: Mapping[str, _Transfer], settings: TransferSettings
) -> Sequence[PoseSequence]:
    """The poses of the person in each video."""
    sequences = []
    body = body_with_trunk(renderer.person)
    for name, one in transfers.items():
        motion = with_rotations(turn_to_viewer(one.generated, one.target, settings.yaw))
        figure = MotionRenderer(motion, renderer.network.size) if settings.stick_figures else None
        fitted = fit_motion(motion, body, renderer.network.size)
        sequences.append(PoseSequence(name, fitted.keypoints, motion.fps, figure=figure))
    return sequences
