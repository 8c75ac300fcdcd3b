"""Opening a link: a slot, a turn, a request, and nothing left behind when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bluetooth_data_tools import mac_to_int

from proxyconn.radio import (
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioError,
    RadioUnavailableError,
)

from ._link import Link
from ._link_state import LinkEvent, LinkState
from ._messages import BluetoothDeviceRequest, BluetoothDeviceRequestType

if TYPE_CHECKING:
    from ._session import ProxySession

SLOT_TIMEOUT = 2.0
"""Seconds an attempt waits for a slot before it says that there is none."""

TURN_TIMEOUT = 45.0
"""Seconds to wait while the proxy opens other links: it opens one at a time, in up to 20 s each."""

ABANDONED_TIMEOUT = 10.0
"""Seconds to wait for an attempt that was given up: the firmware's timer for a lost CLOSE_EVT."""

SETTLE_TIMEOUT = 3.0
"""Seconds before a slot that should be free is freed by a disconnect request."""

_LOGGER = logging.getLogger(__name__)


async def open_link(
    session: ProxySession,
    address: str,
    address_type: int,
    *,
    with_cache: bool,
    timeout: float,
    on_down: Callable[[RadioError], None],
) -> tuple[Link, int]:
    """Open a link; return it and the MTU in bytes that the proxy reports, 0 if it does not.

    Args:
        with_cache: whether services are known, so that the proxy need not discover them.
        timeout: seconds from the request to the link, without the waits for slot and turn.
        on_down: called when the link goes down after it was ready.

    Raises:
        OutOfSlotsError: the proxy has no slot.
        LinkError: the link did not open.
        TimeoutError: no answer within `timeout`.
        RadioUnavailableError, UnsupportedError: the proxy cannot be used for this.
    """
    session.require_connectable()
    await _leave_old_link(session, address, timeout)
    await _claim_slot(session, address)
    try:
        async with _turn(session, address):
            link = Link(session, address, mac_to_int(address), on_down)
            return link, await _request(session, link, address_type, with_cache, timeout)
    finally:
        session.queue.release(address)


async def _leave_old_link(session: ProxySession, address: str, timeout: float) -> None:
    """Wait until the proxy no longer holds an earlier link to the address."""
    old = session.dispatcher.links.get(mac_to_int(address))
    if old and old.is_up:
        raise LinkError(
            f"{old.label}: another client of this program is connected to it",
            source=session.name,
        )
    if not await session.queue.until_left(address, SETTLE_TIMEOUT):
        _LOGGER.debug("%s [%s]: freeing a slot that nobody uses", session.name, address)
        session.send_disconnect(mac_to_int(address))
        session.request_slots()
        if not await session.queue.until_left(address, timeout):
            raise LinkError(
                f"{session.name} [{address}]: the proxy still holds the last link to it",
                kind=ErrorKind.TRANSIENT,
                source=session.name,
            )
    if session.ledger.has_lost(address):
        session.dispatcher.forget_aftershock(mac_to_int(address))


async def _claim_slot(session: ProxySession, address: str) -> None:
    if not session.ledger.available:
        # The last report may have been lost: the firmware does not send one again.
        session.request_slots()
    if await session.queue.claim(address, SLOT_TIMEOUT):
        return
    slots = session.ledger.allocations()
    report = (
        f"{slots.slots - slots.free} of {slots.slots} in use by {', '.join(slots.allocated)}"
        if slots
        else "it has not reported any"
    )
    raise OutOfSlotsError(
        f"{session.name} [{address}]: no free connection slot: {report}", source=session.name
    )


@asynccontextmanager
async def _turn(session: ProxySession, address: str) -> AsyncIterator[None]:
    """Be the one attempt that the proxy works on."""
    try:
        async with asyncio.timeout(TURN_TIMEOUT):
            await session.turn.acquire()
    except TimeoutError:
        raise LinkError(
            f"{session.name} [{address}]: the proxy was busy opening other links for "
            f"{TURN_TIMEOUT:g} s",
            kind=ErrorKind.TRANSIENT,
            source=session.name,
        ) from None
    try:
        for abandoned in list(session.abandoned):
            await session.queue.until_left(abandoned, ABANDONED_TIMEOUT)
        session.require_connectable()
        yield
    finally:
        session.turn.release()


async def _request(
    session: ProxySession, link: Link, address_type: int, with_cache: bool, timeout: float
) -> int:
    types = BluetoothDeviceRequestType
    session.dispatcher.add(link)
    try:
        link.move(LinkEvent.CONNECT_SENT)
        session.send(
            BluetoothDeviceRequest(
                address=link.number,
                request_type=(
                    types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
                    if with_cache
                    else types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
                ),
                has_address_type=True,
                address_type=address_type,
            )
        )
        try:
            async with asyncio.timeout(timeout):
                return await link.opened
        except TimeoutError:
            raise TimeoutError(f"{link.label}: no link within {timeout:g} s") from None
    except BaseException:
        abandon(session, link)
        raise


def abandon(session: ProxySession, link: Link) -> None:
    """Let go of a link that its opener does not want any more, whatever its state."""
    session.dispatcher.remove(link)
    if link.state is LinkState.IDLE:
        return
    session.abandoned.add(link.address)
    try:
        link.send_disconnect()
    except RadioUnavailableError as exc:
        _LOGGER.debug("%s: the proxy drops it by itself: %s", link.label, exc)
