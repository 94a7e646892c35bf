"""The demo's first step: a photo of a person of the studio, in motion and in many colours, without any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.color.garment_regions import Garment
from posegen.features.body_pose import BodyPoses
from posegen.inference.movements import Movement
from posegen.inference.requested_colors import ColorPath, ColorReader
from posegen.inference.requested_motions import MotionSettings, resolve_motions
from posegen.inference.shown_person import Painter, PhotoSettings, ShownPerson, open_person
from posegen.io.images import grid, text_line, write_picture
from posegen.io.video_writer import VideoWriter
from posegen.perception.body import find_body
from posegen.synthetic.studio import RenderSettings, render_action

OUTFITS: tuple[tuple[str, str], ...] = (
    ("crimson", "navy"),
    ("darkorange", "saddlebrown"),
    ("seagreen", "khaki"),
    ("royalblue", "white"),
    ("orchid", "indigo"),
    ("white", "teal"),
    ("black", "gold"),
)
"""Upper and lower colours: once round the wheel, then white and black. The person's own come before them."""

DEMO_ACTIONS = ("wave", "jumping_jacks", "stretch")
"""Actions of the photo's person, one after the other."""

_PERSON, _POSED, _POSED_FRAMES, _POSED_FRAME = "farid", "raise_arms", 13, 1  # arms apart from the trunk
_PHOTO_SIZE = (576, 384)
_FPS = 25.0
_SEED = 0  # of the motions: the waving arm is bent in the frame that is shown
_TEXT, _LINE = 15, 26  # pixels: height of letters, and of a line with its margins
_COLUMNS = 4  # of the video


@dataclass(frozen=True)
class PhotoDemo:
    """Files that the demo makes of the photo."""

    photo: Path
    """.png, 576×384."""
    video: Path
    """.mp4: the person in their own colours and in each of `OUTFITS`, side by side."""
    sheet: Path
    """.png: the photo's pose and a moment of each action by row, the colours by column."""


def demonstrate_photo(
    out: Path,
    actions: Sequence[str] = DEMO_ACTIONS,
    *,
    frames: int,
    size: tuple[int, int] = (384, 256),
    outfits: Sequence[tuple[str, str]] = OUTFITS,
    on_progress: ProgressCallback = ignore_progress,
) -> PhotoDemo:
    """Render a person's photo and show the person in actions and colours.

    Args:
        out: Folder for photo, video and sheet.
        actions: What the person does.
        frames: Frames of each action.
        size: Height and width in pixels of each picture.
        outfits: Colours of the upper and the lower garment.
        on_progress: Called with the number of the video's frames that are drawn, and of all.

    Raises:
        WeightsError: BlazePose is not at hand and cannot be fetched.
    """
    made = PhotoDemo(out / "photo.png", out / "photo-colors.mp4", out / "photo-sheet.png")
    clip = render_action(_PERSON, _POSED, _POSED_FRAMES, RenderSettings(size=_PHOTO_SIZE))
    image = clip.images[_POSED_FRAME]
    write_picture(made.photo, image)
    moves = MotionSettings(action=tuple(actions), frames=frames)
    motions = resolve_motions(moves, _FPS, _SEED, find_body(image).pose)
    movements = [Movement(name, motion, motion.fps) for name, motion in motions.items()]
    shown = open_person(made.photo, PhotoSettings(size=f"{size[0]}x{size[1]}"), movements)
    poses = [movement.fit(shown.photo.pose, size, shown.measures) for movement in movements]
    painter = Painter(shown, ("upper", "lower"))
    worn = [_colors_of(*outfit) for outfit in outfits]
    labels = ["own colours", *(f"{upper}, {lower}" for upper, lower in outfits)]
    moments = [_farthest(sequence) for sequence in poses]
    done, total = count(1), sum(map(len, poses))
    rows = [_photo_row(shown, painter, worn)]
    with VideoWriter(made.video, fps=_FPS) as video:
        for sequence, moment in zip(poses, moments, strict=True):
            shows = [painter.frames(sequence, colors) for colors in ({}, *worn)]
            for number, pictures in enumerate(zip(*shows, strict=True)):
                video.write(_tiles(pictures, labels))
                on_progress(next(done), total)
                if number == moment:
                    rows.append(list(pictures))
    write_picture(made.sheet, _sheet(rows, ["the photo", *(_words(movement.name) for movement in movements)], labels))
    return made


def _colors_of(upper: str, lower: str) -> dict[Garment, ColorPath]:
    reader = ColorReader()
    colors = reader.read("upper", upper), reader.read("lower", lower)
    return {"upper": ColorPath(colors[0], colors[0]), "lower": ColorPath(colors[1], colors[1])}


def _photo_row(shown: ShownPerson, painter: Painter, worn: Sequence[dict[Garment, ColorPath]]) -> list[np.ndarray]:
    """The person in the pose of the photo, in each of the colours; in their own it is the photo itself."""
    pose = shown.photo.pose
    still = BodyPoses(pose.keypoints[None], pose.depths[None], pose.toes[None])
    return [shown.photo.image, *(next(painter.frames(still, colors)) for colors in worn)]


def _farthest(poses: BodyPoses) -> int:
    """The frame of an action whose pose is farthest from the first."""
    joints = poses.keypoints[..., :2]
    return int(np.linalg.norm(joints - joints[:1], axis=-1).mean(axis=-1).argmax())


def _words(name: str) -> str:
    return name.replace("_", " ")


# ---- Pictures with words


def _tiles(pictures: Sequence[np.ndarray], labels: Sequence[str]) -> np.ndarray:
    """A frame of the video: pictures in rows of `_COLUMNS`, each below its label; sides are even."""
    titled = [
        np.vstack([_line(label, picture.shape[1]), picture]) for label, picture in zip(labels, pictures, strict=True)
    ]
    columns = min(_COLUMNS, len(titled))
    sheet = grid([titled[start : start + columns] for start in range(0, len(titled), columns)])
    return np.pad(sheet, ((0, sheet.shape[0] % 2), (0, sheet.shape[1] % 2), (0, 0)), constant_values=255)


def _sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Rows below their titles, the columns below their labels."""
    width = rows[0][0].shape[1]
    head = np.hstack(list(_spaced([_line(label, width) for label in labels])))
    parts = [head]
    for title, row in zip(titles, rows, strict=True):
        parts += [_line(title, head.shape[1], bold=True), grid([list(row)])]
    return np.vstack(parts)


def _spaced(lines: Sequence[np.ndarray], gap: int = 2) -> Iterator[np.ndarray]:
    """Lines with white gaps between them, as `grid` has."""
    for number, line in enumerate(lines):
        if number:
            yield np.full((line.shape[0], gap, 3), 255, np.uint8)
        yield line


def _line(text: str, width: int, *, bold: bool = False) -> np.ndarray:
    """A line of text, (_LINE, width, 3) uint8."""
    return text_line(text, width, _LINE, _TEXT, margin=4, bold=bold)
