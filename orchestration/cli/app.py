"""``posegen app, serve``: a page for designers on this machine, and videos for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.app.settings import AppSettings
from orchestration.cli.console import console
from orchestration.cli.parsing import Section
from orchestration.serving.settings import ServeSettings

if TYPE_CHECKING:
    from orchestration.serving.serve import Served

APP_COMMANDS = Section("In the browser")
"""The commands of this file."""


@APP_COMMANDS.command("app")
def _app(settings: AppSettings) -> None:
    """Open a page: a photo, colours and an action in, a video out.

    Only this machine can open the page, and without --server nothing leaves the machine. Photos lie in a temporary
    folder and are deleted when the page is closed. Several people can use it at once.

    Examples:
        posegen app
        posegen app --port 0 --no-browser
        posegen app --actors runs/actor --server http://gpu-box:8000 --token-file token
    """
    from orchestration.app.server import serve_app

    serve_app(
        settings,
        on_ready=lambda address: console.print(
            f"the page: {address}; Ctrl-C stops it and deletes the uploads", markup=False
        ),
    )


@APP_COMMANDS.command("serve")
def _serve(settings: ServeSettings) -> None:
    """Serve videos to programs by HTTP, on Ray Serve.

    POST /videos takes a photo and returns an MP4, POST /frames streams its frames as they are drawn, and /openapi.json
    describes both. The number of replicas follows the load. If a replica dies, another one takes its request.

    Examples:
        posegen serve
        posegen serve --run runs/video --replicas 2:8 --gpus 0.5 --host 0.0.0.0 --token-file token
    """
    from orchestration.serving.serve import serve_videos

    serve_videos(settings, _print_served)


def _print_served(served: Served) -> None:
    console.print(f"videos: {served.address}/videos, described at {served.address}/openapi.json", markup=False)
    if served.figures:
        console.print(f"figures for Prometheus: {served.figures}", markup=False)
    console.print("Ctrl-C stops it", markup=False)
