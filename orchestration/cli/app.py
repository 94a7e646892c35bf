"""``posegen app``: a page for designers, on this machine."""

from __future__ import annotations

from orchestration.app.settings import AppSettings
from orchestration.cli.console import console
from orchestration.cli.parsing import Section

APP_COMMANDS = Section("In the browser")
"""The commands of this file."""


@APP_COMMANDS.command("app")
def _app(settings: AppSettings) -> None:
    """Open a page: a photo, colours and an action in, a video out.

    The page is served on this machine alone, and nothing leaves it: photos lie in a temporary folder and are deleted
    when the page is closed. Several people may use it at once.

    Examples:
        posegen app
        posegen app --port 0 --no-browser
    """
    from orchestration.app.server import serve_app

    serve_app(
        settings,
        on_ready=lambda address: console.print(f"the page: {address}; Ctrl-C stops it and deletes all", markup=False),
    )
