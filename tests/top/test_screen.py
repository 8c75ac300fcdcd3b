"""`proxyconn top` on a fleet of its own, at two sizes of a terminal."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Callable

import pytest
from textual.pilot import Pilot

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioUnavailableError,
    establish_connection,
)
from proxyconn.watch.rows import Row
from proxyconn_top.app import Top
from proxyconn_top.sources import FleetSource
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

DEADLINE = 20.0
LAMP, HOSTILE = "C4:00:00:00:00:01", "C4:00:00:00:00:02"
MARKUP = "[red]not red[/]\x1b[2J"

pytestmark = pytest.mark.parametrize("size", [(80, 24), (120, 40)])


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Return a fleet of one proxy that hears a lamp, and a device that says markup."""
    key = new_noise_psk()
    value = CharacteristicSpec(0xFFF1, Properties.READ, b"on")
    devices = [
        Peripheral(
            address,
            name,
            services=[ServiceSpec(0xFFF0, [value])],
            rssi={"kitchen": -50},
            interval=0.05,
            latency=0.01,
        )
        for address, name in ((LAMP, "Lamp"), (HOSTILE, MARKUP))
    ]
    spec = ProxySpec(name="kitchen", noise_psk=key)
    async with VirtualFleet([spec], devices, announce=False) as virtual:
        proxy = Proxy("127.0.0.1", virtual.proxies["kitchen"].port, noise_psk=key)
        async with Fleet([proxy], discover=False, owner=False, state=None) as real:
            await real.find_device(LAMP, DEADLINE)
            await real.find_device(HOSTILE, DEADLINE)
            yield real


def seen(pilot: Pilot[None]) -> str:
    """Return what is on the screen, line by line."""
    drawing = pilot.app.export_screenshot()
    places = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', drawing)
    lines: dict[str, str] = {}
    for place, text in places:
        lines[place] = lines.get(place, "") + html.unescape(text).replace("\xa0", " ")
    return "\n".join(lines.values())


async def until(pilot: Pilot[None], shown: Callable[[str], bool]) -> str:
    """Wait until the screen shows something; return it."""
    async with asyncio.timeout(DEADLINE):
        while not shown(seen(pilot)):
            await pilot.pause(0.05)
    return seen(pilot)


async def test_pages(fleet: Fleet, size: tuple[int, int]) -> None:
    """Slots and links, how each radio hears each device, one device, and what has happened."""
    source = FleetSource(fleet)
    device = await fleet.find_device(LAMP, DEADLINE)
    client = await establish_connection(BleakClientWithServiceCache, device, "lamp")
    async with Top(source).run_test(size=size) as pilot:
        shown = await until(pilot, lambda text: "■□□ 2 free" in text and "connected" in text)
        assert "1 radios, 2 devices, 1 links, 0 waiting, 0 alarms" in shown
        await until(pilot, lambda text: "Quit" in text)
        await pilot.press("2")
        shown = await until(pilot, lambda text: "[red]not red[/]·[2J" in text)
        assert re.search(rf"{LAMP} +Lamp +-\d\d", shown)
        await pilot.press("enter")
        await until(pilot, lambda text: "3 of 3" in text or "2 of 3" in text)
        await pilot.press("4")
        await until(pilot, lambda text: "ready" in text and LAMP in text)
        await pilot.press("1", "tab", "d")
        await until(pilot, lambda text: "□□□ 3 free" in text)
        assert not client.is_connected
    source.close()


class _OwnerThatLeaves(FleetSource):
    """Tells of a fleet, but for single devices: that it does not answer any more."""

    async def device(self, address: str) -> Row | None:
        """Raise as an owner that has ended does."""
        raise RadioUnavailableError("no owner answers")


async def test_an_owner_that_leaves(fleet: Fleet, size: tuple[int, int]) -> None:
    """The screen says so, and goes on."""
    source = _OwnerThatLeaves(fleet)
    async with Top(source).run_test(size=size) as pilot:
        await pilot.press("2")
        await until(pilot, lambda text: LAMP in text)
        await pilot.press("enter")
        await until(pilot, lambda text: "no owner answers" in text)
        await pilot.press("2")
        await until(pilot, lambda text: LAMP in text)
    source.close()


async def test_filter(fleet: Fleet, size: tuple[int, int]) -> None:
    """Only what is looked for is left; looking for nothing shows everything again."""
    source = FleetSource(fleet)
    async with Top(source).run_test(size=size) as pilot:
        await pilot.press("2")
        await until(pilot, lambda text: LAMP in text and HOSTILE in text)
        await pilot.press("slash", *"lamp", "enter")
        await until(pilot, lambda text: LAMP in text and HOSTILE not in text)
        await pilot.press("slash", *["backspace"] * 4, "enter")
        await until(pilot, lambda text: LAMP in text and HOSTILE in text)
    source.close()
