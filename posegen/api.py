"""The library's front door: a photo or a trained run in, videos out, by the rules of the command line.

Everything here is a name of the package itself: ``import posegen as pg``, then ``pg.load()``.
"""

from __future__ import annotations

import base64
import html
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np

from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError, counted, suggestion
from posegen.inference.color_sheet import ColorSheet, ColorSheetSettings, draw_color_sheet
from posegen.inference.option_use import PHOTO, RUN, is_used
from posegen.inference.people import load_person, open_clips
from posegen.inference.photo_video import plan_photo_videos
from posegen.inference.python_arguments import (
    action_text,
    color_texts,
    convert_options,
    file_path,
    photo_as_file,
)
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import ColorSettings, choose_codes
from posegen.inference.requested_motions import SHIPPED_ACTIONS, MotionSettings
from posegen.inference.run_video import PersonOfRun, PoseSettings, sequences_of_motions, sequences_of_poses
from posegen.inference.shown_person import CodedViewSettings, PhotoSettings
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import encode_png, write_picture
from posegen.io.media import VIDEO_SUFFIXES
from posegen.io.output_files import SHEET, VIDEO, OverwriteSettings
from posegen.io.picture_reader import PICTURE_SUFFIXES
from posegen.io.video_writer import write_video
from posegen.metrics.garment_color import ColorReport
from posegen.networks.device import Precision

if TYPE_CHECKING:
    from PIL.Image import Image

FilePath: TypeAlias = str | PathLike[str]
"""A file: a text or anything path-like."""
PhotoSource: TypeAlias = "FilePath | np.ndarray | Image"
"""A photo: a file, a uint8 array (H, W, 3) RGB, or a picture of Pillow."""
GivenColor: TypeAlias = "FilePath | tuple[int, int, int]"
"""``#rrggbb``, a CSS name, ``lab(L a b)``, ``(r, g, b)`` of 0 to 255, or a photo's file."""
SettingsType = TypeVar("SettingsType")
_INLINE_FRAMES = 300  # of a video in a notebook


class RenderOptions(TypedDict, total=False):
    """Content of a video; the options of ``posegen animate``, by the same names."""

    action: str
    """One action, such as ``"wave"``, of `actions`."""
    actions: Sequence[str]
    """Several in a row."""
    motion: FilePath
    """A motion file, .npz, BVH, or another that ``posegen motion convert`` reads."""
    poses: FilePath
    """A driving video, or for a run also a clip of its dataset."""
    actor: str
    """Run that generates the motions of actions, instead of the model that comes with posegen; ``procedure``: none."""
    frames: int
    fps: float
    yaw: float
    """Degrees by which the person is turned, positive to their left."""
    upper: GivenColor
    """Colour of the upper garment, or ``keep`` for its own."""
    lower: GivenColor
    upper_to: GivenColor
    """Colour in the last frame."""
    lower_to: GivenColor
    exact_color: bool
    """With a run, correct the codes until the rendered garments have the colours given."""
    size: str | tuple[int, int]
    """Height and width of a photo's video, ``"384x256"`` by default, or ``(384, 256)``."""
    person: int
    """Person of a photo that shows several, from 1 on."""
    travel: str
    """Distance that a photo's person covers, ``fit`` or ``full``."""
    refiner: str
    """Run of the stage refiner that corrects the frames of a photo."""
    seed: int
    """Seed of motions of actions."""


class Video:
    """A video that is drawn as its frames are asked for.

    Iterating gives uint8 frames (H, W, 3) RGB in their order, anew each time.

    Args:
        draw: Draws the frames from the first one on.
        num_frames: How many there are.
        fps: Frames per second.
        times: (T,) seconds, where the frame rate varies.
        notes: What had to be changed or guessed, and the colours given, one line each.
        inputs: Files that it is made from, which are never overwritten.
    """

    def __init__(
        self,
        draw: Callable[[], Iterator[np.ndarray]],
        num_frames: int,
        fps: float,
        times: np.ndarray | None = None,
        notes: Sequence[str] = (),
        inputs: Sequence[object] = (),
    ):
        self._draw, self._num_frames, self._inputs = draw, num_frames, tuple(inputs)
        self.fps, self.times, self.notes = fps, times, tuple(notes)

    def __len__(self) -> int:
        return self._num_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        return self._draw()

    def numpy(self) -> np.ndarray:
        """Return all frames: (T, H, W, 3) uint8 RGB."""
        return np.stack(list(self))

    def still(self) -> np.ndarray:
        """Return the first frame: (H, W, 3) uint8 RGB."""
        return next(iter(self))

    def save(self, path: FilePath, *, overwrite: bool = False) -> Path:
        """Write the video as MP4 (H.264), whole or not at all.

        Args:
            path: The file to write, .mp4.
            overwrite: Replace a file that is there. What the video is made from is never replaced.

        Raises:
            PosegenError: The file is there, is read, or cannot be written.
        """
        file = file_path("path", path)
        VIDEO.require(file)
        OverwriteSettings(overwrite=overwrite).require_writable([file], *self._inputs)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_video(file, self, fps=self.fps, times=self.times)
        return file

    def _repr_html_(self) -> str:
        """The video itself, in notebooks; of a long one the first frame."""
        if len(self) > _INLINE_FRAMES:
            return _picture_tag(
                self.still(), f"{counted(len(self), 'frame')} at {self.fps:g} frames per second: save() writes them"
            )
        with tempfile.TemporaryDirectory() as folder:
            data = base64.b64encode(self.save(Path(folder) / "video.mp4").read_bytes()).decode()
        return f'<video controls loop src="data:video/mp4;base64,{data}"></video>'

    def __repr__(self) -> str:
        return f"Video({counted(len(self), 'frame')} at {self.fps:g} frames per second)"


