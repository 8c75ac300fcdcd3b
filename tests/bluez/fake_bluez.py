"""A service on a real bus that answers as bluetoothd does, and misbehaves on request.

The mocks there are do not serve: bluezoo knows only well-behaved adapters that talk to each other,
and python-dbusmock needs libraries of the system to be compiled. Here every property is the test's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from dbus_fast import BusType, ErrorType, Message, MessageType, NameFlag, Variant
from dbus_fast.aio.message_bus import MessageBus

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
FAILED = "org.bluez.Error.Failed"

Interfaces = dict[str, dict[str, Variant]]


def device_path(address: str, adapter: str = "hci0") -> str:
    """Return the object path of a device."""
    return f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"


class FakeBlueZ:
    """An `org.bluez` with the objects that a test gives it.

    Attributes:
        calls: object path and member of each method call to an adapter or a device, in order.
        silent: members that are not answered.
        errors: member, alone or after its object path and a space -> name of the D-Bus error it is
            answered with.
        keeps_links: whether a device stays connected after Disconnect.
        resolves: whether services are known once a device is connected.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Interfaces] = {}
        self.calls: list[tuple[str, str]] = []
        self.silent: set[str] = set()
        self.errors: dict[str, str] = {}
        self.keeps_links = False
        self.resolves = True
        self._bus: MessageBus | None = None
        self._called = asyncio.Event()

    async def until_called(self, member: str) -> None:
        """Wait until a method of an adapter or a device has been called."""
        while member not in [called for _, called in self.calls]:
            self._called.clear()
            await self._called.wait()

    async def start(self) -> None:
        """Claim the name `org.bluez` on the system bus."""
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._on_message)
        await self._bus.request_name("org.bluez", NameFlag.DO_NOT_QUEUE)

    async def stop(self) -> None:
        """Leave the bus without a word, as a daemon that is killed."""
        bus, self._bus = self._bus, None
        if bus is None:
            return
        if bus.connected:
            bus.disconnect()
        ended: Awaitable[None] = bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        await asyncio.gather(ended, return_exceptions=True)

    # Objects

    def add_adapter(self, name: str = "hci0", *, powered: bool = True) -> None:
        """Plug an adapter in."""
        self.add(
            f"/org/bluez/{name}",
            ADAPTER,
            {
                "Address": Variant("s", "00:1B:DC:00:00:01"),
                "Powered": Variant("b", powered),
                "Discovering": Variant("b", False),
                "Roles": Variant("as", ["central"]),
            },
        )

    def add_device(self, address: str, adapter: str = "hci0", **properties: Variant) -> str:
        """Let an adapter know a device; return its object path."""
        path = device_path(address, adapter)
        known = {
            "Address": Variant("s", address),
            "AddressType": Variant("s", "random"),
            "Alias": Variant("s", address.replace(":", "-")),
            "Adapter": Variant("o", f"/org/bluez/{adapter}"),
            "Connected": Variant("b", False),
            "Paired": Variant("b", False),
            "ServicesResolved": Variant("b", False),
            "UUIDs": Variant("as", []),
        }
        self.add(path, DEVICE, {**known, **properties})
        return path

    def add_service(
        self, device: str, uuid: str, handle: int = 0x0A, **properties: Variant
    ) -> None:
        """Give a device a service with one characteristic, which has these properties as well."""
        service = f"{device}/service{handle:04x}"
        char = f"{service}/char{handle + 1:04x}"
        self.add(
            service,
            "org.bluez.GattService1",
            {"UUID": Variant("s", uuid), "Device": Variant("o", device)},
        )
        self.add(
            char,
            "org.bluez.GattCharacteristic1",
            {
                "UUID": Variant("s", "00002a19-0000-1000-8000-00805f9b34fb"),
                "Service": Variant("o", service),
                "Flags": Variant("as", ["read"]),
                **properties,
            },
        )

    def add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        """Add an interface to an object, and announce it."""
        self.objects.setdefault(path, {})[interface] = properties
        self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", path, {interface: properties})

    def remove(self, path: str) -> None:
        """Remove an object and those below it, and announce it."""
        for one in [one for one in self.objects if one == path or one.startswith(f"{path}/")]:
            interfaces = list(self.objects.pop(one))
            self._signal("/", OBJECTS, "InterfacesRemoved", "oas", one, interfaces)

    def change(self, path: str, **properties: Variant) -> None:
        """Change properties of an adapter or a device, and announce it."""
        (interface, known), *_ = self.objects[path].items()
        known.update(properties)
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, properties, [])

    def invalidate(self, path: str, *names: str) -> None:
        """Take properties away, and announce only that they are other ones now."""
        (interface, known), *_ = self.objects[path].items()
        for name in names:
            del known[name]
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, {}, list(names))

    def set_connected(self, path: str, connected: bool) -> None:
        """Let a link come or go."""
        self.change(path, Connected=Variant("b", connected))

    def resolve(self, path: str) -> None:
        """Let the services of a device be known."""
        self.change(path, ServicesResolved=Variant("b", True))

    def _signal(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        if self._bus and self._bus.connected:
            self._bus.send(Message.new_signal(path, interface, member, signature, list(body)))

    # Methods

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.path is None:
            return None
        member, path = message.member or "", message.path
        if path != "/":
            self.calls.append((path, member))
            self._called.set()
        if member in self.silent:
            return True
        error = self.errors.get(member) or self.errors.get(f"{path} {member}")
        if error:
            return Message.new_error(message, error, "as the test wants it")
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self.objects])
        if path not in self.objects:
            return Message.new_error(message, ErrorType.UNKNOWN_OBJECT, f"no object {path}")
        self._act(path, member, message.body)
        return Message.new_method_return(message)

    def _act(self, path: str, member: str, body: list[Any]) -> None:
        match member:
            case "Connect":
                self.change(path, Connected=Variant("b", True), ServicesResolved=Variant("b", True))
            case "Disconnect" if not self.keeps_links:
                self.change(
                    path, Connected=Variant("b", False), ServicesResolved=Variant("b", False)
                )
            case "RemoveDevice":
                self.remove(body[0])
