"""BlueZ's objects as it announces them on the bus (org.freedesktop.DBus.ObjectManager).

A connection of our own, rather than the manager that bleak keeps for itself: that one has no public
way to its objects, does not notice a restart of bluetoothd, and cannot be closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bleak.exc import BleakDBusError
from dbus_fast import Message, MessageType, unpack_variants
from dbus_fast.aio.message_bus import MessageBus

from proxyconn.radio import Callbacks, RadioUnavailableError
from proxyconn_bluez.bus.connection import (
    ADAPTER,
    BLUEZ,
    DAEMON,
    DEVICE,
    OBJECT_MANAGER,
    PROPERTIES,
    call,
    ended,
    open_bus,
)

_RULES = (
    f"type='signal',sender='{BLUEZ}',interface='{OBJECT_MANAGER}'",
    # Not of characteristics: their notifications are no business of this connection.
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',arg0='{ADAPTER}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',arg0='{DEVICE}'",
    f"type='signal',sender='{DAEMON}',member='NameOwnerChanged',arg0='{BLUEZ}'",
)

_NOBODY = (f"{DAEMON}.Error.ServiceUnknown", f"{DAEMON}.Error.NameHasNoOwner")
_NOT_STARTED = f"{DAEMON}.Error.Spawn."
"""Errors of the bus itself: bluetoothd does not run, and could not be started."""

CLOSE_TIMEOUT = 1.0
"""Seconds for a connection that was closed to end."""

_LOGGER = logging.getLogger(__name__)

Properties = Mapping[str, Any]
Listener = Callable[[str, Collection[str]], object]
"""Called with an interface and the names of its properties that may have changed."""


class NotRunningError(RadioUnavailableError):
    """Bluetoothd does not run; the bus tells of it when it does."""


class BlueZObjects:
    """The objects of one bluetoothd, followed over one bus connection.

    Empty while bluetoothd is not running. Once the bus is lost it stays empty: open another one.
    """

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.present = False
        self.closed = False
        self._tree: dict[str, dict[str, dict[str, Any]]] = {}
        self.owners_seen = 0
        self._listeners = Callbacks[str, Collection[str]]("BlueZ's objects")
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._monitor = asyncio.get_running_loop().create_task(self._until_lost())

    @classmethod
    async def connect(cls) -> BlueZObjects:
        """Connect to the bus and subscribe; the objects are empty until `load`.

        Raises:
            RadioUnavailableError: there is no usable system bus.
        """
        objects = cls(await open_bus())
        objects.bus.add_message_handler(objects._on_message)
        try:
            for rule in _RULES:
                await call(
                    objects.bus, f"/{DAEMON.replace('.', '/')}", DAEMON, "AddMatch", "s", [rule],
                    destination=DAEMON,
                )  # fmt: skip
        except (BleakDBusError, OSError, EOFError) as exc:
            await objects.aclose()
            raise RadioUnavailableError(f"the D-Bus system bus failed: {exc!r}") from exc
        except BaseException:
            await objects.aclose()
            raise
        return objects

    async def load(self) -> None:
        """Read every object anew.

        Raises:
            NotRunningError: bluetoothd is not running.
            RadioUnavailableError: bluetoothd does not answer, or refuses.
        """
        try:
            (tree,) = await call(self.bus, "/", OBJECT_MANAGER, "GetManagedObjects")
        except BleakDBusError as exc:
            name = exc.dbus_error
            if name in _NOBODY or name.startswith(_NOT_STARTED):
                raise NotRunningError(f"bluetoothd is not running ({name})") from exc
            raise RadioUnavailableError(f"bluetoothd does not say what it has ({name})") from exc
        except TimeoutError as exc:
            raise RadioUnavailableError("bluetoothd does not answer") from exc
        except (OSError, EOFError) as exc:
            raise RadioUnavailableError(f"the D-Bus system bus was lost: {exc!r}") from exc
        self._tree = {path: unpack_variants(interfaces) for path, interfaces in tree.items()}
        self.present = True
        self._tell_all()

    async def aclose(self) -> None:
        """Close the connection; idempotent."""
        if self.bus.connected:
            self.bus.disconnect()
        await asyncio.wait({self._monitor}, timeout=CLOSE_TIMEOUT)
        self._monitor.cancel()
        await asyncio.gather(self._monitor, return_exceptions=True)

    # What there is

    def __contains__(self, path: str) -> bool:
        return path in self._tree

    def device(self, path: str) -> Properties | None:
        """Return the properties of a device, or None if there is none at this path."""
        return self._tree.get(path, {}).get(DEVICE)

    def devices(self) -> Iterator[tuple[str, Properties]]:
        """Yield object path and properties of every device."""
        for path, interfaces in self._tree.items():
            if (properties := interfaces.get(DEVICE)) is not None:
                yield path, properties

    def adapter(self, path: str) -> Properties | None:
        """Return the properties of an adapter, or None if there is none at this path."""
        return self._tree.get(path, {}).get(ADAPTER)

    def adapters(self) -> list[str]:
        """Return the object path of every adapter."""
        return [path for path, interfaces in self._tree.items() if ADAPTER in interfaces]

    # What happens

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(interface, names)` after each change; returns unsubscribe."""
        return self._listeners.register(listener)

    async def until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `condition()` holds after some change; False after `timeout` seconds."""
        if condition():
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True

    async def until_owner_changes(self, seen: int, timeout: float | None = None) -> None:
        """Wait until bluetoothd has stopped or started since `owners_seen` was `seen`, the bus is
        lost, or `timeout` seconds are over."""
        await self.until(lambda: self.closed or self.owners_seen != seen, timeout)

    async def _until_lost(self) -> None:
        reason = await ended(self.bus)
        _LOGGER.debug("D-Bus connection ended: %r", reason)
        self.closed = True
        self._forget()

    def _forget(self) -> None:
        self.present = False
        self._tree.clear()
        self._tell_all()

    def _tell_all(self) -> None:
        self._tell(ADAPTER, ())
        self._tell(DEVICE, ("Connected",))

    def _tell(self, interface: str, names: Collection[str]) -> None:
        self._listeners(interface, names)
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        match message.member, message.body:
            case "InterfacesAdded", [str(path), dict(interfaces)]:
                self._tree.setdefault(path, {}).update(unpack_variants(interfaces))
                for interface in interfaces:
                    self._tell(interface, ("Connected",))
            case "InterfacesRemoved", [str(path), list(interfaces)]:
                self._remove(path, interfaces)
            case "PropertiesChanged", [str(interface), dict(changed), list(invalidated)]:
                self._change(message.path or "", interface, unpack_variants(changed), invalidated)
            case "NameOwnerChanged", [str(name), str(), str()] if name == BLUEZ:
                self.owners_seen += 1
                self._forget()

    def _remove(self, path: str, interfaces: list[str]) -> None:
        known = self._tree.get(path, {})
        for interface in interfaces:
            known.pop(interface, None)
        if not known:
            self._tree.pop(path, None)
        for interface in interfaces:
            self._tell(interface, ("Connected",))

    def _change(
        self, path: str, interface: str, changed: dict[str, Any], invalidated: list[str]
    ) -> None:
        properties = self._tree.get(path, {}).get(interface)
        if properties is None:
            return
        properties.update(changed)
        for name in invalidated:
            properties.pop(name, None)
        self._tell(interface, [*changed, *invalidated])


@asynccontextmanager
async def bluez_objects() -> AsyncIterator[BlueZObjects]:
    """Open a connection, read every object, and close it at the end.

    Raises:
        RadioUnavailableError: there is no bus or no bluetoothd.
    """
    objects = await BlueZObjects.connect()
    try:
        await objects.load()
        yield objects
    finally:
        await objects.aclose()
