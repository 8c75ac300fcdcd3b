"""install() and its undoing: what it replaces, for how long, and what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import bleak
import bleak_retry_connector
import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakError

from proxyconn import Fleet, RadioState, RadioUnavailableError, install
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import DEADLINE, LAMP, STATE, Run, elsewhere

LOOKUP = "get_platform_client_backend_type"
SCANNER_LOOKUP = "get_platform_scanner_backend_type"
PLATFORM = str(BleakClient(LAMP).backend_id)


def backends() -> set[str]:
    """Return what clients and scanners say they use."""
    return {str(BleakClient(LAMP).backend_id), str(BleakScanner().backend_id)}


async def test_until_it_is_undone(fleet: Fleet) -> None:
    """Nothing of bleak stays replaced, and undoing twice is harmless."""
    before = dict(vars(bleak))
    uninstall = install(fleet)
    assert backends() == {"proxyconn"}
    uninstall()
    uninstall()
    assert backends() == {PLATFORM}
    assert vars(bleak) == before


async def test_what_stands_for_bleaks_own(fleet: Fleet) -> None:
    """Whoever looks at a client's backend, or at a traceback, finds where it comes from."""
    uninstall = install(fleet)
    for lookup, name in ((LOOKUP, "FleetClient"), (SCANNER_LOOKUP, "FleetScanner")):
        backend, _ = vars(bleak)[lookup]()
        assert (backend.__module__, backend.__name__) == ("proxyconn.programs.install", name)
    uninstall()


@pytest.mark.parametrize("first", [0, 1])
async def test_installed_twice(fleet: Fleet, first: int) -> None:
    """It stays installed until each call has been undone, in any order."""
    undos = [install(fleet), install(fleet)]
    undos.pop(first)()
    assert backends() == {"proxyconn"}
    undos.pop()()
    assert backends() == {PLATFORM}


async def test_another_fleet_is_refused(fleet: Fleet) -> None:
    """Two fleets cannot be installed at once; one after the other they can."""
    async with Fleet(discover=False) as other:
        uninstall = install(fleet)
        told = r"^another fleet is installed; first call what install\(\) returned for that one$"
        with pytest.raises(RuntimeError, match=told):
            install(other)
        uninstall()
        install(other)()
    assert backends() == {PLATFORM}


async def test_a_fleet_that_is_not_running_is_refused() -> None:
    """Nothing is replaced then."""
    with pytest.raises(BleakError, match="async with"):
        install(Fleet(discover=False))
    assert backends() == {PLATFORM}


