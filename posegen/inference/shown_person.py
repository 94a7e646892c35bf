"""The person of a photo, or of a video, ready to be shown in other poses and colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from posegen.color.garment_recoloring import GarmentPaint
from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab, as_lab
from posegen.errors import ConfigError
from posegen.features.background import continue_beyond, median_background
from posegen.features.body_bones import has_trunk
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import PhotoBody
from posegen.inference.body_measures import BodyMeasures, measure_body
from posegen.inference.clip_person import ClipPerson, choose_views
from posegen.inference.frame_drawing import draw_video
from posegen.inference.movements import Movement
from posegen.inference.option_use import PHOTO, used_with
from posegen.inference.painted_person import Moment, PaintedPerson
from posegen.inference.photo import Photo, PhotoFrame, find_frame, perceive_photo
from posegen.inference.photo_report import find_hidden_hands, find_weaknesses
from posegen.inference.refined_person import refined_frame, seconds_to_start
from posegen.inference.requested_colors import ColorPath
from posegen.io.bars import find_bars
from posegen.io.images import shrink
from posegen.io.media import is_video_source
from posegen.io.video_reader import describe_source, iterate_frames, read_image
from posegen.perception.body import FoundBody, find_body
from posegen.perception.body_tracking import track_video
from posegen.stages import Refiner

_SIZE = "384x256"  # where none is given
_SMALLEST, _LARGEST = 64, 1024  # pixels of a side
_LONGEST = 4096  # pixels of a picture's longer side: larger ones are made smaller first
_WORTH_SAYING = 0.05  # share of a picture that bars take
_SHARP = 1.5  # pixels of a frame for one of the picture: beyond, enlarging is seen
_BACKGROUND_FRAMES = 24  # of a clip, of which the background is the median


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Person of a photo to show, and the size of the frames."""

    size: str = field(default="", metadata=used_with(PHOTO))
    """HEIGHTxWIDTH of the video in pixels, up to 1024 each; by default 384x256."""
    person: int = field(default=1, metadata=used_with(PHOTO))
    """Person in a photo of several: 1 is the most prominent, 2 the next."""

    def __post_init__(self) -> None:
        if self.person < 1:
            raise ConfigError(f"got person {self.person}, expected 1 or more")
        if not self.height_and_width:
            raise ConfigError(
                f"got size {self.size!r}, expected HEIGHTxWIDTH such as {_SIZE}, {_SMALLEST} to {_LARGEST} pixels each"
            )

    @property
    def height_and_width(self) -> tuple[int, int]:
        """The size in pixels; empty where it is none."""
        match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", self.size or _SIZE)
        sides = tuple(map(int, match.groups())) if match else ()
        return sides if all(_SMALLEST <= side <= _LARGEST for side in sides) else ()  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class CodedViewSettings(ViewSettings):
    """Person and size of a photo, and the runs whose codes represent its colours."""

    encoders: tuple[str, ...] = field(default=(), metadata=used_with(PHOTO))
    """Runs whose colour codes --sample draws from, and --upper-to and --lower-to interpolate: two runs of
    color_encoder, one for each garment, or one of video_generator or end_to_end."""


@dataclass(frozen=True, kw_only=True)
class PhotoSettings(CodedViewSettings):
    """Poses from a driving video, and how a photo is shown."""

    poses: Path | None = None
    """A driving video: the photo's person takes the poses of its person. Or a folder of OpenPose's JSON files (with
    --fps). Instead of an action or a motion file."""
    travel: Literal["fit", "full"] = field(default="fit", metadata=used_with(PHOTO))
    """Distance that actions cover on the ground: as far as the person stays large in the picture, or in full, with a
    smaller person."""
    refiner: str = field(default="", metadata=used_with(PHOTO))
    """Run of the stage refiner that corrects the frames, for example one of `posegen adapt`. For photos, not videos."""


