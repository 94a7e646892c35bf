"""Ports that commands listen on."""

from __future__ import annotations

import socket

from posegen.errors import ConfigError

LAST_PORT = 65535


def take_port(host: str, port: int, advice: str = "choose another --port") -> socket.socket:
    """Take a port, which is given back when the socket is closed; one that was used a moment ago will do.

    Args:
        host: Address of this machine.
        port: 0 takes a free one.
        advice: The end of the error's message.

    Raises:
        ConfigError: Something else has it, or it may not be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port} of {host} is taken or not allowed ({error.strerror}): {advice}") from error
    return listener
