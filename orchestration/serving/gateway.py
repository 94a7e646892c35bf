"""The HTTP interface: checks requests, and passes them to replicas."""

from __future__ import annotations

import asyncio
import hmac
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from orchestration.app.uploads import FileKind, UploadRefusedError, UploadTooLargeError, store_upload
from orchestration.serving.renderer import BOUNDARY

MOST_FRAMES = 600
"""Of a video."""
_PICTURE: tuple[FileKind, ...] = ("picture",)
_RETRIES = 2  # of a request whose replica died
_OPEN_PATHS = ("/health", "/ready")
_READY_SECONDS = 2.0  # in which a replica that is not busy answers


_CLIP = r"^[\w-]+(/[\w-]+){0,2}$"  # no ending and no way out: it names no file of the server


class RenderRequest(BaseModel):
    """Content of a video, as in `posegen animate`."""

    model_config = ConfigDict(extra="forbid")

    action: str | None = Field(None, description="An action, such as wave.", max_length=80)
    actions: list[str] | None = Field(None, description="Several in a row.", max_length=8)
    clip: str | None = Field(
        None, pattern=_CLIP, max_length=200, description="With a run, the person: PERSON/ACTION of its dataset."
    )
    upper: str | None = Field(None, description="Colour of the upper garment, as in CSS.", max_length=80)
    lower: str | None = Field(None, description="Colour of the lower garment.", max_length=80)
    upper_to: str | None = Field(None, description="Colour of the upper garment in the last frame.", max_length=80)
    lower_to: str | None = Field(None, description="Colour of the lower garment in the last frame.", max_length=80)
    frames: int | None = Field(None, ge=1, le=MOST_FRAMES, description="Frames of the video.")
    fps: float | None = Field(None, gt=0, le=60, description="Frames per second.")
    yaw: float | None = Field(None, ge=-180, le=180, description="Degrees by which the person is turned.")
    size: str | None = Field(None, pattern=r"^\d{2,4}x\d{2,4}$", description="HEIGHTxWIDTH of a photo's video.")
    person: int | None = Field(None, ge=1, le=20, description="Which of several people of a photo.")
    travel: Literal["fit", "full"] | None = Field(None, description="How far the person goes.")
    seed: int | None = Field(None, ge=0, description="Seed of the motion.")

    def options(self) -> dict[str, Any]:
        """Return the options that are given, but the clip."""
        return self.model_dump(exclude_none=True, exclude={"clip"})


def _reads_file(text: str | None) -> bool:
    """Return True if a colour would be read from a file of the server."""
    return text is not None and ("/" in text or "\\" in text or Path(text).suffix != "")


class Replicas(Protocol):
    """Processes that render videos."""

    async def render(self, content: bytes, suffix: str, options: dict[str, Any]) -> bytes | str:
        """Render a video, see `Renderer.render`."""

    def stream(self, content: bytes, suffix: str, options: dict[str, Any]) -> AsyncIterator[bytes]:
        """Render frames, see `Renderer.stream`."""

    async def ping(self) -> None:
        """Return once a replica answers; a busy one answers after its video."""

    async def count_running(self) -> int:
        """Return the number of replicas that run, idle or busy."""

    def is_lost(self, error: Exception) -> bool:
        """Return True for the error of a request whose replica died."""

    def is_full(self, error: Exception) -> bool:
        """Return True for the error of a request that finds too many others waiting."""


