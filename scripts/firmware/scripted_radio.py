"""A radio under the virtual proxy that takes the same script as the simulated stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from proxyconn_virtual.faults import Injector, RadioEvent
from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.peripheral import uuid128
from proxyconn_virtual.radio import (
    AttError,
    Characteristic,
    Descriptor,
    Heard,
    LinkParameters,
    OpenError,
    PairingError,
    Service,
)

from .world import ScriptedService, Setting

_OPEN_MS: Final = 60
_OPEN_GAP_MS: Final = 2
_OPEN_LIMIT_MS: Final = 20_000
_NO_ANSWER: Final = 0x100
_TOO_LATE: Final = 60.0
"""Seconds; longer than any case."""


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class ScriptedDevice:
    """A peripheral."""

    def __init__(self, address: int, services: Sequence[ScriptedService]) -> None:
        self.address = address
        self.set: dict[str, Setting] = {}
        self.link: ScriptedLink | None = None
        self.bonded = False
        self.close_after: float | None = None
        self.values = {c.handle: c.value for s in services for c in s.characteristics}
        self.services = tuple(_service(service) for service in services)

    def number(self, key: str, other: int) -> int:
        """Return a setting."""
        value = self.set.get(key, other)
        return value if isinstance(value, int) else other

    async def pass_ms(self, key: str, other: int) -> None:
        """Let the time of a setting pass."""
        await asyncio.sleep(self.number(key, other) / 1000)


def _service(script: ScriptedService) -> Service:
    return Service(
        uuid128(script.uuid),
        script.start,
        tuple(
            Characteristic(
                uuid128(one.uuid),
                one.handle,
                one.properties,
                tuple(Descriptor(uuid128(uuid), handle) for uuid, handle in one.descriptors),
            )
            for one in script.characteristics
        ),
    )


class ScriptedLink:
    """A link; see RadioLink."""

    def __init__(self, device: ScriptedDevice) -> None:
        self.on_notify: Callable[[int, bytes], None] | None = None
        self.on_disconnect: Callable[[int], None] | None = None
        self.on_security_request: Callable[[], None] | None = None
        self.device = device

    async def exchange_mtu(self) -> int:
        """Return the MTU."""
        if self.device.number("mtu_error", 0):
            raise AttError(self.device.number("mtu_error", 0))
        mtu = self.device.number("mtu", 247)
        if mtu < 0:
            await _for_ever()
        await self.device.pass_ms("mtu_ms", 20)
        return mtu or 23

    async def discover(self) -> tuple[Service, ...]:
        """Return the services."""
        status = self.device.number("search", 0)
        if status < 0:
            await _for_ever()
        await self.device.pass_ms("search_ms", 60)
        if status:
            raise AttError(status)
        return self.device.services

    async def read(self, handle: int) -> bytes:
        """Read a value."""
        await self._answer(f"read__{handle}")
        return self.device.values.get(handle, b"")

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        """Write a value."""
        await self._answer(f"write__{handle}")
        self.device.values[handle] = value

    async def _answer(self, key: str) -> None:
        status = self.device.number(key, 0)
        if status < 0:
            await _for_ever()
        await self.device.pass_ms("latency", 8)
        if status:
            raise AttError(status)

    async def pair(self) -> None:
        """Pair."""
        if error := self.device.number("pair_error", 0):
            raise PairingError(error)
        if self.device.set.get("pair") == "never":
            await _for_ever()
        await asyncio.sleep(0.03)
        if status := self.device.number("pair", 0):
            raise PairingError(status)
        self.device.bonded = True

    async def update_parameters(self, parameters: LinkParameters) -> None:
        """Take them."""

    async def close(self) -> None:
        """Close the link from this side."""
        await asyncio.sleep(0.003)
        self.device.link = None


class ScriptedRadio(Injector):
    """The radio, and what gets lost between it and the proxy."""

    def __init__(self) -> None:
        self.devices: dict[int, ScriptedDevice] = {}
        self._on_heard: Callable[[Heard], None] | None = None
        self._adverts = OwnedTasks()

    async def start(self) -> None:
        """Power on."""

    async def stop(self) -> None:
        """Power off."""
        self.stop_scan()
        await self._adverts.close()

    def start_scan(self, on_heard: Callable[[Heard], None], *, active: bool) -> None:
        """Hear advertisements."""
        self._on_heard = on_heard

    def stop_scan(self) -> None:
        """Hear none."""
        self._on_heard = None

    async def connect(self, address: int, address_type: int) -> ScriptedLink:
        """Open a link, as the script says."""
        device = self.devices.get(address)
        if device is None or device.set.get("open") == "never":
            if device is not None and device.number("open_lost", 0):
                await _for_ever()
            limit = _OPEN_LIMIT_MS if device is None else device.number("open_limit", 20_000)
            await asyncio.sleep(limit / 1000)
            raise OpenError(_NO_ANSWER)
        await device.pass_ms("open_ms", _OPEN_MS)
        if status := device.number("open", 0):
            raise OpenError(device.number("open_reason", status))
        device.link = ScriptedLink(device)
        return device.link

    async def remove_bond(self, address: int) -> bool:
        """Forget a bond."""
        device = self.devices.get(address)
        known = device is not None and device.bonded
        if device is not None:
            device.bonded = False
        return known

    def put(self, address: int, services: Sequence[ScriptedService]) -> ScriptedDevice:
        """Return a device, made at first."""
        return self.devices.setdefault(address, ScriptedDevice(address, services))

    def change(self, device: ScriptedDevice, settings: Mapping[str, Setting]) -> None:
        """Change settings, and begin to advertise if they say so."""
        device.set |= settings
        if device.number("advert_ms", 0):
            self._adverts.start(self._advertise(device), "advertise")

    def hear(self, device: ScriptedDevice) -> None:
        """Hear one advertisement."""
        if self._on_heard is not None:
            self._on_heard(Heard(device.address, 0, -60, b"\2\1\6"))

    async def _advertise(self, device: ScriptedDevice) -> None:
        while True:
            await device.pass_ms("advert_ms", 500)
            if device.link is None:
                self.hear(device)

    def keeps(self, event: RadioEvent, address: int) -> bool:
        """Whether the proxy notices an event of the radio."""
        device = self.devices.get(address)
        if device is None:
            return True
        match event:
            case RadioEvent.OPEN_CALL:
                return not device.number("open_error", 0)
            case RadioEvent.OPEN:
                return device.number("open_event", 1) != 0
            case RadioEvent.CANCEL_CALL:
                return not device.number("cancel_error", 0)
            case RadioEvent.CANCEL:
                return not device.number("cancel_lost", 0)
            case RadioEvent.CLOSE:
                lost = device.number("close_lost", 0) or device.close_after == -1
                return not lost
            case RadioEvent.WALK:
                return "walk_error" not in device.set
            case _:
                return True

    def late(self, event: RadioEvent, address: int) -> float:
        """Return how late the proxy notices an event, seconds."""
        device = self.devices.get(address)
        if device is None:
            return 0.0
        if event is RadioEvent.OPEN and not device.set.get("open"):
            return (device.number("open_gap", _OPEN_GAP_MS) - _OPEN_GAP_MS) / 1000
        if event is RadioEvent.CANCEL and device.number("cancel_late", 0):
            return _TOO_LATE
        if event is RadioEvent.CLOSE and device.close_after:
            return device.close_after
        return 0.0
