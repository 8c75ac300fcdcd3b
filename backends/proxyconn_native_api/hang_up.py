"""Notices that a client has hung up while nothing is read from it.

A loop that does not read a socket does not hear of its end either.
"""

from __future__ import annotations

import select
from typing import Final, Protocol

LOOK_EVERY: Final = 0.25
"""Seconds between two looks."""


class HasDescriptor(Protocol):
    """A socket, or what asyncio shows of one."""

    def fileno(self) -> int:
        """Return its number."""
        ...


def has_hung_up(sock: HasDescriptor) -> bool:
    """Whether the other side has closed or reset a connection, whatever is still to be read of it.

    Where the system has no poll, False.
    """
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    # The reset and the loss of a connection are always told.
    poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
