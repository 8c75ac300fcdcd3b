"""TCP ports: the one that proxies call, and what is none."""

from __future__ import annotations

MAX_PORT = 65535

LISTEN_PORT = 6054
"""TCP port that proxies call by themselves, unless their YAML says another one."""


def listen_port(listen: bool | int) -> int | None:
    """Return the port to listen on; None for none. Raises ValueError if it is no port."""
    if isinstance(listen, bool):
        return LISTEN_PORT if listen else None
    if not 1 <= listen <= MAX_PORT:
        raise ValueError(f"listen={listen} is no TCP port; give 1 to {MAX_PORT}, or True")
    return listen
