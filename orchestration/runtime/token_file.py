"""Files with the token of a server."""

from __future__ import annotations

from pathlib import Path

from posegen.errors import ConfigError

_SHORTEST_TOKEN = 16  # characters


def read_token(path: Path | None) -> str:
    """Read a token; empty without a file. Raises ConfigError if the file cannot be read or the token is too short."""
    if path is None:
        return ""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token's file cannot be read: {error}") from None
    if len(token) < _SHORTEST_TOKEN:
        raise ConfigError(f"{path} has {len(token)} letters, expected a token of {_SHORTEST_TOKEN} or more")
    return token
