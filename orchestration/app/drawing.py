"""Steps of the queue's thread for the page: analyse a photo, draw a still, a video, a sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

from orchestration.app.designer import Designer, DressedPerson, name_garment, outline_garment
from orchestration.app.film import Film, page_jpeg
from orchestration.app.render_queue import Steps
from orchestration.app.scene import ResolvedScene, command_line, python_lines, read_color_choice
from orchestration.app.uploads import StoredFile
from orchestration.app.video_server import VideoServer
from orchestration.app.wording import say_all_kindly, say_kindly
from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab, as_lab, rgb_to_lab, shown_color
from posegen.color.palette import color_name, hex_color
from posegen.errors import ConfigError, PosegenError, in_one_line
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import ActionFit
from posegen.inference.color_sheet import ColorSheetSettings, draw_color_sheet
from posegen.inference.photo_report import assess_photo
from posegen.inference.requested_colors import ColorPath, RequestedColors
from posegen.io.images import encode_png
from posegen.io.video_reader import read_image
from posegen.io.video_writer import VideoWriter
from posegen.metrics.garment_color import color_report
from posegen.motion.motion import Motion
from posegen.skeletons import LIMBS, joint_indices
from posegen.synthetic import motions as corpus

_JUDGED_FRAMES = 40  # of each action
_GIF_RATE = 12.5  # frames per second at most: browsers draw no faster in hundredths of seconds that are even
_GIF_COLORS = 128
_SEEN = 0.05  # confidence of joints that are drawn


def see_person(designer: Designer, scene: ResolvedScene) -> Steps:
    """Find the person of the photo; the result says what is seen, for the page."""
    dressed = designer.dress(scene)
    yield
    photo = dressed.prepared.shown.photo
    garments = [
        {
            "id": garment,
            "label": name_garment(photo.labels, garment),
            "color": hex_color(_own_color(dressed, garment)),
            "name": color_name(_own_color(dressed, garment)),
            "outlines": outline_garment(photo.labels, garment),
        }
        for garment in dressed.garments
    ]
    return {
        "name": designer.require_photo().shown_name,
        "isVideo": designer.require_photo().kind == "video",
        "picture": _data_url(page_jpeg(photo.image), "jpeg"),
        "size": list(photo.labels.shape),
        "skeleton": _skeleton(photo.pose),
        "garments": garments,
        "people": _count_people(designer, dressed),
        "person": designer.person,
        "findings": say_all_kindly(dressed.prepared.findings),
    }


def judge_actions(designer: Designer, scene: ResolvedScene) -> Steps:
    """Judge which actions suit the photo: by name ``good``, ``fair`` or ``poor``, and why."""
    shown = designer.dress(scene).prepared.shown
    yield
    size, body = scene.view.height_and_width, shown.body
    fits: dict[str, ActionFit] = {}
    for name, motion in _action_motions().items():  # a step each
        fits |= assess_photo(body, size, {name: motion}, []).actions
        yield
    return {
        name: {"suits": fit.suitability, "why": say_kindly(fit.reason) if fit.reason else ""}
        for name, fit in fits.items()
    }


def draw_still(designer: Designer, scene: ResolvedScene, as_png: bool = False) -> Steps:
    """Draw one frame; the result is a PNG, or what the page shows beside it."""
    dressed = designer.dress(scene)
    yield
    paths = _choose_colors(dressed, scene)
    index, num_frames = _moment(dressed, scene)
    after = _draw_moment(dressed, paths, index, num_frames)
    if as_png:
        return encode_png(after)
    before = _draw_moment(dressed, {}, index, num_frames)
    photo = designer.require_photo().shown_name
    return {
        "after": _data_url(page_jpeg(after), "jpeg"),
        "before": _data_url(page_jpeg(before), "jpeg"),
        "size": list(after.shape[:2]),
        "frame": index,
        "frames": num_frames,
        "colors": _report_colors(dressed, scene, paths),
        "findings": say_all_kindly(dressed.prepared.findings, scene.shown),
        "command": command_line(scene, photo) if scene.has_motion else "",
        "python": python_lines(scene, photo) if scene.has_motion else "",
    }


def draw_film(designer: Designer, scene: ResolvedScene, film: Film, server: VideoServer | None = None) -> Steps:
    """Draw a video: send its frames to the page and write its MP4.

    Args:
        designer: The session.
        scene: The scene to draw.
        film: Receives the frames.
        server: Server that draws the scenes that it can draw; all others are drawn here.
    """
    try:
        if not scene.has_motion:
            raise ConfigError("Choose an action first.")
        dressed = designer.dress(scene)
        yield
        paths = _choose_colors(dressed, scene)
        [movement], [poses] = dressed.prepared.movements, dressed.prepared.poses
        facts = {"frames": len(poses), "colors": _report_colors(dressed, scene, paths)}
        film.begin(movement.fps, facts)
        with VideoWriter(film.path, fps=movement.fps, times=movement.times) as video:
            photo = designer.require_photo()
            if server and server.can_draw(photo, scene):
                frames: Iterator[np.ndarray | None] = server.frames(photo, scene)
            else:
                frames = dressed.painter.frames(poses, paths)
            for frame in frames:
                if frame is not None:  # the server has drawn one
                    video.write(frame)
                    film.add(frame)
                yield
        film.finish()
    except PosegenError as error:
        film.fail(say_kindly(in_one_line(error), scene.shown))
        raise


def draw_sheet(designer: Designer, scene: ResolvedScene) -> Steps:
    """Draw a sheet of the photo in several colours; the result is a PNG."""
    photo = designer.require_photo()
    if photo.kind == "video":
        raise ConfigError("A colour sheet shows a photo. Choose a photo instead of a video.")
    yield
    request = scene.request
    upper, lower = (
        tuple(read_color_choice(color, designer.files) for color in colors)
        for colors in (request.upper_colors, request.lower_colors)
    )
    action = request.actions[0] if len(request.actions) == 1 else ""
    sheet = draw_color_sheet(photo.path, ColorSheetSettings(upper=upper, lower=lower, action=action, view=scene.view))
    return encode_png(sheet.image)


def write_gif(film: Film) -> Steps:
    """Write a video as an animated GIF; the result is its content."""
    step = max(round(film.fps / _GIF_RATE), 1)
    pictures = []
    for frame in film.frames[::step]:
        picture = Image.open(io.BytesIO(frame), formats=["JPEG"]).convert("RGB")
        pictures.append(picture.quantize(_GIF_COLORS, dither=Image.Dither.NONE))
        yield
    buffer = io.BytesIO()
    duration = round(1000 * step / film.fps)
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, optimize=False
    )
    return buffer.getvalue()


def check_picture(file: StoredFile) -> Steps:
    """Decode a picture, so that a damaged one is refused when it is given; the result is its thumbnail."""
    image = read_image(file.path, size=None).images[0]
    yield
    height, width = image.shape[:2]
    scale = 96 / min(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return _data_url(page_jpeg(small), "jpeg")


def _draw_moment(dressed: DressedPerson, paths: dict[Garment, ColorPath], index: int, num_frames: int) -> np.ndarray:
    """One frame of the video, or the photo where nothing moves."""
    colors = {garment: path.colors(num_frames)[index : index + 1] for garment, path in paths.items()}
    if not dressed.prepared.poses:
        return dressed.painter.photo_in({garment: as_lab(one[0]) for garment, one in colors.items()})
    [poses] = dressed.prepared.poses
    return next(dressed.painter.moments(poses[index : index + 1], colors))


def _moment(dressed: DressedPerson, scene: ResolvedScene) -> tuple[int, int]:
    """Return the index of the frame that a still shows, and the number of frames."""
    num_frames = len(dressed.prepared.poses[0]) if dressed.prepared.poses else 1
    return round(scene.request.moment * (num_frames - 1)), num_frames


def _choose_colors(dressed: DressedPerson, scene: ResolvedScene) -> dict[Garment, ColorPath]:
    paths = RequestedColors(scene.colors).choose(dressed.prepared.shown.photo.labels).videos[0]
    for garment in set(paths) - set(dressed.garments):
        paths["upper"] = paths.pop(garment)  # a one-piece answers to both names
    return paths


def _report_colors(
    dressed: DressedPerson, scene: ResolvedScene, paths: dict[Garment, ColorPath]
) -> list[dict[str, Any]]:
    """Measure the colour errors of the garments in the photo."""
    reports = []
    labs = {garment: path.begin.lab for garment, path in paths.items()}
    picture = dressed.painter.photo_in(labs)[None]
    for garment, lab in labs.items():
        asked = getattr(scene.colors, garment)
        report = color_report(garment, asked, lab, picture, dressed.painter.cloth(garment)[None])
        reports.append(
            {
                "id": garment,
                "asked": hex_color(lab),
                "shown": hex_color(as_lab(shown_color(lab))),
                "name": color_name(lab),
                "difference": round(report.median, 2),
                "note": say_kindly(report.note) if report.note else "",
            }
        )
    return reports


def _own_color(dressed: DressedPerson, garment: Garment) -> Lab:
    pixels = rgb_to_lab(dressed.prepared.shown.photo.image[dressed.painter.cloth(garment)])
    return as_lab(np.median(pixels, axis=0))


def _skeleton(pose: BodyPoses) -> list[list[float]]:
    """Lines x0, y0, x1, y1 between joints that are seen."""
    keypoints = pose.keypoints.reshape(-1, *pose.keypoints.shape[-2:])[0]
    lines = []
    for names in LIMBS:
        first, last = keypoints[joint_indices(names)]
        if min(first[2], last[2]) > _SEEN:
            lines.append([round(float(value), 1) for value in (*first[:2], *last[:2])])
    return lines


def _count_people(designer: Designer, dressed: DressedPerson) -> int:
    subject = designer.subject
    return 1 + int(subject.found.others if subject else dressed.prepared.shown.photo.others)


@cache
def _action_motions() -> dict[str, Motion]:
    subject = corpus.make_subject(0, 0)
    return {name: corpus.perform(name, subject, frames=_JUDGED_FRAMES) for name in corpus.ACTIONS}


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
