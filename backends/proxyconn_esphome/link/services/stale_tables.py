"""Clearing the tables of services that proxies keep, once they are out of date.

Each proxy has a table of its own, in flash: what one of them has forgotten another still knows.
"""

from __future__ import annotations

import asyncio
import logging

from proxyconn.radio import RadioError
from proxyconn_esphome.link import gatt_operations as operations
from proxyconn_esphome.link.connecting_proxy import ConnectingProxy
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.services.gatt_cache import KnownDevice

OTHERS_TIMEOUT = 2.0
"""Seconds that a connect waits for proxies that it does not go through; they answer at once."""

_LOGGER = logging.getLogger(__name__)


async def clear_table(proxy: ConnectingProxy, link: Link, known: KnownDevice) -> bool:
    """Clear the table of one proxy; False if that is still to be done.

    Raises:
        RadioUnavailableError: the proxy went away meanwhile.
        TimeoutError: it does not answer.
    """
    cleared = await operations.clear_cache(proxy, link)
    if cleared:
        known.stale.discard(proxy)
    return cleared


async def clear_stale_tables(own: ConnectingProxy, address: str, known: KnownDevice) -> None:
    """Clear every table that is out of date, before a link is opened through `own`.

    One that another proxy keeps, and cannot clear now, is left for the next time.

    Raises:
        RadioUnavailableError, TimeoutError: as `clear_table`, for `own`.
    """
    proxies = set(known.stale)
    others = proxies - {own}
    async with asyncio.TaskGroup() as clearing:
        for proxy in others:
            clearing.create_task(_clear_elsewhere(proxy, address, known))
    if own in proxies:
        await clear_table(own, operations.loose_link(own, address), known)


async def _clear_elsewhere(proxy: ConnectingProxy, address: str, known: KnownDevice) -> None:
    try:
        async with asyncio.timeout(OTHERS_TIMEOUT):
            await clear_table(proxy, operations.loose_link(proxy, address), known)
    except (RadioError, TimeoutError) as exc:
        _LOGGER.debug("%s [%s]: its table is not cleared yet: %r", proxy.name, address, exc)
