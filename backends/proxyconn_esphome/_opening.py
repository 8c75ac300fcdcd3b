"""Opening a link: a slot, a turn, a request, and nothing left behind when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proxyconn.radio import (
    ErrorKind,
    LinkError,
    NotConnectedError,
    OutOfSlotsError,
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

ABANDONED_TIMEOUT = 27.0
"""Seconds to wait for attempts that were given up: the firmware ends none before its own 20 s."""

SETTLE_TIMEOUT = 3.0
"""Seconds before a slot that should be free is freed by a disconnect request."""

_LOGGER = logging.getLogger(__name__)


async def open_link(
    session: ProxySession, link: Link, address_type: int, *, with_cache: bool, timeout: float
) -> int:
    """Open a link; return the MTU in bytes that the proxy reports, 0 if it does not.

    Args:
        with_cache: whether services are known, so that the proxy need not discover them.
        timeout: seconds from the request to the link, without the waits for slot and turn.

    Raises:
        OutOfSlotsError: the proxy has no slot.
        LinkError: the link did not open, or another client has one.
        TimeoutError: no answer within `timeout`.
        RadioUnavailableError, UnsupportedError: the proxy cannot be used for this.
    """
    session.require_connectable()
    old = session.dispatcher.links.get(link.number)
    if link.address in session.attempts.opening or (old and old.is_up):
        raise LinkError(
            f"{link.label}: another client of this program is connected to it, or connecting",
            kind=ErrorKind.IN_USE,
            source=session.name,
        )
    session.attempts.begin(link.address)
    try:
        await _leave_old_link(session, link, timeout)
        await _claim_slot(session, link, timeout)
        try:
            async with _turn(session, link):
                mtu = await _request(session, link, address_type, with_cache, timeout)
                session.attempts.on_opened()
                return mtu
        finally:
            session.queue.release(link.address)
    finally:
        session.attempts.end(link.address)


async def _leave_old_link(session: ProxySession, link: Link, timeout: float) -> None:
    """Wait until the proxy no longer holds an earlier link to the address."""
    address = link.address
    if not await session.queue.until_left(address, SETTLE_TIMEOUT):
        _LOGGER.debug("%s: freeing a slot that nobody uses", link.label)
        session.send_disconnect(link.number)
        session.request_slots()
        if not await session.queue.until_left(address, timeout):
            raise LinkError(
                f"{link.label}: the proxy still holds the last link to it",
                kind=ErrorKind.TRANSIENT,
                source=session.name,
            )
    if session.ledger.has_lost(address):
        session.dispatcher.forget_aftershock(link.number)


async def _claim_slot(session: ProxySession, link: Link, timeout: float) -> None:
    if link.address in session.ledger.claims:
        return
    if not session.ledger.available:
        # The last report may have been lost: the firmware does not send one again.
        session.request_slots()
    if await session.queue.claim(link.address, min(SLOT_TIMEOUT, timeout / 2)):
        return
    raise _no_slot(session, link)


def _confirm_slot(session: ProxySession, link: Link) -> None:
    """Raise OutOfSlotsError unless the slot that was claimed is still there.

    While the client waited for its turn, other slots may have been taken by nobody knows whom, and
    a new session knows of no claims.
    """
    ledger = session.ledger
    if not (ledger.free and (link.address in ledger.claims or ledger.claim(link.address))):
        raise _no_slot(session, link)


def _no_slot(session: ProxySession, link: Link) -> OutOfSlotsError:
    slots = session.allocations()
    report = (
        f"{slots.slots - slots.free} of {slots.slots} in use by {', '.join(slots.allocated)}"
        if slots
        else "it has not reported any"
    )
    return OutOfSlotsError(
        f"{link.label}: no free connection slot: {report}",
        source=session.name,
        allocations=slots,
    )


@asynccontextmanager
async def _turn(session: ProxySession, link: Link) -> AsyncIterator[None]:
    """Be the one attempt that the proxy works on."""
    try:
        async with asyncio.timeout(TURN_TIMEOUT):
            await session.turn.acquire()
    except TimeoutError:
        raise LinkError(
            f"{link.label}: the proxy was busy opening other links for {TURN_TIMEOUT:g} s",
            kind=ErrorKind.TRANSIENT,
            source=session.name,
        ) from None
    try:
        await _others_over(session, link)
        session.require_connectable()
        _confirm_slot(session, link)
        yield
    finally:
        session.turn.release()


async def _others_over(session: ProxySession, link: Link) -> None:
    """Wait until the proxy has ended the attempts that were given up."""
    abandoned = session.attempts.abandoned
    if not await session.queue.until(lambda: not abandoned, ABANDONED_TIMEOUT):
        raise LinkError(
            f"{link.label}: the proxy has not ended the attempt to reach "
            f"{', '.join(abandoned)}, which was given up",
            kind=ErrorKind.TRANSIENT,
            source=session.name,
        )


async def _request(
    session: ProxySession, link: Link, address_type: int, with_cache: bool, timeout: float
) -> int:
    types = BluetoothDeviceRequestType
    if link.opened.done():
        # It was given up while it waited.
        return link.opened.result()
    session.dispatcher.add(link)
    try:
        link.asked_at = asyncio.get_running_loop().time()
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
    if link.state is LinkState.IDLE:
        session.dispatcher.remove(link)
        return
    session.attempts.abandon(link.address)
    try:
        link.send_disconnect()
    except RadioUnavailableError as exc:
        _LOGGER.debug("%s: the proxy drops it by itself: %s", link.label, exc)
    session.dispatcher.end(
        link, NotConnectedError(f"{link.label}: Disconnected by its client", source=session.name)
    )
