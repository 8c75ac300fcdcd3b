"""What the sessions of a server need of whom they serve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from proxyconn_native_api.frames import Frames
from proxyconn_native_api.intake import Intake
from proxyconn_proto import bluetooth_proxy_pb2 as pb

SessionT = TypeVar("SessionT", contravariant=True)


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
    def max_unproven(self) -> int | None:
        """Connections without a Hello that are served at once; None for as many as all others.

        With one more, the oldest of the host that has most of them ends.
        """
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


class SessionHost(Protocol[SessionT]):
    """What sessions need of whom they serve."""

    @property
    def name(self) -> str:
        """Node name."""
        ...

    @property
    def profile(self) -> Manners:
        """How it behaves."""
        ...

    @property
    def timings(self) -> Clocks:
        """Its clocks."""
        ...

    @property
    def send_buffer(self) -> int | None:
        """Bytes of each client's send buffer; None for the system's."""
        ...

    @property
    def intake(self) -> Intake | None:
        """How slowly it takes what clients send; None for as fast as it comes."""
        ...

    @property
    def injectors(self) -> Interference:
        """What changes messages on their way."""
        ...

    @property
    def password(self) -> str | None:
        """What clients must say before anything but who they are; None for nothing."""
        ...

    def entities(self) -> Sequence[tuple[Message, Message | None]]:
        """Return what each sensor and button of the board is, and what it says now, if anything."""
        ...

    def frames(self) -> Frames:
        """Return the framing of a new connection."""
        ...

    def device_info(self) -> pb.DeviceInfoResponse:
        """Return message 10."""
        ...

    def count_received(self, name: str) -> None:
        """Count a message that came in."""

    def session_opened(self, session: SessionT) -> None:
        """Hello is done."""

    def session_closed(self, session: SessionT) -> None:
        """The session is over; it may not have said Hello."""

    def handle(self, session: SessionT, message: Message) -> None:
        """Take a message that is not about the session itself."""
