"""A device whose links come up, fail and are lost as a test says, in place of a radio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakCharacteristicNotFoundError, BleakError

DEVICE = BLEDevice("C4:00:00:00:00:01", "Kettle", {"source": "kitchen"})


def uuid(short: int) -> str:
    """Return a 16-bit UUID in full."""
    return f"0000{short:04x}-0000-1000-8000-00805f9b34fb"


def table(*characteristics: tuple[int, int]) -> BleakGATTServiceCollection:
    """Return a table of services: handle and 16-bit UUID of each characteristic."""
    services = BleakGATTServiceCollection()
    service = BleakGATTService(None, 1, uuid(0xFFF0))
    services.add_service(service)
    for handle, short in characteristics:
        services.add_characteristic(
            BleakGATTCharacteristic(None, handle, uuid(short), ["notify"], lambda: 20, service)
        )
    return services


@dataclass
class Scene:
    """How the links to the device fare, and what was seen of them.

    Attributes:
        failures: what the next connects raise, one each.
        cached: the table that clients take to be the device's; None if nothing is known.
        actual: the device's table.
        refusals: what subscribing to a characteristic raises, by its UUID.
    """

    failures: list[BaseException] = field(default_factory=list)
    cached: BleakGATTServiceCollection | None = None
    actual: BleakGATTServiceCollection = field(default_factory=lambda: table((10, 0xFFF1)))
    refusals: dict[str, BaseException] = field(default_factory=dict)
    clients: list[SceneClient] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    disconnect_takes: float = 0.0
    disconnect_raises: BaseException | None = None

    def client_class(self) -> type[SceneClient]:
        """Return a class whose clients live in this scene."""
        scene = self

        class Client(SceneClient):
            def __init__(self, device: BLEDevice, **kwargs: Any) -> None:
                super().__init__(scene, kwargs)

        return Client


class SceneClient(BleakClient):
    """A client of the scene."""

    def __init__(self, scene: Scene, kwargs: dict[str, Any]) -> None:
        self.scene = scene
        self.kwargs = kwargs
        self.up = False
        self.table: BleakGATTServiceCollection | None = None
        self.notified: dict[int, Callable[..., Any]] = {}
        self.tell_lost: Callable[[BleakClient], None] = kwargs["disconnected_callback"]

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self.up

    @property
    def services(self) -> BleakGATTServiceCollection:
        """The table of this link."""
        if self.table is None:
            raise BleakError("Not connected")
        return self.table

    async def connect(self, *, dangerous_use_bleak_cache: bool = False, **kwargs: Any) -> None:
        """Connect at once, or fail."""
        self.scene.asked_at.append(asyncio.get_running_loop().time())
        if self.scene.failures:
            raise self.scene.failures.pop(0)
        if not dangerous_use_bleak_cache or self.scene.cached is None:
            self.scene.cached = self.scene.actual
        self.table, self.up = self.scene.cached, True
        self.scene.clients.append(self)

    def drop(self) -> None:
        """Lose the link."""
        self.up = False
        self.tell_lost(self)

    async def disconnect(self) -> None:
        """Disconnect."""
        self.scene.calls.append("disconnect")
        if self.scene.disconnect_raises:
            raise self.scene.disconnect_raises
        await asyncio.sleep(self.scene.disconnect_takes)
        self.scene.calls.append("disconnected")
        self.up = False

    async def clear_cache(self) -> bool:
        """Forget the services."""
        self.scene.calls.append("clear_cache")
        self.scene.cached = None
        return True

    def _find(self, specifier: Any) -> BleakGATTCharacteristic:
        found = (
            specifier
            if isinstance(specifier, BleakGATTCharacteristic)
            else self.services.get_characteristic(specifier)
        )
        if found is None:
            raise BleakCharacteristicNotFoundError(specifier)
        return found

    async def start_notify(
        self, char_specifier: Any, callback: Callable[..., Any], **kwargs: Any
    ) -> None:
        """Subscribe."""
        found = self._find(char_specifier)
        if refusal := self.scene.refusals.get(found.uuid):
            raise refusal
        if found.handle in self.notified:
            raise BleakError("notifications are already on")
        self.notified[found.handle] = callback

    async def stop_notify(self, char_specifier: Any) -> None:
        """Unsubscribe."""
        self.notified.pop(self._find(char_specifier).handle)
