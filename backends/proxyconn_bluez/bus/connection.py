"""One connection to the system bus: opening it, and calling BlueZ with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from bleak.backends.bluezdbus.utils import get_dbus_authenticator
from bleak.exc import BleakDBusError
from dbus_fast import AuthError, BusType, InvalidAddressError, Message, MessageType
from dbus_fast.aio.message_bus import MessageBus

from proxyconn.radio import RadioUnavailableError

BLUEZ = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
DAEMON = "org.freedesktop.DBus"

OPEN_TIMEOUT = 3.0
"""Seconds to connect to the bus: it is a local socket."""

CALL_TIMEOUT = 5.0
"""Seconds for a reply; what takes longer (Device1.Connect) is bleak's."""


async def open_bus() -> MessageBus:
    """Connect to the system bus.

    Raises:
        RadioUnavailableError: there is no bus, it refused us, or it did not answer.
    """
    try:
        async with asyncio.timeout(OPEN_TIMEOUT):
            return await MessageBus(
                bus_type=BusType.SYSTEM, auth=get_dbus_authenticator()
            ).connect()
    except (OSError, EOFError, AuthError, InvalidAddressError) as exc:
        # TimeoutError is an OSError.
        raise RadioUnavailableError(
            f"the D-Bus system bus cannot be reached: {exc or type(exc).__name__}"
        ) from exc


async def call(
    bus: MessageBus,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    body: Sequence[Any] = (),
    *,
    destination: str = BLUEZ,
) -> list[Any]:
    """Call a method and return what it returned.

    Raises:
        BleakDBusError: the answer is an error.
        EOFError, OSError: the bus was lost before the answer; TimeoutError after CALL_TIMEOUT s.
    """
    message = Message(
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
    )
    if not bus.connected:
        raise EOFError("the D-Bus connection is closed")
    async with asyncio.timeout(CALL_TIMEOUT):
        reply = await bus.call(message)
    if reply is None:
        raise EOFError("the D-Bus connection was closed before the reply")
    if reply.message_type is MessageType.ERROR:
        raise BleakDBusError(reply.error_name or "", reply.body)
    return reply.body


async def ended(bus: MessageBus) -> BaseException | None:
    """Wait until a connection has ended; return what ended it, None if we did."""
    lost: Awaitable[None] = bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    (reason,) = await asyncio.gather(lost, return_exceptions=True)
    return reason
