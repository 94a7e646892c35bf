"""Routes of the page's server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from orchestration.app.designer import Designer
from orchestration.app.drawing import (
    check_picture,
    draw_film,
    draw_sheet,
    draw_still,
    judge_actions,
    see_person,
    write_gif,
)
from orchestration.app.example import EXAMPLE_PEOPLE, write_example
from orchestration.app.film import Film
from orchestration.app.motion_models import BUILT_IN, MotionModel, find_model
from orchestration.app.render_queue import JobCancelledError, QueueFullError, RenderQueue, Steps
from orchestration.app.scene import SIZES, ResolvedScene, SceneRequest, resolve_scene, video_stem
from orchestration.app.sessions import SessionEndedError, SessionStore
from orchestration.app.thumbnails import STRIP_FRAMES, draw_strip
from orchestration.app.uploads import (
    LARGEST_UPLOAD,
    FileKind,
    StoredFile,
    UploadRefusedError,
    UploadTooLargeError,
    store_upload,
)
from orchestration.app.video_server import VideoServer
from orchestration.app.wording import say_kindly
from posegen.errors import ConfigError, PosegenError, in_one_line

ROUTES = APIRouter(prefix="/api")
"""All of them."""
_UPLOAD = 2**50  # bytes: `store_upload` says in words what is too large
_STATUS = {
    UploadTooLargeError: 413,
    UploadRefusedError: 415,
    SessionEndedError: 410,
    JobCancelledError: 409,
    QueueFullError: 429,
}
_ROLES: dict[str, tuple[FileKind, ...]] = {
    "person": ("picture", "video"),
    "cloth": ("picture",),
    "motion": ("motion",),
    "driving": ("video",),
}


def handle_errors(app: FastAPI) -> None:
    """Answer what people can put right in a sentence."""

    @app.exception_handler(PosegenError)
    async def refuse(request: Request, error: PosegenError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
        return JSONResponse({"error": say_kindly(in_one_line(error), _shown_names(request))}, status)

    @app.exception_handler(RequestValidationError)
    async def refuse_request(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "The page asked for something that does not fit. Reload it."}, 422)

    @app.exception_handler(Exception)
    async def fail(request: Request, error: Exception) -> JSONResponse:
        text = "Something went wrong here. Try again, or choose another photo; the terminal says more."
        return JSONResponse({"error": text}, 500)


@ROUTES.post("/sessions")
async def begin(request: Request) -> dict[str, Any]:
    """Begin a session."""
    designer = _sessions(request).create()
    return {
        "session": designer.name,
        "largest": LARGEST_UPLOAD,
        "models": [
            {"id": name, "label": model.label, "fps": model.fps, "actions": [_labelled(one) for one in model.actions]}
            for name, model in _models(request).items()
        ],
        "server": server.address if (server := _server(request)) else "",
        "stripFrames": STRIP_FRAMES,
        "sizes": SIZES,
        "examples": list(EXAMPLE_PEOPLE),
    }


@ROUTES.post("/sessions/{session}/alive", status_code=204)
async def stay(request: Request, session: str) -> None:
    """Say that the page is still open."""
    _sessions(request).get(session)


@ROUTES.post("/sessions/{session}/end", status_code=204)
async def end(request: Request, session: str) -> None:
    """End a session and delete its files."""
    _sessions(request).end(session)


@ROUTES.get("/actions/{action}.webp")
async def action_strip(request: Request, action: str, model: str = BUILT_IN) -> Response:
    """Return the animated thumbnail of an action."""
    source = find_model(_models(request), model)
    if action not in source.actions:
        raise ConfigError("There is no such action.")
    return Response(await run_in_threadpool(draw_strip, source, action), media_type="image/webp")


@ROUTES.post("/sessions/{session}/person", max_body_size=_UPLOAD)
async def take_person(request: Request, session: str, name: str = "photo") -> dict[str, Any]:
    """Take a photo or a video of the person, and say what is seen in it."""
    designer = _sessions(request).get(session)
    file = await _store(request, designer, name, "person")
    return await _look(request, designer, file)


@ROUTES.post("/sessions/{session}/example/{name}")
async def take_example(request: Request, session: str, name: str) -> dict[str, Any]:
    """Take one of the studio's people."""
    designer = _sessions(request).get(session)
    file = await _draw(request, designer, write_example(name, designer.folder), kind="person", urgent=True)
    designer.add(file)
    return await _look(request, designer, file)


