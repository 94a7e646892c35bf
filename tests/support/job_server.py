"""A job server that answers as Ray's does, on a real port, and whose connections break when a test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, web

TOKEN = "a-token-of-thirty-two-characters"


@dataclass
class JobServer:
    """One job, which writes its log while somebody looks."""

    views: list[list[str]]
    """What each view of the log tells before its connection breaks; the last one ends with the job."""
    end: dict[str, Any] = field(default_factory=lambda: {"status": "SUCCEEDED", "driver_exit_code": 0})
    unreachable: int = 0
    """How many requests after the first broken view find nobody."""
    unseen: str = ""
    """What the job writes after the last view."""
    closes_politely: bool = False
    """Views end as those of a dashboard that is restarted, and not in the middle of a word."""
    address: str = ""
    package: bytes = b""
    submitted: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    num_views: int = 0

    @property
    def log(self) -> str:
        """All that the job writes."""
        return "".join(self.views[-1]) + self.unseen

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/version", self.version),
            web.get("/api/packages/gcs/{name}", self.find_package),
            web.put("/api/packages/gcs/{name}", self.take_package),
            web.post("/api/jobs/", self.submit),
            web.get("/api/jobs/{job}", self.tell),
            web.get("/api/jobs/{job}/logs", self.tell_log),
            web.get("/api/jobs/{job}/logs/tail", self.tail),
        ]

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        token = request.headers.get("Authorization", "")
        self.tokens.add(token)
        if token != f"Bearer {TOKEN}":
            return web.Response(status=403 if token else 401, text="Forbidden")
        if self.num_views and self.unreachable:
            self.unreachable -= 1
            request.transport.abort()
        return await handler(request)

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0", "ray_commit": ""})

    async def find_package(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.package else 404)

    async def take_package(self, request: web.Request) -> web.Response:
        self.package = await request.read()
        return web.Response()

    async def submit(self, request: web.Request) -> web.Response:
        self.submitted.append(await request.json())
        job = self.submitted[-1]["submission_id"]
        return web.json_response({"job_id": job, "submission_id": job})

    async def tell(self, request: web.Request) -> web.Response:
        if request.match_info["job"] == "unknown":
            return web.Response(status=404, text="Job unknown does not exist")
        over = self.num_views >= len(self.views)
        state = {"type": "SUBMISSION", "entrypoint": "posegen", **(self.end if over else {"status": "RUNNING"})}
        return web.json_response(state)

    async def tell_log(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": self.log})

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        pieces = self.views[self.num_views]
        self.num_views += 1
        for piece in pieces:
            await socket.send_str(piece)
        if self.num_views < len(self.views):
            if self.closes_politely:
                await socket.close(code=WSCloseCode.GOING_AWAY)
            else:
                await asyncio.sleep(0.05)  # what was sent arrives
                request.transport.abort()
        return socket


@contextmanager
def serve(server: JobServer) -> Iterator[JobServer]:
    """Let a server listen on a free port of this machine, in a thread."""
    loop = asyncio.new_event_loop()
    app = web.Application(middlewares=[server.guard])
    app.add_routes(server.routes())
    runner = web.AppRunner(app)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.address = "http://127.0.0.1:{1}".format(*runner.addresses[0])

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
