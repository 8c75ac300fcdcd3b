"""The manners of a server of the native API: what may differ from server to server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from google.protobuf.message import Message


class Manners(Protocol):
    """How a server behaves, as far as it is not about Bluetooth."""

    @property
    def version(self) -> str:
        """What Hello says about the server."""
        ...

    @property
    def api_minor(self) -> int:
        """Minor of the native API version 1.x that Hello answers."""
        ...

    @property
    def password_login(self) -> bool:
        """Whether message 3 is answered with message 4."""
        ...

    @property
    def max_clients(self) -> int:
        """Connections that are served at once; one more is closed without a word."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes that may wait for a client before the socket counts as full."""
        ...

    @property
    def hangs_up_on_slow_clients(self) -> bool:
        """Whether a client is hung up on that leaves more unread, instead of losing messages."""
        ...


class Clocks(Protocol):
    """The times of a session in seconds."""

    @property
    def hello(self) -> float:
        """From accept to the end of Hello."""
        ...

    @property
    def ping_after(self) -> float:
        """Without inbound traffic until a Ping is sent."""
        ...

    @property
    def drop_after(self) -> float:
        """Without inbound traffic until the client is dropped."""
        ...


class Interference(Protocol):
    """What changes the messages of a session on their way; falsy when nothing does."""

    def __len__(self) -> int: ...

    def accepts(self) -> bool:
        """Whether a new connection is served; if not, it is closed without a word."""
        ...

    def passed(self, message: Message, *, outgoing: bool) -> Iterable[tuple[Message, float]]:
        """Return what goes on in place of a message, each with its delay in seconds."""
        ...
