"""What an observer of a virtual proxy is told."""

from __future__ import annotations

from dataclasses import dataclass

from proxyconn_virtual.radio import LinkParameters


@dataclass(frozen=True, slots=True)
class ProxyEvent:
    """Base of all events; `proxy` is the proxy's name."""

    proxy: str


@dataclass(frozen=True, slots=True)
class ClientConnected(ProxyEvent):
    """An API client said Hello."""

    client_info: str


@dataclass(frozen=True, slots=True)
class ClientGone(ProxyEvent):
    """The session of an API client that had said Hello is over."""

    client_info: str


@dataclass(frozen=True, slots=True)
class Subscribed(ProxyEvent):
    """A client became the subscriber."""

    client_info: str


@dataclass(frozen=True, slots=True)
class Unsubscribed(ProxyEvent):
    """The subscriber is gone, unsubscribed, or was replaced."""

    client_info: str


@dataclass(frozen=True, slots=True)
class DeviceEvent(ProxyEvent):
    """Base of the events about one device; `address` is six colon-separated hex octets."""

    address: str


@dataclass(frozen=True, slots=True)
class Connecting(DeviceEvent):
    """The radio begins to open a link."""


@dataclass(frozen=True, slots=True)
class Connected(DeviceEvent):
    """A link is up; `slot` counts from 0."""

    slot: int


@dataclass(frozen=True, slots=True)
class OpenFailed(DeviceEvent):
    """No link was opened; `reason` as in OPEN_EVT."""

    reason: int


@dataclass(frozen=True, slots=True)
class Disconnected(DeviceEvent):
    """A link is gone; `reason` is 0 when the proxy closed it, else the HCI reason."""

    reason: int


@dataclass(frozen=True, slots=True)
class Refused(DeviceEvent):
    """A connect request found no slot."""


@dataclass(frozen=True, slots=True)
class ParametersSet(DeviceEvent):
    """Other connection parameters were asked for."""

    parameters: LinkParameters


@dataclass(frozen=True, slots=True)
class Paired(DeviceEvent):
    """The link is paired."""


@dataclass(frozen=True, slots=True)
class PairingFailed(DeviceEvent):
    """Pairing failed; `code` as in message 85."""

    code: int
