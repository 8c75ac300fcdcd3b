"""Asks for the services of a device, and decides whether the answer is worth keeping.

The firmware does not repeat a part that a full socket refused, and says "done" all the same. A
table that comes twice is what the device has.
"""

from __future__ import annotations

from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.radio import ErrorKind, LinkError
from proxyconn_esphome.link.gatt_operations import get_services
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.services.gatt_cache import GattCache, KnownDevice
from proxyconn_esphome.link.services.services_table import has_gaps, is_part, service_collection


async def discover(link: Link, known: KnownDevice, cache: GattCache) -> BleakGATTServiceCollection:
    """Return the services of the device at the other end, and remember them if they are whole.

    Args:
        link: the link to it, which is up.
        known: what is known of it.
        cache: where that is kept.

    Raises:
        LinkError: the table cannot be read, is empty, or lacks what the device has shown before.
        GATTError, NotConnectedError, TimeoutError: as `get_services`.
    """
    messages = await get_services(link)
    told = tuple(message.SerializeToString() for message in messages)
    if known.services is not None and told == known.told:
        return known.services
    try:
        services = service_collection(messages, known)
    except ValueError as exc:
        raise _bad_table(link, "that cannot be read") from exc
    if not services.services:
        raise _bad_table(link, "with nothing in it; its discovery failed")
    if _is_believed(link, known, services, told):
        known.services, known.told, known.doubted = services, told, ()
        cache.remember(link.address)
    return services


def _is_believed(
    link: Link, known: KnownDevice, services: BleakGATTServiceCollection, told: tuple[bytes, ...]
) -> bool:
    """Whether a table may be kept for the next connection: it seems to lack nothing.

    Raises:
        LinkError: it lacks what the device has shown before.
    """
    is_short = known.services is not None and is_part(services, known.services)
    if told == known.doubted or not (is_short or has_gaps(services)):
        return True
    known.doubted = told
    if is_short:
        raise _bad_table(link, "without some that it has shown before")
    return False


def _bad_table(link: Link, what: str) -> LinkError:
    return LinkError(
        f"{link.label}: the proxy sent a table of services {what}",
        kind=ErrorKind.TRANSIENT,
        source=link.source,
    )
