"""Settings of the video server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from orchestration.runtime.ports import LAST_PORT
from posegen.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of the video server."""

    run: str = ""
    """Run of the stage video_generator or end_to_end that renders; by default the photo's own pixels are moved."""
    dataset: str = ""
    """With a run, clip dataset whose clips can be named; by default its own."""
    host: str = "127.0.0.1"
    """Address to listen on. Others than this machine's want --token-file."""
    port: int = 8000
    """Port to listen on."""
    token_file: Path | None = None
    """File with a token, which requests have to send as `Authorization: Bearer TOKEN`."""
    replicas: str = "1:4"
    """Number of rendering processes, or MIN:MAX, between which the number follows the load."""
    cpus: float = 1.0
    """CPUs of each replica."""
    gpus: float = 0.0
    """GPUs of each replica; a fraction lets several share one."""
    queue: int = 32
    """Requests that may wait; more are told to come back later (503)."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= LAST_PORT:
            raise ConfigError(f"got port {self.port}, expected 1 to {LAST_PORT}")
        if not self.fewest_and_most:
            raise ConfigError(f"got replicas {self.replicas!r}, expected a number, or MIN:MAX such as 1:4")
        if self.host not in LOOPBACK and self.token_file is None:
            raise ConfigError(f"{self.host} is reached by other machines: give a token with --token-file")
        if self.queue < 1:
            raise ConfigError(f"got queue {self.queue}, expected 1 or more")

    @property
    def fewest_and_most(self) -> tuple[int, int] | None:
        """Between how many replicas there are; None where `replicas` is neither a number nor a range."""
        match = re.fullmatch(r"([1-9]\d*)(?::([1-9]\d*))?", self.replicas)
        if match is None:
            return None
        fewest = int(match[1])
        most = int(match[2] or fewest)
        return (fewest, most) if fewest <= most else None
