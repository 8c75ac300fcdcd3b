"""Opening a link: a slot, a turn, a request, and nothing left behind when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from proxyconn.radio import (
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioUnavailableError,
)
from proxyconn_esphome.link.connecting_proxy import ConnectingProxy
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.link_ends import closed_by_client
from proxyconn_esphome.link.states import LinkEvent, LinkState
from proxyconn_esphome.wire.messages import BluetoothDeviceRequest, BluetoothDeviceRequestType

SLOT_TIMEOUT = 2.0
"""Seconds an attempt waits for a slot before it says that there is none."""

TURN_TIMEOUT = 45.0
"""Seconds to wait while the proxy opens other links: it opens one at a time, in up to 20 s each."""

ABANDONED_TIMEOUT = 27.0
"""Seconds to wait for attempts that were given up: the firmware ends none before its own 20 s."""

SETTLE_TIMEOUT = 3.0
"""Seconds before a slot that should be free is freed by a disconnect request."""

REPORT_TIME = 1.0
"""Seconds after which a proxy has reported the slot that a request took, or refused it: it does so
at once, to whoever has the subscription."""

TAKE_TIMEOUT = 3.0
"""Seconds for a proxy to say that a link which it has is up: it does so at once."""

DYING_TIME = 0.2
"""Seconds within which the end is told of a link that the proxy takes for one that is up, though
its device has gone: between two events of the stack (bluetooth_connection.cpp, ESPHome 2026.8)."""

WITH_CACHE = BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
WITHOUT_CACHE = BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
"""The requests for a link to a device whose services are known here, and for one to any other."""

_LOGGER = logging.getLogger(__name__)


async def open_link(
    proxy: ConnectingProxy, link: Link, address_type: int, *, with_cache: bool, timeout: float
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
    proxy.require_connectable()
    old = proxy.dispatcher.links.get(link.number)
    if link.address in proxy.attempts.opening or (old and old.is_up):
        raise LinkError(
            f"{link.label}: another client of this program is connected to it, or connecting",
            kind=ErrorKind.IN_USE,
            source=proxy.name,
        )
    proxy.attempts.begin(link.address)
    try:
        if with_cache and link.address in proxy.ledger.inherited:
            return await _take_over(proxy, link, address_type, min(timeout, TAKE_TIMEOUT))
        await _leave_old_link(proxy, link, timeout)
        await _claim_slot(proxy, link, timeout)
        try:
            return await _open_in_turn(proxy, link, address_type, with_cache, timeout)
        finally:
            proxy.queue.release(link.address)
    finally:
        proxy.attempts.end(link.address)


async def _take_over(proxy: ConnectingProxy, link: Link, address_type: int, timeout: float) -> int:
    """Have a link that the proxy holds from before; whatever else it opens need not be waited for.

    Its services were told once, and are not told again: without a table of them it is of no use.
    """
    link.listed = link.inherited = True
    try:
        return await _request(proxy, link, address_type, True, timeout)
    except TimeoutError:
        raise LinkError(
            f"{link.label}: the proxy holds a link from before that does not answer; it was ended",
            kind=ErrorKind.TRANSIENT,
            source=proxy.name,
        ) from None


async def _leave_old_link(proxy: ConnectingProxy, link: Link, timeout: float) -> None:
    """Wait until the proxy no longer holds an earlier link to the address."""
    address = link.address
    if owner := proxy.left.foreign.get(address):
        if not await proxy.queue.until_left(address, timeout):
            raise LinkError(
                f"{link.label}: the proxy holds a link to it that is probably of {owner}, and is "
                "left alone; end it there",
                kind=ErrorKind.IN_USE,
                source=proxy.name,
            )
    elif address in proxy.ledger.inherited or not await proxy.queue.until_left(
        address, SETTLE_TIMEOUT
    ):
        _LOGGER.debug("%s: freeing a slot that nobody uses", link.label)
        proxy.send_disconnect(link.number)
        proxy.request_slots()
        if not await proxy.queue.until_left(address, timeout):
            raise LinkError(
                f"{link.label}: the proxy still holds the last link to it",
                kind=ErrorKind.TRANSIENT,
                source=proxy.name,
            )
    if proxy.ledger.has_lost(address):
        proxy.dispatcher.second_notices.forget(link.number)


async def _claim_slot(proxy: ConnectingProxy, link: Link, timeout: float) -> None:
    if link.address in proxy.ledger.claims:
        return
    if not proxy.ledger.available:
        # The last report may have been lost: the firmware does not send one again.
        proxy.request_slots()
    if await proxy.queue.claim(link.address, min(SLOT_TIMEOUT, timeout / 2)):
        return
    raise _no_slot(proxy, link)


def _confirm_slot(proxy: ConnectingProxy, link: Link) -> None:
    """Raise OutOfSlotsError unless the slot that was claimed is still there.

    While the client waited for its turn, other slots may have been taken by nobody knows whom, and
    a new session knows of no claims.
    """
    ledger = proxy.ledger
    if not (ledger.free and (link.address in ledger.claims or ledger.claim(link.address))):
        raise _no_slot(proxy, link)


def _no_slot(proxy: ConnectingProxy, link: Link) -> OutOfSlotsError:
    slots = proxy.allocations()
    report = (
        f"{slots.slots - slots.free} of {slots.slots} in use by {', '.join(slots.allocated)}"
        if slots
        else "it has not reported any"
    )
    return OutOfSlotsError(
        f"{link.label}: no free connection slot: {report}",
        source=proxy.name,
        allocations=slots,
    )


async def _open_in_turn(
    proxy: ConnectingProxy, link: Link, address_type: int, with_cache: bool, timeout: float
) -> int:
    """Open a link as the one attempt that the proxy works on; return what `_request` does."""
    try:
        await proxy.turn.take(TURN_TIMEOUT)
    except TimeoutError:
        raise LinkError(
            f"{link.label}: the proxy was busy opening other links for {TURN_TIMEOUT:g} s",
            kind=ErrorKind.TRANSIENT,
            source=proxy.name,
        ) from None
    try:
        await _others_over(proxy, link)
        proxy.require_connectable()
        _confirm_slot(proxy, link)
        mtu = await _request(proxy, link, address_type, with_cache, timeout)
        proxy.attempts.on_opened()
        return mtu
    finally:
        proxy.turn.release()


async def _others_over(proxy: ConnectingProxy, link: Link) -> None:
    """Wait until the proxy has ended the attempts that were given up."""
    abandoned = proxy.attempts.abandoned
    if abandoned and not await proxy.queue.until(lambda: not abandoned, ABANDONED_TIMEOUT):
        raise LinkError(
            f"{link.label}: the proxy has not ended the attempt to reach "
            f"{', '.join(abandoned)}, which was given up",
            kind=ErrorKind.TRANSIENT,
            source=proxy.name,
        )


async def _request(
    proxy: ConnectingProxy, link: Link, address_type: int, with_cache: bool, timeout: float
) -> int:
    if link.opened.done():
        # It was given up while it waited.
        return link.opened.result()
    proxy.dispatcher.add(link)
    try:
        link.asked_at = asyncio.get_running_loop().time()
        proxy.left.asking(link.address)
        link.move(LinkEvent.CONNECT_SENT)
        proxy.send(
            BluetoothDeviceRequest(
                address=link.number,
                request_type=WITH_CACHE if with_cache else WITHOUT_CACHE,
                has_address_type=True,
                address_type=address_type,
            )
        )
        try:
            mtu = await _opened(proxy, link, timeout)
        except TimeoutError:
            raise TimeoutError(f"{link.label}: no link within {round(timeout, 1):g} s") from None
        await _outlive(link, with_cache and proxy.ledger.complete)
        return mtu
    except BaseException:
        abandon(proxy, link)
        raise


async def _opened(proxy: ConnectingProxy, link: Link, timeout: float) -> int:
    """Wait for a link to come up; find out who is told of it if nothing is reported to us.

    Raises:
        TimeoutError: it is not up within `timeout` seconds.
        RadioError: it has failed.
    """
    await asyncio.wait((link.opened,), timeout=min(timeout, REPORT_TIME))
    if not link.opened.done():
        if timeout > REPORT_TIME and not link.listed:
            proxy.subscription.doubt()
        async with asyncio.timeout(max(timeout - REPORT_TIME, 0.0)):
            await link.opened
    return link.opened.result()


async def _outlive(link: Link, with_cache: bool) -> None:
    """See that a link is up, and that one which the proxy may have had is not about to end.

    Without cache its services are asked for, which tells as well.
    """
    if with_cache and (link.inherited or link.unreported):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.closed.wait(), DYING_TIME)
    if not link.is_up:
        raise LinkError(
            f"{link.label}: the link ended as soon as it was up",
            kind=ErrorKind.TRANSIENT,
            source=link.source,
        )


def abandon(proxy: ConnectingProxy, link: Link) -> None:
    """Let go of a link that its opener does not want any more, whatever its state."""
    if link.state is LinkState.IDLE:
        proxy.dispatcher.remove(link)
        return
    proxy.attempts.abandon(link.address)
    try:
        # Each request is answered: that to a second one would be taken for the next attempt's.
        if link.state is not LinkState.CLOSING:
            link.send_disconnect()
    except RadioUnavailableError as exc:
        _LOGGER.debug("%s: the proxy drops it by itself: %s", link.label, exc)
    proxy.dispatcher.end(link, closed_by_client(link))
