"""What a link needs of the session with its proxy."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.message import Message

from proxyconn.radio import Allocations


class Sender(Protocol):
    """What a link needs of the session with its proxy."""

    @property
    def name(self) -> str:
        """The proxy's name."""
        ...

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError."""
        ...

    def count_outstanding(self, change: int) -> None:
        """Take note that a reply is waited for (1), or no more (-1)."""
        ...

    def request_slots(self) -> None:
        """Ask for a slot report. Raises RadioUnavailableError."""
        ...

    def allocations(self) -> Allocations | None:
        """Return the last slot report."""
        ...