@dataclass(frozen=True)
class ShownPerson:
    """The person to show, from one photo or from several frames of a video."""

    photos: list[Photo]
    """The first shows the person where they are shown; all are of one size and of one camera."""
    background: np.ndarray
    """(H, W, 3) uint8 without the person."""
    measures: BodyMeasures
    seen: BodyPoses
    """The first one's pose as the whole picture shows it, in pixels of the photo: one pose."""
    findings: list[str]
    """Problems of the photo, and changes and guesses made, one line each."""

    @property
    def photo(self) -> Photo:
        """The first."""
        return self.photos[0]

    @cached_property
    def body(self) -> PhotoBody:
        """The body in the first one, by which actions are judged."""
        return PhotoBody.of(self.photo.pose, self.photo.labels, self.seen)


@dataclass(frozen=True)
class PhotoSubject:
    """The person of a picture, as they are seen at first."""

    image: np.ndarray
    """(H, W, 3) uint8: the whole picture, no larger than anything that is shown needs."""
    found: FoundBody
    """Pose and mask of the person in the photo."""
    notes: tuple[str, ...]
    """Changes and guesses made while reading the file, one line each."""


def find_subject(path: Path, view: ViewSettings) -> PhotoSubject:
    """Read a picture and find the person in it.

    Raises:
        PosegenError: It cannot be read, or shows no such person.
    """
    footage = read_image(path, size=None)
    whole = shrink(footage.images[0], _LONGEST)
    image = np.ascontiguousarray(whole[find_bars(whole)])
    notes = (*footage.notes, *_note_bars(whole, image))
    return PhotoSubject(image, find_body(image, view.person), notes)


def open_person(
    path: Path, view: ViewSettings, movements: Sequence[Movement] = (), subject: PhotoSubject | None = None
) -> ShownPerson:
    """Read a photo or a video of a person, framed so that movements fit in.

    Args:
        path: The photo or video.
        view: Size of the frame, and which person.
        movements: What there has to be room for.
        subject: The person of the photo, where it has been read already.

    Raises:
        PosegenError: It cannot be read, or shows no such person.
    """
    if is_video_source(path):
        return _open_clip(path, view, movements)
    subject = subject or find_subject(path, view)
    found = subject.found
    if not has_trunk(found.pose):
        raise ConfigError("the photo does not show the trunk: choose one that shows shoulders and hips")
    window = find_window(found, subject.image.shape[:2], view, movements)
    framed, known = window.cut(subject.image)
    seen = window.move(found.pose)
    photo = perceive_photo(framed, known=known, region=window.move_region(found.region))
    findings = [
        *subject.notes,
        *find_weaknesses(found.pose, found.others),
        *find_hidden_hands(photo.pose, photo.labels),
    ]
    findings += _note_enlargement(window.scale)
    return ShownPerson([photo], photo.background, measure_body(photo.pose), seen, findings)


def _open_clip(path: Path, view: ViewSettings, movements: Sequence[Movement]) -> ShownPerson:
    """Take the frames of a video that show a person in different postures; the camera is taken to stand still."""
    tracked = track_video(path)
    chosen = choose_views(tracked.poses)
    spread = np.linspace(0, len(tracked.poses) - 1, _BACKGROUND_FRAMES).round().astype(int).tolist()
    frames = {
        index: frame
        for index, _, frame in iterate_frames(path)
        if index in {*chosen, *spread} and index < len(tracked.poses)
    }
    whole = frames[chosen[0]]
    rows, columns = find_bars(whole)
    frames = {index: np.ascontiguousarray(frame[rows, columns]) for index, frame in frames.items()}
    first = frames[chosen[0]]
    between_bars = PhotoFrame(np.array([[1.0, 0.0, -columns.start], [0.0, 1.0, -rows.start]]), first.shape[:2])
    found_first = find_body(first, view.person)
    window = find_window(found_first, first.shape[:2], view, movements)
    framed = {index: window.cut(frame) for index, frame in frames.items()}
    cut = {index: image for index, (image, _) in framed.items()}
    _, known = framed[chosen[0]]
    found = {index: perceive_photo(image, known=known) for index, image in cut.items() if index in chosen}
    masks = [find_body(cut[index]).mask for index in sorted(cut)]
    background = continue_beyond(median_background([cut[index] for index in sorted(cut)], masks), known)
    measures = measure_body(window.move(between_bars.move(tracked.poses)))
    findings = [
        *describe_source(path),
        *_note_bars(whole, first),
        *find_weaknesses(found_first.pose, found_first.others),
        *_note_enlargement(window.scale),
    ]
    return ShownPerson(
        [found[index] for index in chosen], background, measures, window.move(found_first.pose), findings
    )