class PhotoRenderer:
    """Renders the person of any photo, by its own pixels: no training, exact colours. What ``load()`` gives."""

    def render(self, photo: PhotoSource, **options: Unpack[RenderOptions]) -> Video:
        """Render the person of a photo, or of a video of them.

        Args:
            photo: The file, or the photo itself as a uint8 array (H, W, 3) or a picture of Pillow.
            options: See `RenderOptions`: one of ``action``, ``actions``, ``motion`` and ``poses``, and colours.

        Raises:
            PosegenError: The photo shows no person, or an option cannot be read or does not fit.

        Example:
            >>> video = pg.load().render("ann.jpg", action="wave", upper="teal")
            >>> video.save("wave.mp4")
        """
        asked = _Asked(options, PHOTO)
        moves, colors, view = asked.read(MotionSettings), asked.read(ColorSettings), asked.read(PhotoSettings)
        asked.require_all_known()
        _require_motion(moves, view.poses)
        _require_one(colors)
        with photo_as_file(photo) as file:
            planned = plan_photo_videos(Path(file), moves, colors, view)
        [video] = planned.videos
        movement = video.movement
        notes = [*(f"{garment}: {note}" for garment, note in planned.color_notes.items()), *planned.findings]
        inputs = _files(photo), moves, colors, view
        return Video(video.frames, len(video.poses), movement.fps, movement.times, notes, inputs)


class RunRenderer:
    """Renders people by a trained run of the stage video_generator or end_to_end. What ``load(run)`` gives.

    Args:
        run: Folder of the run.
        dataset: Clip dataset whose clips can be named; by default the run's own.
        precision: Numbers in the generator.
    """

    def __init__(self, run: FilePath, dataset: FilePath = "", precision: Precision = "fp32"):
        self.run = str(run)
        self._synthesizer = load_renderer(self.run, VideoSynthesizer, precision=precision)
        self._dataset = str(dataset) or dataset_of(self.run)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self._synthesizer.size

    @property
    def dataset(self) -> ClipDataset:
        """The clips that can be named."""
        return ClipDataset(self._dataset)

    def render(self, photo: PhotoSource, **options: Unpack[RenderOptions]) -> Video:
        """Render a person.

        Args:
            photo: A photo as `PhotoRenderer.render` takes it, a video, or the name of a clip of the dataset,
                ``PERSON/ACTION`` or its id.
            options: See `RenderOptions`; ``poses`` may be a clip of the dataset, too.

        Raises:
            PosegenError: The person cannot be found, or an option cannot be read or does not fit.
        """
        asked = _Asked(options, RUN)
        poses = asked.take_name("poses")
        moves, colors = asked.read(MotionSettings), asked.read(ColorSettings)
        asked.require_all_known()
        _require_motion(moves, poses)
        if poses:
            moves.require_no_motion()
        _require_one(colors)
        data = open_clips(self._dataset, self.size)
        with photo_as_file(photo) as content:
            subject = PersonOfRun(data, content, load_person(data, content, colors.garments))
            if poses:
                asked_poses = PoseSettings(poses=(poses,), frames=moves.frames, fps=moves.fps)
                sequences = sequences_of_poses(subject, asked_poses)
            else:
                sequences = sequences_of_motions(subject, moves, colors.seed)
        [sequence] = sequences
        codes = choose_codes(self._synthesizer, subject.person, data.info, colors)
        z = codes.of_frames(0, len(sequence.keypoints))
        notes = [f"{garment}: {note}" for garment, note in codes.notes.items()]

        def draw() -> Iterator[np.ndarray]:
            return self._synthesizer.frames(subject.person, sequence.keypoints, z)

        inputs = _files(photo), poses, moves, colors
        return Video(draw, len(sequence.keypoints), sequence.fps, sequence.times, notes, inputs)


def load(
    run: FilePath | None = None, *, dataset: FilePath = "", precision: Precision = "fp32"
) -> PhotoRenderer | RunRenderer:
    """Load what renders videos.

    Args:
        run: Folder of a trained run of the stage video_generator or end_to_end; None for the photo pipeline, which
            needs no training.
        dataset: With a run, clip dataset whose clips can be named; by default the run's own.
        precision: With a run, numbers in its generator: ``bf16`` takes half the time on GPUs and on CPUs with
            AVX512-BF16 or AMX.

    Raises:
        PosegenError: There is no such run, or it renders no videos, or nothing here has such arithmetic.
    """
    if run is None:
        return PhotoRenderer()
    folder = file_path("run", run)
    if folder.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES and not folder.is_dir():
        raise ConfigError(f"{run} is no folder of a run; photos and videos go to pg.load().render({str(run)!r}, …)")
    return RunRenderer(run, dataset, precision)


