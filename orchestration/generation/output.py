"""Files of generated videos: MP4 files that are written frame by frame, and contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orchestration.generation.motion_page import write_motion_page
from posegen.errors import ConfigError
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.inference.option_use import RUN, used_with
from posegen.inference.run_video import PoseSequence
from posegen.io.images import titled_grid, write_picture
from posegen.io.output_files import VIDEOS, OverwriteSettings, default_file, written_as
from posegen.io.video_writer import VideoWriter
from posegen.networks.device import Precision

SHEET_SUFFIX = ".sheet.png"
"""Of contact sheets: a picture of the video's own name may be what the video was made from."""

_SHEET_COLUMNS = 10  # frames in a row of the contact sheet, as in the paper's Figure 4


@dataclass(frozen=True, kw_only=True)
class OutputSettings(OverwriteSettings):
    """The videos to write."""

    out: Path | None = field(default=None, metadata=written_as(VIDEOS))
    """The video to write, .mp4, or the folder for several; by default PHOTO.ACTION.mp4 in the current folder, by the
    names of the photo or run and of each motion."""
    batch: int = field(default=4, metadata=used_with(RUN))
    """Videos that are rendered at once."""
    precision: Precision = field(default="fp32", metadata=used_with(RUN))
    """Numbers in the generator of a run: bf16 takes half the time on GPUs and on CPUs with AVX512-BF16 or AMX."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ConfigError(f"got batch {self.batch}, expected 1 or more")
        if self.out is not None:
            VIDEOS.require(self.out)

    def require_place_for(self, num_videos: int) -> None:
        """Raise ConfigError where `out` is a file and there are several videos, or a folder and there is one."""
        if self.out is None:
            return
        if num_videos == 1 and not self.out.suffix:
            raise ConfigError(f"one video is written as .mp4, got {self.out.name!r}: take {self.out.name}.mp4")
        if num_videos > 1 and self.out.suffix:
            raise ConfigError(
                f"{num_videos} videos are written to a folder, got {self.out.name!r}: take {self.out.stem}"
            )

    def require_videos(self, videos: Sequence[Path], *inputs: object, pages: bool = False) -> None:
        """Raise ConfigError where a video, its contact sheet or its page cannot be written or would replace a file."""
        with_pages = [page_path(video) for video in videos if pages]
        self.require_writable([*videos, *map(sheet_path, videos), *with_pages], *inputs)

    def path(self, name: str) -> Path:
        """Return the path of a video: `out` itself where it is a file, otherwise ``NAME.mp4`` in the folder."""
        if self.out is None:
            return Path(f"{name}.mp4")
        return self.out if self.out.suffix else self.out / f"{name}.mp4"

    def named_after(self, subject: str) -> OutputSettings:
        """Return these settings with a place: `out`, or files in the current folder that are called by a subject."""
        return self if self.out is not None else _NamedOutput(**vars(self), subject=subject)


@dataclass(frozen=True, kw_only=True)
class _NamedOutput(OutputSettings):
    """Videos in the current folder, named after a photo or a run."""

    subject: str

    def path(self, name: str) -> Path:
        return default_file(self.subject, f"{name}.mp4")


@dataclass(frozen=True)
class PlannedVideo:
    """One video to render."""

    path: Path
    poses: PoseSequence

    @property
    def sheet_rows(self) -> list[int]:
        """Rows of the frames in the contact sheet."""
        length = len(self.poses.keypoints)
        return np.linspace(0, length - 1, min(_SHEET_COLUMNS, length)).round().astype(int).tolist()


@dataclass(frozen=True)
class GeneratedVideos:
    """The files of one command."""

    videos: list[Path]
    sheets: list[Path]
    """One for each pose sequence: the content, the poses, and a row for each video."""
    num_frames: int
    """Of all videos together."""
    colors: dict[str, str] = field(default_factory=dict)
    """For each garment that was given a colour, a note on it."""
    notes: tuple[str, ...] = ()
    """Changes and guesses made, one line each."""
    pages: tuple[Path, ...] = ()
    """Of each video whose motion is shown on a page."""

    @classmethod
    def of(
        cls,
        videos: Sequence[PlannedVideo],
        sheets: list[Path],
        colors: dict[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> GeneratedVideos:
        """Write the pages of videos that are written, and list the files."""
        num_frames = sum(len(video.poses.keypoints) for video in videos)
        pages = write_pages(videos)
        return cls([video.path for video in videos], sheets, num_frames, colors or {}, tuple(notes), pages)


def sheet_path(video: Path) -> Path:
    """Return the path of a video's contact sheet."""
    return video.with_name(f"{video.stem}{SHEET_SUFFIX}")


def page_path(video: Path) -> Path:
    """Return the path of the page beside a video."""
    return video.with_suffix(".html")


def write_pages(videos: Sequence[PlannedVideo]) -> tuple[Path, ...]:
    """Write the page of each video that has a motion for it: the motion in three dimensions, and the video."""
    shown = [(video.path, video.poses.motion) for video in videos if video.poses.motion is not None]
    return tuple(
        write_motion_page(page_path(path), [motion], title=path.stem, video=path.name) for path, motion in shown
    )


def write_frames(videos: Sequence[PlannedVideo], frames: Iterable[Mapping[int, np.ndarray]]) -> list[list[np.ndarray]]:
    """Write several videos at once, each with its figure beside it.

    Args:
        videos: The files to write.
        frames: The next frame (H, W, 3) uint8 of each video that has not ended, by its number.

    Returns:
        Of each video, the frames for the contact sheet; no others are kept.
    """
    strips: list[list[np.ndarray]] = [[] for _ in videos]
    kept = [set(video.sheet_rows) for video in videos]
    with ExitStack() as stack:
        writers = []
        for video in videos:
            video.path.parent.mkdir(parents=True, exist_ok=True)
            writers.append(stack.enter_context(VideoWriter(video.path, fps=video.poses.fps, times=video.poses.times)))
        for row, at_row in enumerate(frames):
            for number, frame in at_row.items():
                figure = videos[number].poses.figure
                writers[number].write(frame if figure is None else np.hstack([figure.frame(row), frame]))
                if row in kept[number]:
                    strips[number].append(frame)
    return strips


def make_contact_sheet(
    content: np.ndarray, videos: Sequence[PlannedVideo], strips: Sequence[Sequence[np.ndarray]]
) -> np.ndarray:
    """Make a picture of the content image, the poses below it, and a row of frames for each video, with titles."""
    first, rows = videos[0], videos[0].sheet_rows
    figures = [rasterize_stick_figure(pose, content.shape[:2]) for pose in first.poses.keypoints[rows]]
    times = (
        first.poses.times if first.poses.times is not None else np.arange(len(first.poses.keypoints)) / first.poses.fps
    )
    seconds = " · ".join(f"{times[row]:.1f}" for row in rows)
    titles = ["the person", f"poses at {seconds} s", *(video.path.stem for video in videos)]
    return titled_grid([[content], figures, *strips], titles)


def write_contact_sheet(
    content: np.ndarray, videos: Sequence[PlannedVideo], strips: Sequence[Sequence[np.ndarray]]
) -> Path:
    """Write the contact sheet of the videos of one pose sequence beside the first of them, .sheet.png."""
    first = videos[0]
    name = first.path.stem if len(videos) == 1 else first.poses.name
    path = sheet_path(first.path.with_name(f"{name}.mp4"))
    write_picture(path, make_contact_sheet(content, videos, strips))
    return path