class Gateway:
    """HTTP gateway that answers requests.

    Args:
        replicas: Processes that render.
        token: Token that requests must send; empty for none.
        knows_clips: True if a run renders, whose dataset's clips can be named.
    """

    def __init__(self, replicas: Replicas, *, token: str = "", knows_clips: bool = False):
        self._replicas, self._token, self._knows_clips = replicas, token, knows_clips

    def build(self) -> FastAPI:
        """Return the interface, whose description is at ``/openapi.json``."""
        app = FastAPI(title="posegen", description="A photo, an action and colours in, a video out.", docs_url=None)
        app.middleware("http")(self._require_token)
        app.get("/health", summary="Check that the server answers")(lambda: {"status": "ok"})
        app.get("/ready", summary="Check that a replica runs")(self._ready)
        answers: dict[int | str, dict[str, Any]] = {
            200: {"content": {"video/mp4": {}}},
            **{code: {"description": text} for code, text in _ERRORS.items()},
        }
        app.post("/videos", summary="Render a video", response_class=Response, responses=answers)(self._post_video)
        app.post("/frames", summary="Render frames as a stream", response_class=Response)(self._post_frames)
        return app

    async def _require_token(self, request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._token and request.url.path not in _OPEN_PATHS and not hmac.compare_digest(given, self._token):
            return JSONResponse({"detail": "the token is missing or wrong"}, 401, {"WWW-Authenticate": "Bearer"})
        return await proceed(request)

    async def _ready(self) -> dict[str, str]:
        """Ask a replica; one that does not answer in time is busy, or there is none."""
        try:
            await asyncio.wait_for(self._try(self._replicas.ping), _READY_SECONDS)
            return {"status": "ready"}
        except TimeoutError:
            if await self._replicas.count_running():
                return {"status": "busy"}
            raise HTTPException(503, "no replica runs", {"Retry-After": "5"}) from None

    async def _post_video(self, request: Request, asked: Annotated[RenderRequest, Query()]) -> Response:
        """Send the photo as the body and the options in the query; with a run, send `clip` in the query and no body."""
        photo = await self._take_photo(request, asked)
        made = await self._try(lambda: self._replicas.render(*photo, asked.options()))
        if isinstance(made, str):
            raise HTTPException(422, made)
        return Response(made, media_type="video/mp4")

    async def _post_frames(self, request: Request, asked: Annotated[RenderRequest, Query()]) -> Response:
        """Stream the frames of `POST /videos` as JPEGs, each once it is drawn (multipart/x-mixed-replace)."""
        photo = await self._take_photo(request, asked)
        parts = self._replicas.stream(*photo, asked.options())
        if reason := await self._try(lambda: anext(parts)):
            raise HTTPException(422, reason.decode())
        return StreamingResponse(parts, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    async def _try(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask a replica, and another one if it dies."""
        for attempt in range(_RETRIES + 1):
            try:
                return await ask()
            except Exception as error:
                if self._replicas.is_full(error):
                    raise HTTPException(503, "too many requests wait: try again later", {"Retry-After": "5"}) from error
                if not self._replicas.is_lost(error) or attempt == _RETRIES:
                    raise
        raise AssertionError

    async def _take_photo(self, request: Request, asked: RenderRequest) -> tuple[bytes, str]:
        """Return the photo and its suffix, or the clip's name and an empty suffix."""
        colors = (asked.upper, asked.lower, asked.upper_to, asked.lower_to)
        if any(map(_reads_file, colors)):
            raise HTTPException(422, "a colour is written as in CSS, not as a file")
        announced = int(request.headers.get("content-length") or 0)
        if asked.clip is not None:
            if not self._knows_clips:
                raise HTTPException(422, "clip names a clip of a run's dataset, and no run renders here: send a photo")
            if announced:
                raise HTTPException(422, "got a photo and a clip, expected one of them")
            return asked.clip.encode(), ""
        with tempfile.TemporaryDirectory() as folder:
            try:
                stored = await store_upload(request.stream(), announced, Path(folder), "photo", _PICTURE)
            except UploadTooLargeError as error:
                raise HTTPException(413, str(error)) from None
            except UploadRefusedError as error:
                raise HTTPException(415, str(error)) from None
            return stored.path.read_bytes(), stored.path.suffix


_ERRORS = {
    401: "The token is missing or wrong.",
    413: "The photo is too large.",
    415: "The body is no photo.",
    422: "The photo, the action or a colour does not fit; `detail` says why.",
    503: "Too many requests wait.",
}
