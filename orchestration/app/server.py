"""``posegen app``: the server of the page, on 127.0.0.1 alone."""

from __future__ import annotations

import asyncio
import logging
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware

from orchestration.app.guards import LocalOnly
from orchestration.app.motion_models import MotionModel, open_models
from orchestration.app.render_queue import RenderQueue, Steps
from orchestration.app.routes import ROUTES, handle_errors
from orchestration.app.sessions import SessionStore
from orchestration.app.settings import AppSettings
from orchestration.app.video_server import VideoServer, open_video_server
from orchestration.runtime.ports import take_port
from posegen.errors import PosegenError

_HOST = "127.0.0.1"
_STATIC = Path(__file__).with_name("static")
_LARGEST_REQUEST = 2**16  # bytes, but of uploads, which have limits of their own
_SWEEP_SECONDS = 60.0
_GOODBYE_SECONDS = 2  # that open connections have at the end


def create_app(models: Mapping[str, MotionModel] | None = None, server: VideoServer | None = None) -> FastAPI:
    """Return the page's application. Its sessions and its queue live as long as it is served.

    Args:
        models: Sources of actions by identifier; by default the built-in actions.
        server: Server that draws videos; by default this process draws them.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue = RenderQueue()
        sessions = SessionStore(queue)
        app.state.queue, app.state.sessions = queue, sessions
        app.state.models, app.state.server = models or open_models(()), server
        queue.submit("server", _warm_up(), kind="")
        sweeper = asyncio.create_task(_sweep(sessions))
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.to_thread(queue.close)
            sessions.close()

    app = FastAPI(
        title="posegen",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        max_body_size=_LARGEST_REQUEST,
        lifespan=lifespan,
        middleware=[Middleware(LocalOnly)],
    )
    handle_errors(app)
    app.include_router(ROUTES)
    app.mount("/", StaticFiles(directory=_STATIC, html=True))
    return app


def serve_app(settings: AppSettings, on_ready: Callable[[str], object]) -> None:
    """Serve the page until it is interrupted.

    Args:
        settings: How.
        on_ready: Called with the page's address.

    Raises:
        PosegenError: The port is taken, a run generates no motions, or the server of videos does not answer.
    """
    models = open_models(settings.actors)
    server_of_videos = open_video_server(settings.server, settings.token_file) if settings.server else None
    listener = take_port(_HOST, settings.port, "choose another --port, or --port 0")
    address = f"http://{_HOST}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        create_app(models, server_of_videos),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
        ws="none",
    )
    server = _Server(config, lambda: _announce(address, settings, on_ready))
    with listener, suppress(KeyboardInterrupt, SystemExit):  # which uvicorn raises again once it has stopped
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that reports when it answers, and breaks requests off in silence when it is stopped."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], object]):
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # a traceback of each cancelled request
        await super().shutdown(sockets)


def _announce(address: str, settings: AppSettings, on_ready: Callable[[str], object]) -> None:
    on_ready(address)
    if settings.browser:
        with suppress(webbrowser.Error):
            webbrowser.open(address)


async def _sweep(sessions: SessionStore) -> None:
    """End sessions that nobody uses."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        sessions.end_idle()


def _warm_up() -> Steps:
    """Load the networks before the first photo comes; without them, the first photo says what is missing."""
    import numpy as np

    from posegen.inference.photo import perceive_photo

    yield
    with suppress(PosegenError, OSError):
        perceive_photo(np.full((96, 64, 3), 128, np.uint8))
