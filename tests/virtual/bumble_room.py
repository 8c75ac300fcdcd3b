"""What the tests of the Bumble radio share: a room with one thermometer."""

from __future__ import annotations

import asyncio

from proxyconn_virtual.bumble import BumbleAir
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
    uuid128,
)
from proxyconn_virtual.radio import Characteristic, Heard, Radio, RadioLink

ADDRESS = "C4:00:00:00:00:01"
LEVEL = uuid128(0x2A19)
COMMAND = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
SECRET = uuid128(0x2A9F)
TICKS = uuid128(0x2A37)
ALERTS = uuid128(0x2A46)
CCCD = uuid128(0x2902)
ON, INDICATE, OFF = b"\x01\x00", b"\x02\x00", b"\x00\x00"


def thermometer(address: str = ADDRESS, **changes: object) -> Peripheral:
    """Return a peripheral with one characteristic of each manner."""
    write = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
    characteristics = (
        CharacteristicSpec(0x2A19, value=b"\x64"),
        CharacteristicSpec(COMMAND, write | Properties.NOTIFY, on_write=lambda value: value[::-1]),
        CharacteristicSpec("2a9f", Properties.READ | write, value=b"hidden", encrypted=True),
        CharacteristicSpec(0x2A37, Properties.NOTIFY, notify_every=0.01),
        CharacteristicSpec(0x2A46, Properties.INDICATE, notify_every=0.01),
    )
    peripheral = Peripheral(
        address,
        "Thermometer",
        services=(ServiceSpec(0x180F, characteristics),),
        rssi={"kitchen": -48, "attic": -77},
        interval=0.01,
        manufacturer_data={0x0059: b"\x01\x02"},
        latency=0.0,
    )
    for name, value in changes.items():
        setattr(peripheral, name, value)
    return peripheral


class Room:
    """An air with one thermometer and a started radio in the kitchen."""

    def __init__(self, peripheral: Peripheral) -> None:
        self.peripheral = peripheral
        self.air = BumbleAir([peripheral])
        self.kitchen: Radio = self.air.radio("kitchen")

    async def link(self) -> RadioLink:
        """Open a link from the kitchen."""
        async with asyncio.timeout(5):
            return await self.kitchen.connect(
                self.peripheral.address_int, self.peripheral.address_type
            )


async def first_heard(radio: Radio, *, active: bool) -> Heard:
    """Scan until one advertisement is heard."""
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    radio.start_scan(heard.put_nowait, active=active)
    async with asyncio.timeout(5):
        result = await heard.get()
    radio.stop_scan()
    return result


async def characteristic(link: RadioLink, uuid: str) -> Characteristic:
    """Discover, and return the characteristic with a UUID."""
    services = await link.discover()
    return next(one for service in services for one in service.characteristics if one.uuid == uuid)


def collect(link: RadioLink) -> asyncio.Queue[tuple[int, bytes]]:
    """Return a queue that takes every value that the peripheral sends."""
    queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    link.on_notify = lambda handle, value: queue.put_nowait((handle, value))
    return queue


def watch(link: RadioLink) -> asyncio.Future[int]:
    """Return a future for the reason of the disconnection; a second report fails it."""
    lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    link.on_disconnect = lost.set_result
    return lost
