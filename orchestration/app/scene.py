"""Scene requested on the page, and its settings, command line and Python code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestration.app.motion_models import BUILT_IN, MotionModel, find_model
from orchestration.app.uploads import StoredFile
from posegen.color.palette import is_kept, parse_color
from posegen.errors import ConfigError
from posegen.inference.requested_codes import ColorSettings
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.shown_person import PhotoSettings

SIZES = {"384x256": "Small, 256 × 384", "576x384": "Medium, 384 × 576", "768x512": "Large, 512 × 768",
         "512x512": "Square, 512 × 512", "432x768": "Wide, 768 × 432"}  # fmt: skip
"""Sizes of a video that can be chosen, HEIGHTxWIDTH."""

_MOST_FRAMES = 750
_MOST_ACTIONS = 8
_MOST_PICTURES = 24  # of a sheet
_CLOTH = "cloth:"
_PARTS = ("upper", "lower", "upper_to", "lower_to")


class SceneRequest(BaseModel):
    """A scene: what the person does, and in which colours."""

    model_config = ConfigDict(extra="forbid")

    actions: list[str] = Field(default_factory=list, max_length=_MOST_ACTIONS)
    model: str = Field(default=BUILT_IN, max_length=64)
    """Identifier of the source of the actions' motions."""
    motion: str = Field(default="", max_length=64)
    driving: str = Field(default="", max_length=64)
    frames: int | None = Field(default=None, ge=8, le=_MOST_FRAMES)
    yaw: float | None = Field(default=None, ge=-180, le=180)
    upper: str = Field(default="", max_length=100)
    lower: str = Field(default="", max_length=100)
    upper_to: str = Field(default="", max_length=100)
    lower_to: str = Field(default="", max_length=100)
    size: str = Field(default="384x256", max_length=20)
    travel: Literal["fit", "full"] = "fit"
    seed: int = Field(default=0, ge=0, le=10**6)
    moment: float = Field(default=0.0, ge=0, le=1)
    """Position of a still's frame, as a share of the length."""
    upper_colors: list[str] = Field(default_factory=list, max_length=_MOST_PICTURES)
    """Colours of a sheet."""
    lower_colors: list[str] = Field(default_factory=list, max_length=_MOST_PICTURES)


@dataclass(frozen=True)
class ResolvedScene:
    """A scene whose files are known."""

    request: SceneRequest
    motions: MotionSettings
    colors: ColorSettings
    view: PhotoSettings
    shown: Mapping[str, str]
    """Original names of files, by their paths on the server."""

    @property
    def has_motion(self) -> bool:
        """True if the person moves; otherwise the photo is shown as it is."""
        return self.motions.is_given or self.view.poses is not None

    @property
    def key(self) -> tuple[object, ...]:
        """Key of the preparation: everything that the prepared person depends on, which is all but the colours."""
        return self.motions, self.view, self.request.seed


def resolve_scene(
    request: SceneRequest, files: Mapping[str, StoredFile], person: int, models: Mapping[str, MotionModel]
) -> ResolvedScene:
    """Find the files and the motion model of a scene, and check its options.

    Args:
        request: The scene.
        files: The session's files by their tokens: no other file can be named.
        person: Number of the person in the photo, from 1 on.
        models: Sources of actions, by identifier.

    Raises:
        PosegenError: Something is unknown or does not fit.
    """
    if sum(map(bool, (request.actions, request.motion, request.driving))) > 1:
        raise ConfigError("Choose actions, a motion file or a driving video: one of them.")
    model = find_model(models, request.model)
    unknown = [action for action in request.actions if action not in model.actions]
    if unknown:
        raise ConfigError(f"There is no action {unknown[0]!r}.")
    if request.size not in SIZES:
        raise ConfigError(f"There is no size {request.size!r}.")
    motion, driving = (_find(files, token) for token in (request.motion, request.driving))
    motions = MotionSettings(
        action=tuple(request.actions) if len(request.actions) == 1 else (),
        actions=tuple(request.actions) if len(request.actions) > 1 else (),
        actor=model.run if request.actions else "",
        motion=motion.path if motion else None,
        frames=None if driving else request.frames,
        yaw=None if driving else request.yaw,
    )
    colors = {part: read_color_choice(getattr(request, part), files) for part in _PARTS}
    view = PhotoSettings(
        poses=driving.path if driving else None, size=request.size, person=person, travel=request.travel
    )
    shown = {str(file.path): file.shown_name for file in files.values()}
    return ResolvedScene(request, motions, ColorSettings(seed=request.seed, **colors), view, shown)  # type: ignore[arg-type]


