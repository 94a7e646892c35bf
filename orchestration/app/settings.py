"""Settings of the page's server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.runtime.ports import LAST_PORT
from posegen.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Settings of the page's server."""

    port: int = 8765
    """Port on 127.0.0.1; 0 takes a free one. Other machines cannot reach it."""
    actors: tuple[str, ...] = ()
    """Runs of actor or motion_diffusion whose actions the page offers beside the built-in ones."""
    server: str = ""
    """Address of a `posegen serve` that draws the videos, such as http://gpu-box:8000; by default this process draws.
    Photos are then sent there."""
    token_file: Path | None = None
    """File with the server's token."""
    browser: bool = True
    """Open the page in the browser; without it, the address is printed alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= LAST_PORT:
            raise ConfigError(f"got port {self.port}, expected 0 to {LAST_PORT}")
        if self.server and not self.server.startswith(("http://", "https://")):
            raise ConfigError(f"got server {self.server!r}, expected an address such as http://gpu-box:8000")
        if self.token_file and not self.server:
            raise ConfigError("--token-file is the token of a --server: give its address, too")