def _note_bars(whole: np.ndarray, inside: np.ndarray) -> list[str]:
    """Say that bars were cut off a picture (H, W, 3), of which a part (h, w, 3) is left."""
    lost = 1 - inside.size / whole.size
    return ["bars of one colour at two sides of the picture are cut off"] if lost > _WORTH_SAYING else []


def _note_enlargement(scale: float) -> list[str]:
    """Say that a frame shows a person so much larger than their picture does that it is blurred."""
    if scale <= _SHARP:
        return []
    return [
        f"the person is enlarged {scale:.1f} times, which is blurred: a larger photo, or a smaller --size, is sharp"
    ]


def find_window(
    found: FoundBody, picture: tuple[int, int], view: ViewSettings, movements: Sequence[Movement]
) -> PhotoFrame:
    """Find the part of a picture, by its height and width, that shows a person and what they do."""
    fitted = [movement.fit(found.pose, picture) for movement in movements]
    return find_frame(found, picture, view.height_and_width, fitted)


class Painter:
    """Shows a person in any colours.

    Args:
        shown: The person.
        garments: What is given colours.
        refiner: What corrects each frame, if anything does.

    Raises:
        ColorError: A garment is not seen.
    """

    def __init__(self, shown: ShownPerson, garments: Iterable[Garment], refiner: Refiner | None = None):
        person = ClipPerson([photo.layered() for photo in shown.photos], shown.background)
        paints = {
            garment: [GarmentPaint(photo.image, photo.labels, garment) for photo in shown.photos]
            for garment in garments
        }
        self._person, self._refiner = PaintedPerson(person, paints), refiner

    def frames(self, poses: BodyPoses, colors: Mapping[Garment, ColorPath]) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) per pose of a sequence.

        Args:
            poses: The poses.
            colors: Those of the garments that do not keep their own.
        """
        of_frames = {garment: path.colors(len(poses)) for garment, path in colors.items()}
        return self.moments(poses, of_frames)

    def moments(self, poses: BodyPoses, colors: Mapping[Garment, np.ndarray]) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) per pose, in colours of which each frame has its own.

        Args:
            poses: (T) poses.
            colors: (T, 3) L, a, b of the garments that do not keep their own.
        """
        draw, moments = self.drawing(poses, colors)
        return draw_video(draw, moments, len(poses), seconds_to_start(self._refiner))

    def drawing(
        self, poses: BodyPoses, colors: Mapping[Garment, np.ndarray]
    ) -> tuple[Callable[[Moment], np.ndarray], Iterator[Moment]]:
        """Return what draws a frame, in any process and order, and what each frame shows; arguments as `moments`."""
        moments = (
            Moment(poses[row], views, {garment: as_lab(of_frame[row]) for garment, of_frame in colors.items()})
            for row, views in enumerate(self._person.person.choose_views(poses))
        )
        draw = self._person.frame if self._refiner is None else partial(refined_frame, self._person, self._refiner)
        return draw, moments

    def photo_in(self, colors: Mapping[Garment, Lab], number: int = 0) -> np.ndarray:
        """Return a photo of the person (H, W, 3) uint8 as it is, with garments in colours."""
        return self._person.picture(colors, number)

    def cloth(self, garment: Garment) -> np.ndarray:
        """Return where the first photo shows the prevailing cloth of a garment, (H, W) bool: what colours replace."""
        return self._person.paints[garment][0].cloth
