"""Who is there, with which radios, and what they want to hear."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proxyconn.radio import ScanWish
from proxyconn_cluster.bus.messages import Message
from proxyconn_cluster.exchange.interest import Interest


class RadioStatus(msgspec.Struct, frozen=True):
    """One radio, as its owner sees it.

    Attributes:
        id: what it is for good: the MAC address of a proxy.
        name: what people call it.
        state: how it is doing, as `RadioState` has it.
        problem: why it is not ready; None if it is.
        connectable: whether it opens links.
        slots, free: connection slots, and how many nobody has; None if it reports none.
        allocated: addresses of devices that have one.
        connecting: attempts that occupy it now.
    """

    id: str
    name: str
    state: str
    problem: str | None = None
    connectable: bool = True
    slots: int | None = None
    free: int | None = None
    allocated: tuple[str, ...] = ()
    connecting: int = 0


class Status(Message, frozen=True, kw_only=True):
    """What a member of the cluster says of itself, every few seconds and when something changes.

    In version 1.0 owners said it where programs do.

    Attributes:
        site: where it is.
        run: what tells it from an earlier run of the same name.
        number: of the message, counted up in each run: one that is late says nothing.
        lease: seconds of silence after which it has gone, and so have its links.
        owner: whether it has radios that others may use.
        hello: whether it has just come, and wants to know who is there.
        leaving: whether it goes.
        interest: what it wants to hear; None for nothing.
        scan: what it wishes of how the radios of others scan.
        whole: whether `radios` are all that it has; else those that are other ones now.
        radios: its radios.
        gone: identities of radios that it does not have any more.
    """

    OLDEST: ClassVar[int] = 1

    site: str
    run: str
    number: int
    lease: float
    owner: bool = False
    hello: bool = False
    leaving: bool = False
    interest: Interest | None = None
    scan: tuple[ScanWish, ...] = ()
    whole: bool = False
    radios: tuple[RadioStatus, ...] = ()
    gone: tuple[str, ...] = ()
