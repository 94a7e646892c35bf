"""``posegen serve``: videos for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.cli.app import APP_COMMANDS
from orchestration.cli.console import console
from orchestration.serving.settings import ServeSettings

if TYPE_CHECKING:
    from orchestration.serving.serve import Served


@APP_COMMANDS.command("serve")
def _serve(settings: ServeSettings) -> None:
    """Serve videos to programs by HTTP, on Ray Serve.

    POST /videos takes a photo and gives an MP4, POST /frames gives its frames as they are drawn, and /openapi.json
    describes both. Replicas follow the load. A request whose replica dies is asked of another one.

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
