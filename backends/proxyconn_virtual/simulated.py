"""The cheap radio: thousands of scripted peripherals, without a controller."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections.abc import Callable, Sequence
from typing import Final

from proxyconn_virtual.advertising import Advertising
from proxyconn_virtual.peripheral import Outcome, Peripheral, uuid128
from proxyconn_virtual.radio import Heard, OpenError
from proxyconn_virtual.radios.simulated_device import SimulatedDevice
from proxyconn_virtual.radios.simulated_link import SimulatedLink

RSSI_SPREAD: Final = 3
"""How far, dBm, a report strays from the RSSI that the peripheral states."""

ADVERTISING_DELAY: Final = 0.01
"""Most seconds added to each advertising interval (Core Specification vol 6 B 4.4.2.2.1)."""

_TICK: Final = 0.005
_REASON_SUPERVISION: Final = 8


class SimulatedRadio:
    """The radio of one proxy; made by SimulatedAir."""

    def __init__(self, air: SimulatedAir, name: str) -> None:
        self._air = air
        self.name = name
        self.on_heard: Callable[[Heard], None] | None = None
        self.active = False
        self._links: set[SimulatedLink] = set()
        self._bonds: set[int] = set()

    async def start(self) -> None:
        """Power on."""

    async def stop(self) -> None:
        """Power off; the bonds stay, as in flash."""
        self.stop_scan()
        for link in tuple(self._links):
            link.drop(_REASON_SUPERVISION)

    def start_scan(self, on_heard: Callable[[Heard], None], *, active: bool) -> None:
        """Begin to report advertisements."""
        self.on_heard = on_heard
        self.active = active
        self._air.scanning(self)

    def stop_scan(self) -> None:
        """Stop reporting."""
        self.on_heard = None
        self._air.not_scanning(self)

    async def connect(self, address: int, address_type: int) -> SimulatedLink:
        """Open a link, as the peripheral's outcomes say."""
        link = await self._air.open(self, address, address_type)
        self._links.add(link)
        return link

    async def remove_bond(self, address: int) -> bool:
        """Forget the bond."""
        identity = self._air.identity(address)
        known = identity in self._bonds
        self._bonds.discard(identity)
        return known

    def link_gone(self, link: SimulatedLink) -> None:
        """A link is gone: its peripheral advertises again."""
        self._links.discard(link)
        self._air.release(link)

    def bonded(self, address: int) -> None:
        """A link was paired."""
        self._bonds.add(address)


