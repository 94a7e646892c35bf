"""``posegen studio``: renders people of the built-in studio who do actions, or motions of files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from orchestration.data.motion_files import ReadSettings, find_motions
from orchestration.option_types import FrameSize
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from posegen.errors import ConfigError
from posegen.motion.motion import Motion
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.studio import PEOPLE, RenderSettings, render_action, render_clip, require_size, write_studio_clip

_USUAL_ACTIONS = 16  # with 13 people the paper's 208 clips; all of them are done in place


@dataclass(frozen=True, kw_only=True)
class StudioSettings:
    """People, actions and frames of the studio."""

    people: int = len(PEOPLE)
    """Number of people, at most 13."""
    actions: int | None = None
    """Number of actions; by default 16, or none where there are motions."""
    motion: tuple[Path, ...] = ()
    """Motions for all people: files or folders of any kind that `posegen motion inspect` reads."""
    frames: int = 100
    """Frames of each action's video; a motion's video has the motion's."""
    size: FrameSize = (384, 256)
    """Height and width in pixels."""
    seed: int = 0
    """Seed of the small differences between takes."""
    yaw: float = 0.0
    """Degrees by which people are turned from the camera, positive to their left."""

    def __post_init__(self) -> None:
        if not 1 <= self.people <= len(PEOPLE):
            raise ConfigError(f"people is {self.people}, expected 1 to {len(PEOPLE)}")
        if self.actions is not None and not 0 <= self.actions <= len(ACTIONS):
            raise ConfigError(f"actions is {self.actions}, expected 0 to {len(ACTIONS)}")
        if self.frames < 1:
            raise ConfigError(f"frames is {self.frames}, expected at least 1")
        if not (self.motion or self.action_names):
            raise ConfigError("there is nothing to render, expected a number of --actions, or a --motion")
        require_size(self.size)

    @property
    def action_names(self) -> list[str]:
        """The actions that are rendered."""
        usual = 0 if self.motion else _USUAL_ACTIONS
        return list(ACTIONS)[: usual if self.actions is None else self.actions]

    @property
    def view(self) -> RenderSettings:
        """Settings of the rendering."""
        return RenderSettings(size=self.size, seed=self.seed, yaw=self.yaw)


def render_studio(
    out: Path,
    settings: StudioSettings,
    reading: ReadSettings | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> int:
    """Write OUT/PERSON/ACTION.mp4, with the truth beside each video, and return how many videos there are.

    Args:
        out: The folder.
        settings: Who does what.
        reading: How files of motions are read, by default as `ReadSettings`.
        on_progress: Called after every video.

    Raises:
        PosegenError: A motion is broken, or two have one name; nothing is written then.
    """
    motions = _read_motions(settings, reading or ReadSettings())
    people, total = PEOPLE[: settings.people], settings.people * (len(settings.action_names) + len(motions))
    done = 0
    for person in people:
        for action in settings.action_names:
            write_studio_clip(render_action(person, action, settings.frames, settings.view), out)
            on_progress(done := done + 1, total)
        for name, motion in motions.items():
            write_studio_clip(render_clip(person, motion, settings.view, name=name), out)
            on_progress(done := done + 1, total)
    return total


def _read_motions(settings: StudioSettings, reading: ReadSettings) -> dict[str, Motion]:
    """All motions by the names of their videos."""
    if not settings.motion:
        return {}
    found = find_motions(settings.motion, reading)
    if found.rejections:
        raise ConfigError(f"{found.rejections[0].source}: {found.rejections[0].reason}")
    names = [one.motion.name.replace("/", "_") for one in found.motions]
    twice = [name for name, count in Counter(names + settings.action_names).items() if count > 1]
    if twice:
        raise ConfigError(f"two motions are called {twice[0]}, expected names that differ: they name the videos")
    return {name: one.motion.load() for name, one in zip(names, found.motions, strict=True)}
