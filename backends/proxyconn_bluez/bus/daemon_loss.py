"""Noticing that bluetoothd has gone while a link is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bleak.exc import BleakDBusError
from dbus_fast import Message, MessageType
from dbus_fast.aio.message_bus import MessageBus

from proxyconn.radio import RadioUnavailableError
from proxyconn_bluez.bus.connection import BLUEZ, DAEMON, call, ended, open_bus

OWNER_RULE = f"type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{BLUEZ}'"
DAEMON_PATH = "/org/freedesktop/DBus"


class DaemonWatch:
    """Calls back once bluetoothd stops or is replaced. The loss of the bus is not its business."""

    def __init__(self, bus: MessageBus, gone: Callable[[], object]) -> None:
        self._bus = bus
        self._gone = gone
        # The end of the bus is waited for, so that its reason does not count as never looked at.
        self._ended = asyncio.get_running_loop().create_task(ended(bus))
        bus.add_message_handler(self._on_message)

    @classmethod
    async def open(cls, gone: Callable[[], object]) -> DaemonWatch:
        """Connect to the bus and begin to watch.

        Raises:
            RadioUnavailableError: the bus cannot be reached.
        """
        watch = cls(await open_bus(), gone)
        try:
            await call(
                watch._bus, DAEMON_PATH, DAEMON, "AddMatch", "s", [OWNER_RULE], destination=DAEMON
            )
        except (BleakDBusError, OSError, EOFError) as exc:
            watch.close()
            raise RadioUnavailableError(f"the D-Bus system bus failed: {exc!r}") from exc
        except BaseException:
            watch.close()
            raise
        return watch

    def close(self) -> None:
        """Stop watching; idempotent. The socket is gone a turn of the loop later."""
        if self._bus.connected:
            self._bus.disconnect()

    def _on_message(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            self._gone()
