"""Example people for who has no photo at hand: the studio's."""

from __future__ import annotations

import secrets
from pathlib import Path

from orchestration.app.render_queue import Steps
from orchestration.app.uploads import StoredFile
from posegen.errors import ConfigError
from posegen.io.images import write_picture
from posegen.synthetic.studio import RenderSettings, render_action

EXAMPLE_PEOPLE = ("bruno", "grace", "imani")
"""Their names."""
_SIZE = (768, 512)


def write_example(name: str, folder: Path) -> Steps:
    """Render a photo of one of the studio's people into a folder; the result is the file."""
    if name not in EXAMPLE_PEOPLE:
        raise ConfigError("There is no such example.")
    clip = render_action(name, "wave_one_hand", 8, RenderSettings(size=_SIZE))
    yield
    token = secrets.token_urlsafe(16)
    file = StoredFile(token, folder / f"{token}.png", "picture", f"{name}.png")
    write_picture(file.path, clip.images[0])
    return file
