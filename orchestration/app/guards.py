"""Access to the page: only browsers on this machine, from the page itself, and restrictions on the page."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OWN_SITES = frozenset({"same-origin", "none"})  # values of Sec-Fetch-Site
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class LocalOnly:
    """Refuses requests under other names than this machine's, and from other pages; adds headers that bind the page.

    A page elsewhere that has its name lead to 127.0.0.1 (DNS rebinding) says its own name as host; one that sends a
    request here says its own origin.

    Args:
        app: What is guarded.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if reason := _refusal(Headers(scope=scope)):
            await JSONResponse({"error": reason}, 403, headers=_HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, _adding_headers(send))


def _refusal(headers: Headers) -> str:
    """Return the reason for refusing a request; empty if it is accepted."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in _LOCAL and host not in _LOCAL:
        return "This page answers on 127.0.0.1 only."
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin)
        if parts.scheme != "http" or parts.netloc != host:
            return "Another page may not use this one."
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return "Another page may not use this one."
    return ""


def _adding_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return add