def actions() -> tuple[str, ...]:
    """Return the names of the actions that the model that comes with posegen performs, in order.

    Example:
        >>> "wave" in pg.actions()
        True
    """
    return SHIPPED_ACTIONS


@dataclass(frozen=True, repr=False)
class Sheet:
    """A photo in many colours, as `colorways` draws it."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    reports: list[tuple[int, ColorReport]]
    """For each garment with a new colour the number of its picture, from 1 on, and its ΔE2000 from the request."""
    notes: list[str]
    inputs: tuple[object, ...] = ()

    def save(self, path: FilePath, *, overwrite: bool = False) -> Path:
        """Write the sheet, .png. Raises PosegenError where that would replace a file, see `Video.save`."""
        file = file_path("path", path)
        SHEET.require(file)
        OverwriteSettings(overwrite=overwrite).require_writable([file], *self.inputs)
        write_picture(file, self.image)
        return file

    def _repr_html_(self) -> str:
        return _picture_tag(self.image, "; ".join(self.notes))

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Sheet({height}x{width} pixels, {len(self.reports)} recoloured garments)"


def colorways(
    photo: PhotoSource,
    *,
    upper: GivenColor | Sequence[GivenColor] = (),
    lower: GivenColor | Sequence[GivenColor] = (),
    action: str = "",
    size: str | tuple[int, int] = "384x256",
    person: int = 1,
) -> Sheet:
    """Show a photo of a person in many colours on one sheet.

    Args:
        photo: The photo, as `PhotoRenderer.render` takes it.
        upper: One colour or several of the upper garment, as in `RenderOptions`, or ``keep`` for its own.
        lower: Those of the lower one; each is combined with each of the upper one.
        action: An action, of which moments are shown in each colour; by default the photo as it is.
        size: Height and width of each moment of an action, as in `RenderOptions`.
        person: Which of several people of the photo, from 1 on.

    Raises:
        PosegenError: The photo shows no person or not the garment, or a colour cannot be read.

    Example:
        >>> pg.colorways("ann.jpg", upper=["teal", "black", "#ffd1dc"]).save("sheet.png")
    """
    view = CodedViewSettings(**convert_options(CodedViewSettings, {"size": size, "person": person}))
    settings = ColorSheetSettings(
        upper=color_texts("upper", upper), lower=color_texts("lower", lower), action=action_text(action), view=view
    )
    with photo_as_file(photo) as file:
        made: ColorSheet = draw_color_sheet(Path(file), settings)
    return Sheet(made.image, made.reports, made.notes, (_files(photo), settings))


class _Asked:
    """Options by name, from which settings are read as the command line reads them.

    Args:
        options: The options.
        subject: What they are for, see `option_use`.
    """

    def __init__(self, options: RenderOptions, subject: str):
        self._options, self._subject = dict(options), subject
        self._known: set[str] = set()

    def read(self, settings: type[SettingsType]) -> SettingsType:
        """Make settings of the options that they have."""
        names = {one.name for one in fields(settings) if is_used(one, self._subject)}  # type: ignore[arg-type]
        self._known |= names
        return settings(**convert_options(settings, {name: x for name, x in self._options.items() if name in names}))

    def take_name(self, name: str) -> str:
        """Return an option that names a file or a clip, empty where it is not given, and leave it out."""
        value = self._options.pop(name, None)
        return "" if value is None else str(file_path(name, value))

    def require_all_known(self) -> None:
        """Raise ConfigError for an option that nothing has read."""
        wrong = [name for name in self._options if name not in self._known]
        if wrong:
            known = sorted(self._known)
            hint = suggestion(wrong[0], known, likeness=0.75) or f", expected one of {', '.join(known)}"
            raise ConfigError(f"{self._subject} takes no option {wrong[0]!r}{hint}")


def _files(photo: object) -> tuple[str, ...]:
    """The file that a photo is from, if it is from one."""
    return (str(photo),) if isinstance(photo, str | PathLike) else ()


def _require_one(colors: ColorSettings) -> None:
    if colors.num_videos > 1:
        raise ConfigError(f"got {colors.num_videos} samples, expected 1: each gives a video, and render() returns one")


def _picture_tag(image: np.ndarray, caption: str) -> str:
    data = base64.b64encode(encode_png(image)).decode()
    return f'<figure><img src="data:image/png;base64,{data}"><figcaption>{html.escape(caption)}</figcaption></figure>'


def _require_motion(moves: MotionSettings, poses: Path | str | None) -> None:
    if not (moves.is_given or poses):
        raise ConfigError("no motion given, expected one of action, actions, motion and poses")
