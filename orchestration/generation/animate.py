"""``posegen animate``: a person of an image renders a motion, which is generated for an action or read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.generation.output import GeneratedVideos, OutputSettings
from orchestration.generation.videos import render_recolored
from posegen.errors import ConfigError
from posegen.inference.option_use import RUN, used_with
from posegen.inference.people import load_person, open_clips
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import OWN_COLORS, ColorSettings, choose_codes
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.run_video import PersonOfRun, sequences_of_motions
from posegen.inference.video_synthesizer import VideoSynthesizer


@dataclass(frozen=True, kw_only=True)
class PersonSettings:
    """The person whom a run renders."""

    content: str = field(default="", metadata=used_with(RUN))
    """The person: an image file, or a video file or a clip (its id or PERSON/ACTION), of which the first frame is
    taken. A run needs it."""
    dataset: str = field(default="", metadata=used_with(RUN))
    """Clip dataset whose clips can be named, and whose backends process a new image; by default the run's own."""

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
    synthesizer = load_renderer(run, VideoSynthesizer, precision=output.precision)
    data = open_clips(dataset, synthesizer.size)
    subject = PersonOfRun(data, content, load_person(data, content, colors.garments))
    sequences = sequences_of_motions(subject, moves, colors.seed)
    codes = choose_codes(synthesizer, subject.person, data.info, colors)
    return render_recolored(synthesizer, subject.person, sequences, codes, output, (content, moves, colors))