def read_color_choice(text: str, files: Mapping[str, StoredFile]) -> str:
    """Return a colour as settings have it: of CSS, keep, or the path of a cloth photo of the session; no other path.

    Raises:
        PosegenError: It is neither.
    """
    if text.startswith(_CLOTH):
        file = _find(files, text.removeprefix(_CLOTH))
        return str(file.path) if file else ""
    if text and not is_kept(text):
        parse_color(text)
    return text


def command_line(scene: ResolvedScene, photo: str) -> str:
    """Return the ``posegen animate`` that makes the same video."""
    words = ["posegen", "animate", photo]
    for name, value in scene_options(scene).items():
        values = [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
        words += [f"--{name.replace('_', '-')}", *values]
    return shlex.join([*words, "--out", f"{video_stem(scene)}.mp4"])


def python_lines(scene: ResolvedScene, photo: str) -> str:
    """Return the lines of Python that make the same video."""
    arguments = [repr(photo)]
    for name, value in scene_options(scene).items():
        arguments.append(f"{name}={list(value)!r}" if isinstance(value, tuple) else f"{name}={value!r}")
    return f"import posegen as pg\npg.load().render({', '.join(arguments)}).save({video_stem(scene) + '.mp4'!r})"


def video_stem(scene: ResolvedScene) -> str:
    """Return what the files of a scene are called, without an ending."""
    request = scene.request
    name = "-".join(request.actions) or ("motion" if request.motion else "driven" if request.driving else "photo")
    colors = [re.sub(r"\W+", "", value) for value in (request.upper, request.lower) if not value.startswith(_CLOTH)]
    return "-".join(["posegen", name, *filter(None, colors)])[:80]


def scene_options(scene: ResolvedScene) -> dict[str, object]:
    """Return the options that differ from the defaults, by name."""
    request, motions = scene.request, scene.motions
    options: dict[str, object] = {}
    if motions.action:
        options["action"] = motions.action[0]
    if motions.actions:
        options["actions"] = motions.actions
    if motions.actor:
        options["actor"] = motions.actor
    for name, path in (("motion", motions.motion), ("poses", scene.view.poses)):
        if path:
            options[name] = _name(scene, path)
    for name in ("frames", "yaw"):
        if getattr(motions, name) is not None:
            options[name] = getattr(motions, name)
    for name in _PARTS:
        if color := getattr(scene.colors, name):
            options[name] = scene.shown.get(color, color)
    defaults = PhotoSettings()
    if scene.view.height_and_width != defaults.height_and_width:
        options["size"] = scene.view.size
    for name in ("person", "travel"):
        if getattr(scene.view, name) != getattr(defaults, name):
            options[name] = getattr(scene.view, name)
    return options | ({"seed": request.seed} if request.seed else {})


def _name(scene: ResolvedScene, path: Path) -> str:
    return scene.shown.get(str(path), path.name)


def _find(files: Mapping[str, StoredFile], token: str) -> StoredFile | None:
    """A file of the session; None where none is named. Raises ConfigError where there is no such file."""
    if not token:
        return None
    if token not in files:
        raise ConfigError("This file is no longer here. Choose it again.")
    return files[token]