@ROUTES.post("/sessions/{session}/person/{number}")
async def choose_person(request: Request, session: str, number: int) -> dict[str, Any]:
    """Take another person of the photo."""
    designer = _sessions(request).get(session)
    return await _look(request, designer, designer.require_photo(), max(number, 1))


@ROUTES.post("/sessions/{session}/suitability")
async def suitability(request: Request, session: str) -> dict[str, Any]:
    """Judge which actions suit the photo."""
    designer = _sessions(request).get(session)
    scene = _resolve(request, designer, SceneRequest())
    fits: dict[str, Any] = await _draw(request, designer, judge_actions(designer, scene), kind="suitability")
    return fits


@ROUTES.post("/sessions/{session}/files/{role}", max_body_size=_UPLOAD)
async def take_file(request: Request, session: str, role: str, name: str = "file") -> dict[str, str]:
    """Take a photo of cloth, a motion or a driving video."""
    designer = _sessions(request).get(session)
    if role not in _ROLES or role == "person":
        raise ConfigError("There is no such kind of file.")
    file = await _store(request, designer, name, role)
    thumbnail = ""
    if file.kind == "picture":
        try:
            thumbnail = await _draw(request, designer, check_picture(file), kind="", urgent=True)
        except PosegenError:
            designer.drop(file)
            raise
    return {"file": file.token, "name": file.shown_name, "thumbnail": thumbnail}


@ROUTES.post("/sessions/{session}/still")
async def still(request: Request, session: str, asked: SceneRequest) -> dict[str, Any]:
    """Draw one frame."""
    designer = _sessions(request).get(session)
    steps = draw_still(designer, _resolve(request, designer, asked))
    drawn: dict[str, Any] = await _draw(request, designer, steps, kind="still", urgent=True)
    return drawn


@ROUTES.post("/sessions/{session}/still.png")
async def still_png(request: Request, session: str, asked: SceneRequest) -> Response:
    """Draw one frame as PNG."""
    designer = _sessions(request).get(session)
    scene = _resolve(request, designer, asked)
    png = await _draw(request, designer, draw_still(designer, scene, as_png=True), kind="", urgent=True)
    return _download(png, "image/png", f"{video_stem(scene)}.png")


@ROUTES.post("/sessions/{session}/sheet.png")
async def sheet_png(request: Request, session: str, asked: SceneRequest) -> Response:
    """Draw a sheet of colours."""
    designer = _sessions(request).get(session)
    scene = _resolve(request, designer, asked)
    png = await _draw(request, designer, draw_sheet(designer, scene), kind="sheet")
    return _download(png, "image/png", "posegen-colours.png")


@ROUTES.post("/sessions/{session}/videos")
async def begin_video(request: Request, session: str, asked: SceneRequest) -> dict[str, str]:
    """Start drawing a video, here or on the server of videos."""
    designer = _sessions(request).get(session)
    scene = _resolve(request, designer, asked)
    designer.require_photo()
    film = Film(designer.folder / f"{secrets.token_urlsafe(16)}.mp4", video_stem(scene))
    token = designer.add_film(film)
    job = _queue(request).submit(session, draw_film(designer, scene, film, _server(request)), kind="video")
    job.result.add_done_callback(lambda _: film.fail("The video was cancelled."))  # also of one that never began
    return {"video": token}


@ROUTES.get("/sessions/{session}/videos/{video}/frames")
async def watch_video(request: Request, session: str, video: str) -> StreamingResponse:
    """Send the frames of a video as they are drawn, see `Film.watch`."""
    return StreamingResponse(_film(request, session, video).watch(), media_type="application/octet-stream")


