"""Scanners of one proxy do not get into each other's way."""

from __future__ import annotations

import asyncio
from typing import Any

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn import NO_RSSI_VALUE, Proxy
from proxyconn.radio import route_of
from proxyconn_esphome import ESPHomeScanner, ProxySession
from proxyconn_esphome.session.listener import SessionListener
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .conftest import DEADLINE, address, peripheral

NUMBER = 0xC40000000009


def say(proxy: VirtualProxy, *packets: bytes, rssi: int) -> None:
    """Let the proxy report packets of a device."""
    message = pb.BluetoothLERawAdvertisementsResponse()
    for data in packets:
        message.advertisements.add(address=NUMBER, rssi=rssi, address_type=1, data=data)
    proxy.send_subscriber(message)


class Deaf(SessionListener):
    """A listener with a defect."""

    def session_heard(self, session: Any, reports: Any) -> None:
        raise RuntimeError("defect")


async def test_scanners_of_one_proxy(caplog: Any) -> None:
    """One whose callback raises, and spoils what it is given, deafens no other; what a device says
    in turns is discovered together; no signal is no signal; removing twice removes nobody else."""
    key = new_noise_psk()
    house = VirtualFleet(
        [ProxySpec(name="kitchen", noise_psk=key)], [peripheral(1)], announce=False
    )
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    heard: dict[str, list[AdvertisementData]] = {}

    def spoil(device: BLEDevice, said: AdvertisementData) -> None:
        said.manufacturer_data.clear()
        said.service_uuids.clear()
        raise ZeroDivisionError

    def note(device: BLEDevice, said: AdvertisementData) -> None:
        heard.setdefault(device.address, []).append(said)

    async with house:
        kitchen = house.proxies["kitchen"]
        async with ProxySession(Proxy("127.0.0.1", kitchen.port, noise_psk=key)) as session:
            await session.ready(DEADLINE)
            deaf = Deaf()
            first, second = session.add_listener(deaf), session.add_listener(deaf)
            options: dict[str, Any] = {"backend": ESPHomeScanner, "session": session}
            async with BleakScanner(spoil, **options), BleakScanner(note, **options) as scanner:
                say(kitchen, b"\x04\xff\x88\xec\x01", b"\x04\xff\x4c\x00\x02", rssi=-60)
                say(kitchen, b"\x04\x09Two", b"\x03\x08Tw", rssi=0)
                async with asyncio.timeout(DEADLINE):
                    while len(heard.get(address(9), ())) < 4 or address(1) not in heard:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                device, said = scanner.discovered_devices_and_advertisement_data[address(9)]
            first()
            first()
            second()
    assert said.manufacturer_data == {0xEC88: b"\x01", 0x004C: b"\x02"}
    assert (said.local_name, said.rssi, device.name) == ("Two", -60, "Two")
    route = route_of(device)
    assert route is not None
    assert route.rssi() == -60
    packets = heard[address(9)]
    assert [set(one.manufacturer_data) for one in packets[:2]] == [{0xEC88}, {0x004C}]
    assert [one.rssi for one in packets] == [-60, -60, NO_RSSI_VALUE, NO_RSSI_VALUE]
    assert {type(context["exception"]) for context in told} == {ZeroDivisionError}
    assert "a callback of a proxy's session failed" in caplog.text


async def test_scanning_mode_of_scanners() -> None:
    """The proxy asks as long as one of the scanners wants it, and in the end scans as before."""
    key = new_noise_psk()
    spec = ProxySpec(name="kitchen", noise_psk=key)
    async with VirtualFleet([spec], [peripheral(1)], announce=False) as house:
        proxy = house.proxies["kitchen"]
        async with ProxySession(Proxy(proxy.host, proxy.port, noise_psk=key)) as session:
            await session.ready(DEADLINE)
            listens = BleakScanner(scanning_mode="passive", backend=ESPHomeScanner, session=session)
            asks = BleakScanner(scanning_mode="active", backend=ESPHomeScanner, session=session)
            modes = []
            for step in (listens.start, asks.start, asks.stop, listens.stop):
                await step()
                await asyncio.sleep(0.1)
                modes.append(proxy.bluetooth.scanner.mode)
    assert modes == [0, 1, 0, 1]