async def test_other_replacements_are_respected(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else puts over it stays, and ends up at bleak's own function."""
    monkeypatch.setattr(bleak, LOOKUP, vars(bleak)[LOOKUP])  # to be put back in the end
    uninstall = install(fleet)
    ours: Callable[[], Any] = vars(bleak)[LOOKUP]
    theirs = functools.partial(ours)
    monkeypatch.setattr(bleak, LOOKUP, theirs)
    assert backends() == {"proxyconn"}
    uninstall()
    assert vars(bleak)[LOOKUP] is theirs
    assert backends() == {PLATFORM}
    monkeypatch.setattr(bleak, LOOKUP, ours)
    again = install(fleet)
    assert backends() == {"proxyconn"}
    again()
    assert backends() == {PLATFORM}


async def test_own_backends_are_left_alone(installed: Fleet) -> None:
    """`backend=` still decides, as in fleet.client_class()."""
    async with installed.client_class(BleakClient)(LAMP) as client:
        assert client.backend_id == "FleetRoutedClient"


async def test_what_was_made_goes_on(fleet: Fleet) -> None:
    """A client made while the fleet was installed keeps to it."""
    uninstall = install(fleet)
    client = BleakClient(LAMP)
    uninstall()
    async with client:
        assert await client.read_gatt_char(STATE) == b"off"


async def test_a_closed_fleet_says_so(run: Run[Any], kitchen: VirtualProxy) -> None:
    """Neither clients nor scanners wait for what cannot come."""
    async with Fleet(discover=False) as fleet:
        uninstall = install(fleet, ready=lambda: fleet.ready(timeout=0.2))

    async def program() -> None:
        with pytest.raises(RadioUnavailableError, match="closed"):
            await BleakClient(LAMP).connect()
        with pytest.raises(BleakBluetoothNotAvailableError):
            await BleakScanner.discover()

    try:
        await run(program())
    finally:
        uninstall()


async def test_a_fleet_whose_loop_has_ended_says_so() -> None:
    """A program that goes on longer than the thread of its fleet is told."""
    undos: list[Callable[[], None]] = []

    async def open_and_install() -> None:
        async with Fleet(discover=False) as fleet:
            undos.append(install(fleet))

    await elsewhere(open_and_install())
    try:
        with pytest.raises(RadioUnavailableError, match="loop"):
            await BleakClient(LAMP).connect()
        with pytest.raises(RadioUnavailableError, match="loop"):
            await BleakScanner.discover()
    finally:
        undos.pop()()


async def test_scanning_without_a_radio_says_why(
    run: Run[Any], kitchen: VirtualProxy, fleet: Fleet
) -> None:
    """start() raises what bleak documents for Bluetooth that is not there, with the reason."""
    await fleet.ready(1, DEADLINE)
    await kitchen.kill()
    async with asyncio.timeout(DEADLINE):
        while fleet.radios[0].state is RadioState.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # it notices by itself
    uninstall = install(fleet, ready=lambda: fleet.ready(timeout=0.2))
    try:
        with pytest.raises(BleakBluetoothNotAvailableError, match="kitchen"):
            await run(BleakScanner.discover())
    finally:
        uninstall()


async def test_adapters_are_told_to_be_unsupported(installed: Fleet) -> None:
    """BleakAdapter asks no D-Bus; it raises what bleak documents."""
    with pytest.raises(NotImplementedError):
        await BleakAdapter.get()


@pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is Linux's")
async def test_d_bus_is_not_touched(run: Run[Any], installed: Fleet, tmp_path: Any) -> None:
    """Neither bleak nor bleak-retry-connector asks D-Bus about what the fleet reaches."""
    asked: list[asyncio.StreamWriter] = []
    bus = tmp_path / "bus"
    server = await asyncio.start_unix_server(lambda _, writer: asked.append(writer), bus)

    async def program() -> None:
        device = await BleakScanner.find_device_by_address(LAMP)
        assert device
        await bleak_retry_connector.close_stale_connections(device)
        client = await bleak_retry_connector.establish_connection(
            bleak_retry_connector.BleakClientWithServiceCache, device, "lamp"
        )
        assert await client.read_gatt_char(STATE) == b"off"
        await client.disconnect()

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus}")
        await run(program())
    server.close()
    assert asked == []


LOOK_UP = """
import asyncio, bleak_retry_connector as brc, proxyconn

async def main():
    async with proxyconn.Fleet(discover=False) as fleet:
        proxyconn.install(fleet)
        assert await brc.get_device("C4:00:00:00:00:01") is None
        assert await brc.get_device_by_adapter("C4:00:00:00:00:01", "hci0") is None
        assert await brc.clear_cache("C4:00:00:00:00:01") is False
        await brc.close_stale_connections_by_address("C4:00:00:00:00:01")

asyncio.run(main())
"""


async def test_bleak_retry_connector_without_d_bus(tmp_path: Any) -> None:
    """Where there is no D-Bus, what it asks by bare address is not known, and nothing fails."""
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOK_UP, stderr=subprocess.PIPE, env=environment
    )
    _, errors = await asyncio.wait_for(process.communicate(), 50)
    assert (process.returncode, errors) == (0, b"")


async def test_installed_from_another_loop(fleet: Fleet, installed_elsewhere: object) -> None:
    """A thread with a loop of its own, or with none, installs a fleet that runs elsewhere."""
    assert backends() == {"proxyconn"}

    async def program() -> bytes:
        async with BleakClient(LAMP) as client:
            return bytes(await client.read_gatt_char(STATE))

    assert await elsewhere(program()) == b"off"
    assert await program() == b"off"


@pytest.fixture(params=["a loop", "no loop"])
async def installed_elsewhere(
    fleet: Fleet, request: pytest.FixtureRequest
) -> AsyncIterator[object]:
    """Install the fleet from another thread."""

    async def in_a_loop() -> Callable[[], None]:
        return install(fleet)

    await fleet.find_device(LAMP, DEADLINE)
    if request.param == "a loop":
        uninstall = await elsewhere(in_a_loop())
    else:
        uninstall = await asyncio.to_thread(install, fleet)
    yield None
    await asyncio.to_thread(uninstall)