class SimulatedAir:
    """The peripherals around simulated radios.

    Args:
        peripherals: what is around; their `rssi` says which proxy hears them.
        seed: of everything random: phases, RSSI, loss.
    """

    def __init__(self, peripherals: Sequence[Peripheral], seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._devices = {
            p.address_int: SimulatedDevice(p, random.Random(f"{seed} {p.address}"))
            for p in peripherals
        }
        if len(self._devices) != len(peripherals):
            raise ValueError("two peripherals have the same address")
        self._radios: dict[str, SimulatedRadio] = {}
        self._scanning: dict[str, SimulatedRadio] = {}
        self._due: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._started = False

    async def start(self) -> None:
        """Let the peripherals advertise."""
        self._started = True
        self._wake()

    async def stop(self) -> None:
        """Silence them, and drop every link."""
        self._started = False
        self._sleep()
        for radio in self._radios.values():
            await radio.stop()

    def radio(self, proxy_name: str) -> SimulatedRadio:
        """Return the radio of a proxy."""
        return self._radios.setdefault(proxy_name, SimulatedRadio(self, proxy_name))

    def drop_link(self, address: str, reason: int = _REASON_SUPERVISION) -> bool:
        """Drop the link of a peripheral from its side; False if it has none."""
        link = self._device(address).link
        if link is None:
            return False
        link.drop(reason)
        return True

    def replace(self, peripheral: Peripheral) -> None:
        """Put a peripheral in the place of the one with its address, as a firmware update does.

        A link to the old one is lost.
        """
        self.drop_link(peripheral.address)
        self._device(peripheral.address).become(peripheral)

    def notify(self, address: str, uuid: str | int, value: bytes) -> bool:
        """Notify a characteristic's value; False if no client has subscribed to it."""
        device = self._device(address)
        wanted = uuid128(uuid)
        handles = [
            found.handle
            for service in device.table.services
            for found in service.characteristics
            if found.uuid == wanted
        ]
        return device.link is not None and any(device.link.notify(h, value) for h in handles)

    def is_connected(self, address: str) -> bool:
        """Whether a peripheral has a link to any radio."""
        return self._device(address).link is not None

    def advertise(self, address: str, advertising: Advertising) -> None:
        """Have a peripheral say something else from now on."""
        self._device(address).advertise(advertising)

    def address_now(self, address: str) -> str:
        """Return the address by which a peripheral is heard now."""
        now = asyncio.get_running_loop().time()
        return self._device(address).address_at(now).to_bytes(6, "big").hex(":").upper()

    def identity(self, address: int) -> int:
        """Return the address behind a private one that is in use; any other as it is."""
        device = self._known_as(address)
        return address if device is None else device.peripheral.address_int

    def _device(self, address: str) -> SimulatedDevice:
        return self._devices[int(address.replace(":", ""), 16)]

    def _known_as(self, address: int) -> SimulatedDevice | None:
        """Return the peripheral that is heard by an address now."""
        now = asyncio.get_running_loop().time()
        device = self._devices.get(address)
        if device is not None and device.address_at(now) == address:
            return device
        hidden = (one for one in self._devices.values() if one.peripheral.private_address)
        return next((one for one in hidden if one.address_at(now) == address), None)

    def scanning(self, radio: SimulatedRadio) -> None:
        """A radio begins to listen."""
        idle = not self._scanning
        self._scanning[radio.name] = radio
        if idle:
            self._wake()

    def not_scanning(self, radio: SimulatedRadio) -> None:
        """A radio stops listening."""
        self._scanning.pop(radio.name, None)
        if not self._scanning:
            self._sleep()

    def release(self, link: SimulatedLink) -> None:
        """A link is gone."""
        device = self._devices[link.peripheral.address_int]
        if device.link is link:
            device.link = None
            device.freed.set()

    async def open(self, radio: SimulatedRadio, address: int, address_type: int) -> SimulatedLink:
        """Open a link for a radio. Raises OpenError; waits for ever for a device out of reach."""
        device = self._known_as(address)
        outcome = None if device is None else self._outcome(device.peripheral, radio.name)
        if device is None or outcome is None or not self._reachable(device, radio, address_type):
            await _for_ever()
            raise OpenError(_REASON_SUPERVISION)
        after = device.peripheral.latency if outcome.after is None else outcome.after
        if math.isinf(after):
            await _for_ever()
        await asyncio.sleep(after)
        if outcome.reason:
            raise OpenError(outcome.reason)
        # A peripheral that is connected does not advertise, so nobody can connect to it.
        while device.link is not None:
            device.freed.clear()
            await device.freed.wait()
        if self._known_as(address) is not device:  # its private address is another one by now
            await _for_ever()
        device.link = SimulatedLink(device.peripheral, device.table, radio)
        return device.link

    @staticmethod
    def _reachable(device: SimulatedDevice, radio: SimulatedRadio, address_type: int) -> bool:
        peripheral = device.peripheral
        wanted = peripheral.address_type_at(radio.name)
        return radio.name in peripheral.rssi and address_type == wanted

    @staticmethod
    def _outcome(peripheral: Peripheral, proxy: str) -> Outcome:
        for index, outcome in enumerate(peripheral.outcomes):
            if outcome.proxy in (None, proxy):
                return peripheral.outcomes.pop(index)
        return Outcome()

    def _wake(self) -> None:
        """Start the one timer, with every peripheral at a random phase of its interval."""
        if not self._started or not self._scanning:
            return
        now = asyncio.get_running_loop().time()
        self._due = [
            (now + self._random.random() * device.peripheral.interval, address)
            for address, device in self._devices.items()
        ]
        heapq.heapify(self._due)
        self._arm(now)

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        self._sleep()
        if self._due and self._scanning:
            when = max(self._due[0][0], now + _TICK)
            self._timer = asyncio.get_running_loop().call_at(when, self._advertise)

    def _advertise(self) -> None:
        now = asyncio.get_running_loop().time()
        due = self._due
        while due and due[0][0] <= now and self._scanning:
            at, address = due[0]
            device = self._devices[address]
            delay = device.peripheral.interval + self._random.random() * ADVERTISING_DELAY
            heapq.heapreplace(due, (max(at + delay, now), address))
            if device.link is None:
                self._report(device, now)
        self._arm(now)

    def _report(self, device: SimulatedDevice, now: float) -> None:
        said = device.says()
        if said is None:
            return
        peripheral = device.peripheral
        address = device.address_at(now)
        draw = self._random.random
        for name, rssi in peripheral.rssi.items():
            radio = self._scanning.get(name)
            if radio is None or radio.on_heard is None or draw() < peripheral.loss:
                continue
            strays = int((draw() * 2 - 1) * (RSSI_SPREAD + 1))
            data = said.with_response if radio.active else said.data
            address_type = peripheral.address_type_at(name)
            radio.on_heard(Heard(address, address_type, rssi + strays, data, said.extended))


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