@ROUTES.post("/sessions/{session}/videos/cancel", status_code=204)
async def cancel_video(request: Request, session: str) -> None:
    """Stop drawing videos and sheets."""
    _sessions(request).get(session)
    _queue(request).cancel_kinds(session, ("video", "sheet", "gif"))


@ROUTES.get("/sessions/{session}/videos/{video}.mp4")
async def video_mp4(request: Request, session: str, video: str, inline: bool = False) -> FileResponse:
    """Download a video that is drawn, or show it on the page."""
    film = _whole_film(request, session, video)
    kind = "inline" if inline else "attachment"
    return FileResponse(film.path, media_type="video/mp4", filename=f"{film.name}.mp4", content_disposition_type=kind)


@ROUTES.get("/sessions/{session}/videos/{video}.gif")
async def video_gif(request: Request, session: str, video: str) -> Response:
    """Download a video as an animated GIF."""
    film = _whole_film(request, session, video)
    content = await _draw(request, _sessions(request).get(session), write_gif(film), kind="gif")
    return _download(content, "image/gif", f"{film.name}.gif")


async def _store(request: Request, designer: Designer, name: str, role: str) -> StoredFile:
    """Take the body of a request as a file of the session."""
    announced = int(request.headers.get("content-length", "0") or 0)
    try:
        file = await store_upload(request.stream(), announced, designer.folder, name, _ROLES[role])
    except ClientDisconnect:
        raise UploadRefusedError("The upload was stopped.") from None
    designer.add(file)
    return file


async def _look(request: Request, designer: Designer, photo: StoredFile, number: int = 1) -> dict[str, Any]:
    """See another person; where nobody is seen, the one before stays, and the new photo is deleted."""

    def steps() -> Steps:
        tried = designer.with_person(photo, number)
        seen = yield from see_person(tried, _resolve(request, tried, SceneRequest()))
        designer.take_person(tried)
        return seen

    try:
        seen: dict[str, Any] = await _draw(request, designer, steps(), kind="person", urgent=True)
    except BaseException:
        if photo is not designer.photo:
            designer.drop(photo)
        raise
    return seen


async def _draw(request: Request, designer: Designer, steps: Steps, *, kind: str, urgent: bool = False) -> Any:
    """Have the queue do work, and wait for its result; a page that no longer waits cancels it."""
    job = _queue(request).submit(designer.name, steps, kind=kind, urgent=urgent)
    try:
        return await asyncio.wrap_future(job.result)
    except asyncio.CancelledError:
        job.cancel()
        raise


def _resolve(request: Request, designer: Designer, asked: SceneRequest) -> ResolvedScene:
    return resolve_scene(asked, designer.files, designer.person, _models(request))


def _labelled(action: str) -> dict[str, str]:
    return {"id": action, "label": action.replace("_", " ")}


def _film(request: Request, session: str, video: str) -> Film:
    films = _sessions(request).get(session).films
    if video not in films:
        raise SessionEndedError("This video is no longer here. Draw it again.")
    return films[video]


def _whole_film(request: Request, session: str, video: str) -> Film:
    film = _film(request, session, video)
    if not film.is_whole:
        raise ConfigError("This video is not drawn to its end yet.")
    return film


def _download(content: bytes, media_type: str, name: str) -> Response:
    header = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type=media_type, headers=header)


def _shown_names(request: Request) -> dict[str, str]:
    """Return the original names of the session's files, by their paths."""
    session = request.path_params.get("session", "")
    try:
        files = _sessions(request).get(session).files.values()
    except PosegenError:
        return {}
    return {str(file.path): file.shown_name for file in files}


def _sessions(request: Request) -> SessionStore:
    sessions: SessionStore = request.app.state.sessions
    return sessions


def _models(request: Request) -> Mapping[str, MotionModel]:
    models: Mapping[str, MotionModel] = request.app.state.models
    return models


def _server(request: Request) -> VideoServer | None:
    server: VideoServer | None = request.app.state.server
    return server


def _queue(request: Request) -> RenderQueue:
    queue: RenderQueue = request.app.state.queue
    return queue
