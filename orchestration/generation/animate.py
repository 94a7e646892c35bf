"""``posegen animate``: a person of an image renders a motion, which is generated for an action or read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.generation.output import GeneratedVideos, OutputSettings, PoseSequence
from orchestration.generation.videos import render_recolored
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError
from posegen.inference.people import is_file, is_video_file, load_person, open_clips
from posegen.inference.person import body_with_trunk
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import OWN_COLORS, ColorSettings, choose_codes
from posegen.inference.requested_motions import MotionSettings, resolve_motions
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.video_reader import video_rate
from posegen.motion.rendering import MotionRenderer


@dataclass(frozen=True, kw_only=True)
class PersonSettings:
    """The person whom a run renders."""

    content: str = ""
    """With a run, the person: an image file, or a video file or a clip (its id or PERSON/ACTION), of which the first
    frame is taken."""
    dataset: str = ""
    """With a run, clip dataset whose clips can be named, and whose backends process a new image; by default its own."""

    def require_content(self) -> str:
        """Return `content`. Raises ConfigError where it is not given."""
        if not self.content:
            raise ConfigError("--content is missing: with a run, the person is an image file or a clip")
        return self.content


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
        content: The person: an image file, or a video or a clip, of which the first usable frame is taken.
        moves: The motions.
        output: Where the videos are written.
        colors: Colours of the clothes.

    Raises:
        PosegenError: The run, a motion, an image or a colour cannot be found or does not fit. Nothing is written then.
    """
    output.require_place_for(moves.num_motions * colors.num_videos)
    synthesizer = load_renderer(run, VideoSynthesizer)
    data = open_clips(dataset, synthesizer.size)
    motions = resolve_motions(moves, moves.fps or _rate_of(data, content), colors.seed)
    person = load_person(data, content, colors.garments)
    body = body_with_trunk(person)
    sequences = [
        PoseSequence(
            name,
            fit_motion(motion, body, synthesizer.size).keypoints,
            motion.fps,
            figure=MotionRenderer(motion, synthesizer.size) if moves.stick_figures else None,
        )
        for name, motion in motions.items()
    ]
    codes = choose_codes(synthesizer, person, data.info, colors)
    return render_recolored(synthesizer, person, sequences, codes, output, (content, moves, colors))


def _rate_of(data: ClipDataset, content: str) -> float | None:
    """Frames per second of the clip that the person is from, or of the dataset's first; None where it has no clip."""
    if is_video_file(content):
        return video_rate(Path(content))
    if not is_file(content):
        return data.find(content).info.fps
    return data.clips[0].info.fps if data.clips else None
