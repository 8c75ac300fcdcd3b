"""Published programs of several authors talk to their devices through proxies, unchanged."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from proxyconn_virtual.events import Connected
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome, Peripheral
from proxyconn_virtual.proxy import ProxySpec
from proxyconn_virtual.simulated import SimulatedAir
from tests.cli.conftest import DEADLINE, all_free
from tests.cli.runner import Runner
from tests.cli.third_party import (
    ARANET,
    DESK,
    SOLAR,
    SOLAR_KEY,
    STRIP,
    STRIP_ANSWERS,
    Aranet,
    Desk,
    Strip,
    solar_charger,
)


@pytest.fixture
def aranet() -> Aranet:
    """Return an air sensor."""
    return Aranet()


@pytest.fixture
def desk() -> Desk:
    """Return a desk."""
    return Desk()


@pytest.fixture
def strip() -> Strip:
    """Return an LED strip."""
    return Strip()


@pytest.fixture
def peripherals(aranet: Aranet, desk: Desk, strip: Strip) -> list[Peripheral]:
    """Return all of them, and a solar charger."""
    return [aranet.peripheral(), desk.peripheral(), strip.peripheral(), solar_charger()]


@pytest.fixture
async def house(
    secrets: list[str], peripherals: list[Peripheral], strip: Strip
) -> AsyncIterator[VirtualFleet]:
    """Return two proxies among them."""
    specs = [ProxySpec(name=name, noise_psk=secrets[0], slots=2) for name in ("kitchen", "garage")]
    async with VirtualFleet(specs, peripherals, announce=False) as house:
        air = house.air
        assert isinstance(air, SimulatedAir)
        strip.answer = lambda value: air.notify(STRIP, STRIP_ANSWERS, value)
        yield house


async def test_aranetctl_reads(runner: Runner, house: VirtualFleet) -> None:
    """aranet4 (Anrijs): connects by address, reads, and never disconnects."""
    code, out, err = await runner.run("aranetctl", ARANET)
    assert (code, err) == (0, "")
    for line in ("Aranet4 1A2B3", "612 ppm", "21.5 °C", "41 %", "1013.2 hPa", "17/300 s"):
        assert line in out
    await all_free(house)


async def test_aranetctl_writes(runner: Runner, house: VirtualFleet, aranet: Aranet) -> None:
    """It sets the interval, and reads that back."""
    code, _, err = await runner.run("aranetctl", ARANET.lower(), "--set-interval", "5")
    assert (code, err, aranet.minutes) == (0, "", 5)
    await all_free(house)


async def test_idasen_moves(runner: Runner, house: VirtualFleet, desk: Desk) -> None:
    """idasen (Alex Martens): wakes the desk, then writes and reads until it has moved."""
    assert await runner.run("idasen", "height", "--mac-address", DESK) == (0, "0.720 meters\n", "")
    assert desk.awake
    file = runner.folder.parent / ".config" / "idasen" / "idasen.yaml"
    text = f"mac_address: {DESK}\npositions: {{stand: 1.1}}\n"
    await asyncio.to_thread(file.parent.mkdir, parents=True)
    await asyncio.to_thread(file.write_text, text)
    assert await runner.run("idasen", "stand") == (0, "", "")
    assert desk.height == 4800
    await all_free(house)


async def test_idasen_monitors(runner: Runner, house: VirtualFleet) -> None:
    """Run as a module, it is notified until Ctrl-C, which it takes for a good end."""
    arguments = ("-m", "idasen.cli", "monitor", "--mac-address", DESK)
    async with runner.running(*arguments) as process:
        assert process.stdout
        for height in ("0.720", "0.730", "0.740"):
            line = await asyncio.to_thread(process.stdout.readline)
            assert line == f"{height} meters - 0.000 meters/second\n"
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, timeout=DEADLINE)
        assert (process.returncode, err) == (0, "")
    await all_free(house)


LED = """
import asyncio, sys
from bleak import BleakScanner
from led_ble import LEDBLE

async def main(address):
    strip = LEDBLE(await BleakScanner.find_device_by_address(address))
    await strip.update()
    await strip.turn_on()
    await strip.set_rgb((255, 32, 0))
    await strip.update()
    print(strip.name, strip.model_data.description, strip.on, strip.rgb)
    await strip.stop()

asyncio.run(main(sys.argv[1]))
"""


async def test_led_ble(
    runner: Runner, house: VirtualFleet, strip: Strip, peripherals: list[Peripheral]
) -> None:
    """led-ble (J. Nick Koston): bleak-retry-connector tries again, on the other proxy."""
    peripherals[2].outcomes = [Outcome(reason=0x3E, proxy="kitchen")]
    connected: list[str] = []
    for proxy in house.proxies.values():
        proxy.add_observer(
            lambda event: connected.append(event.proxy) if isinstance(event, Connected) else None
        )
    script = await runner.write(LED)
    said = "Triones:C10511 Controller RGB&W True (255, 32, 0)\n"
    assert await runner.run(script, STRIP) == (0, said, "")
    assert (strip.on, strip.color, connected) == (True, bytes((255, 32, 0)), ["garage"])
    await all_free(house)


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="it relies on a current event loop, which is made no more"
)
async def test_victron_ble(runner: Runner, house: VirtualFleet) -> None:
    """victron-ble (keshavdv): only listens, in a loop that runs for ever, until Ctrl-C."""
    async with runner.running("victron-ble", "read", f"{SOLAR}@{SOLAR_KEY.hex()}") as process:
        assert process.stdout
        said = json.loads(await asyncio.to_thread(process.stdout.readline))
        process.send_signal(signal.SIGINT)
        await asyncio.to_thread(process.communicate, timeout=DEADLINE)
        assert process.returncode == 1
    assert (said["name"], said["address"]) == ("SmartSolar", SOLAR)
    assert said["payload"] == {
        "battery_charging_current": 7.5,
        "battery_voltage": 13.42,
        "charge_state": "bulk",
        "charger_error": "no_error",
        "external_device_load": 1.2,
        "model_name": "BlueSolar Charger MPPT 75/15",
        "solar_power": 103,
        "yield_today": 460,
    }
