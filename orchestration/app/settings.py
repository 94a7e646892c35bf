"""Settings of the page's server."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.runtime.ports import LAST_PORT
from posegen.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Settings of the page's server."""

    port: int = 8765
    """Port on 127.0.0.1; 0 takes a free one. Other machines cannot reach it."""
    no_browser: bool = False
    """Print the address, and open no browser."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= LAST_PORT:
            raise ConfigError(f"got port {self.port}, expected 0 to {LAST_PORT}")
