"""Connecting: with cache and without, refused, and with the stack's events out of order."""

from __future__ import annotations

from asyncio import sleep
from typing import Final

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.firmware.case import CACHED, DISCONNECT, UNCACHED, A, B, C, D, Stage, X


async def plain_cache(s: Stage) -> None:
    """Connect with cache, and again, and disconnect."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    await s.services(A)
    await s.ask(A, CACHED, 0.1)
    await s.ask(A, DISCONNECT, 0.3)


async def full(s: Stage) -> None:
    """More devices than slots."""
    for address in (A, B, C, D):
        await s.device(address)
    for address in (A, B, C):
        await s.ask(address, CACHED, 0.3)
    await s.ask(D, CACHED, 0.2)
    await s.ask(X, DISCONNECT, 0.2)
    await s.ask(B, DISCONNECT, 0.3)
    await s.ask(D, CACHED, 0.3)
    await s.ask(C, CACHED, 0.2)


async def open_fails(s: Stage) -> None:
    """Attempts that fail for several reasons of the radio."""
    for index, reason in enumerate((0x85, 0x3E, 8, 0x100, -1)):
        await s.device(A + index, open=0x85, open_reason=reason)
        await s.ask(A + index, UNCACHED, 0.4)


async def open_error_sync(s: Stage) -> None:
    """The stack refuses the open call."""
    await s.device(A, open_error=0x80)
    await s.ask(A, UNCACHED, 0.4)


async def open_event_lost(s: Stage) -> None:
    """Uncached, the open event is lost but not the connect event."""
    await s.device(A, open_event=0)
    await s.device(B)
    await s.ask(A, UNCACHED, 0.5)
    await s.ask(B, UNCACHED, 2)
    await s.ask(A, DISCONNECT, 1.5)


async def open_lost_cache(s: Stage) -> None:
    """With cache, the open event is lost but not the connect event."""
    await s.device(A, open_event=0)
    await s.device(B)
    await s.ask(A, CACHED, 0.5)
    await s.ask(B, CACHED, 3)
    await s.ask(A, DISCONNECT, 11.5)


async def all_lost(s: Stage) -> None:
    """No event of the attempt ever comes, until a disconnect."""
    await s.device(A, open="never", open_lost=1)
    await s.device(B)
    await s.ask(A, UNCACHED, 0.5)
    await s.ask(B, UNCACHED, 25)
    await s.ask(A, DISCONNECT, 12)


async def queue_starves(s: Stage) -> None:
    """A device waits behind one that never answers."""
    await s.device(A, open="never", open_limit=4000)
    await s.device(B)
    await s.ask(A, UNCACHED, 0.2)
    await s.ask(B, UNCACHED, 5)


async def mtu_refused(s: Stage) -> None:
    """The exchange of the MTU is refused by the stack, and by the peripheral."""
    await s.device(A, mtu_error=-1)
    await s.ask(A, UNCACHED, 0.4)
    await s.device(B, mtu=0)
    await s.ask(B, UNCACHED, 0.4)


async def mtu_silent(s: Stage) -> None:
    """The exchange of the MTU is never answered."""
    await s.device(A, mtu=-1)
    await s.ask(A, UNCACHED, 2)
    await s.ask(A, DISCONNECT, 0.4)


async def mtu_before_open(s: Stage) -> None:
    """Uncached, MTU and search are over before the open event."""
    await s.device(A, open_gap=150, mtu_ms=20)
    await s.ask(A, UNCACHED, 1.5)
    await s.ask(A, UNCACHED, 0.2)
    await s.read(A, 3)
    await s.ask(A, DISCONNECT, 0.3)


async def mtu_before_open_cache(s: Stage) -> None:
    """With cache, the MTU is known before the open event."""
    await s.device(A, open_gap=150, mtu_ms=20)
    await s.ask(A, CACHED, 1.5)


async def mtu_open_search(s: Stage) -> None:
    """The open event comes between the MTU and the end of the search: never connected."""
    await s.device(A, open_gap=60, mtu_ms=20, search_ms=200)
    await s.device(B)
    await s.ask(A, UNCACHED, 3)
    await s.ask(B, UNCACHED, 1)
    await s.ask(A, UNCACHED, 0.2)
    await s.services(A, 0.5)
    await s.ask(A, DISCONNECT, 0.3)


async def search_before_mtu(s: Stage) -> None:
    """The search is over before the MTU is known, once well and once not."""
    await s.device(A, search_ms=20, mtu_ms=300)
    await s.ask(A, UNCACHED, 1)
    await s.device(B, search=0x81, mtu_ms=500, search_ms=20)
    await s.ask(B, UNCACHED, 1)


async def search_silent(s: Stage) -> None:
    """The search never ends."""
    await s.device(A, search=-1)
    await s.ask(A, UNCACHED, 2)
    await s.ask(A, UNCACHED, 0.2)
    await s.read(A, 3)
    await s.ask(A, DISCONNECT, 0.4)


async def discovery_fails(s: Stage) -> None:
    """The search ends with an error."""
    await s.device(A, search=0x81)
    await s.ask(A, UNCACHED, 0.6)


async def discovery_empty(s: Stage) -> None:
    """The search finds nothing."""
    await s.device(A, ())
    await s.ask(A, UNCACHED, 0.4)
    await s.services(A, 0.3)


async def double_connect(s: Stage) -> None:
    """A second request while the first is under way."""
    await s.device(A, open_ms=300)
    await s.ask(A, UNCACHED, 0.1)
    await s.ask(A, UNCACHED, 0.8)


async def no_address_type(s: Stage) -> None:
    """A request without address type reserves its slot."""
    await s.device(A)
    s.wire.ask(A, UNCACHED, typed=False)
    await sleep(0.2)
    await s.ask(A, DISCONNECT, 0.2)
    s.wire.ask(A, UNCACHED, typed=False)
    await sleep(0.1)
    await s.ask(A, UNCACHED, 0.4)


async def v1_and_unknown(s: Stage) -> None:
    """A request of the oldest kind, one of no kind, and the capabilities."""
    await s.ask(A, 0, 0.1)
    await s.ask(A, 9, 0.1)
    await s.send(pb.DeviceCapabilitiesRequest(), 0.2)


async def same_device_two_slots(s: Stage) -> None:
    """A device on the second slot asks again once the first is free."""
    await s.device(A)
    await s.device(B)
    await s.ask(A, CACHED, 0.3)
    await s.ask(B, CACHED, 0.3)
    await s.ask(A, DISCONNECT, 0.3)
    s.wire.mark()
    await s.ask(B, CACHED, 0.3)


STEPS: Final = (
    plain_cache,
    full,
    open_fails,
    open_error_sync,
    open_event_lost,
    open_lost_cache,
    all_lost,
    queue_starves,
    mtu_refused,
    mtu_silent,
    mtu_before_open,
    mtu_before_open_cache,
    mtu_open_search,
    search_before_mtu,
    search_silent,
    discovery_fails,
    discovery_empty,
    double_connect,
    no_address_type,
    v1_and_unknown,
    same_device_two_slots,
)
