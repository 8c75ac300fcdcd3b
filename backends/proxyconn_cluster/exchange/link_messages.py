"""What is asked of the holder of a link, and what it tells.

Every request may be sent again: a link is named by who asks for it, and its requests are numbered.
An answer that is not there yet is `Pending`: whoever waits asks again, and so learns soon when
nobody is there any more.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from proxyconn_cluster.bus.messages import Message
from proxyconn_cluster.exchange.failures import Failed
from proxyconn_cluster.exchange.services import Service

LinkName = Annotated[str, msgspec.Meta(max_length=128, pattern=r"^[A-Za-z0-9_-]+\Z")]
"""What a user calls a link: whoever is told one remembers it."""


class Open(Message, frozen=True, kw_only=True):
    """Open a link.

    Attributes:
        link: what the user calls it; never used twice.
        user: whose it is, for people.
        events: the subject for what happens on it.
        radio: identity of the radio.
        address, address_type: the device.
        pair: whether to pair before services are read.
        cached: whether services known from an earlier connection may do.
        left: seconds within which it must be open.
    """

    link: LinkName
    user: str
    events: str
    radio: str
    address: str
    address_type: int
    pair: bool = False
    cached: bool = False
    left: float


class Do(Message, frozen=True, kw_only=True):
    """Do something over a link.

    Attributes:
        link: which.
        number: of the request, counted from 1 on each link.
        done: requests up to this number are over for the user.
        what: name of the operation.
        handle: of the attribute, if it is about one.
        data: what to write.
        flag: with response, for a write.
        numbers: connection parameters.
        left: seconds within which it must be done.
    """

    link: LinkName
    number: int
    what: str
    done: int = 0
    handle: int = 0
    data: bytes = b""
    flag: bool = False
    numbers: tuple[int, ...] = ()
    left: float


class Device(Message, frozen=True, kw_only=True):
    """Do something about a device without a link.

    Attributes:
        user: whose wish it is, for people.
        radio: identity of the radio.
        address, address_type: the device.
        what: `unpair` or `clear_cache`.
    """

    user: str
    radio: str
    address: str
    address_type: int
    what: str


class Close(Message, frozen=True, kw_only=True):
    """Close a link, or end the attempt to open it; it will not be opened either, if that is late.

    Attributes:
        link: which.
    """

    link: LinkName


class Keep(Message, frozen=True, kw_only=True):
    """The user of links is still there.

    Attributes:
        links: its links, each with the number of the last event that has come.
    """

    links: dict[str, int]


class Reply(Message, frozen=True, kw_only=True):
    """An answer to any of these.

    Attributes:
        pending: whether it is not known yet.
        failed: what went wrong.
        data: what was read.
        flag: what `clear_cache` returns.
        mtu: ATT MTU in bytes, of a link that is open.
        services: its services.
        unknown: links of a `Keep` that are no links here.
        ended: how some of them have ended, where that is known.
    """

    pending: bool = False
    failed: Failed | None = None
    data: bytes = b""
    flag: bool = False
    mtu: int = 0
    services: tuple[Service, ...] = ()
    unknown: tuple[str, ...] = ()
    ended: dict[str, str] = msgspec.field(default_factory=dict)


class Event(msgspec.Struct, frozen=True):
    """Something happened on a link.

    Attributes:
        link: which.
        number: of the event, counted from 1 on each link.
        handle: of the characteristic that has notified; 0 for the end of the link.
        data: what was notified.
        why: how the link ended.
    """

    link: str
    number: int
    handle: int = 0
    data: bytes = b""
    why: str = ""


class Events(Message, frozen=True, kw_only=True):
    """Events, in order.

    Attributes:
        events: of any links of one user.
    """

    events: tuple[Event, ...]
