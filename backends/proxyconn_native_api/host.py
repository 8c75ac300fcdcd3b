"""What the sessions of a server need of whom they serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from proxyconn_native_api.frames import Frames
from proxyconn_native_api.intake import Intake
from proxyconn_native_api.manners import Clocks, Interference, Manners
from proxyconn_proto import bluetooth_proxy_pb2 as pb

SessionT = TypeVar("SessionT", contravariant=True)


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
