"""The examples of the guide through a virtual proxy."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakGATTProtocolError

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    ble_device_description,
    device_source,
    establish_connection,
)
from proxyconn_virtual.peripheral import CharacteristicSpec, Outcome, ServiceSpec
from proxyconn_virtual.radio import AttError, LinkParameters
from tests.fleet.conftest import BEDROOM, DEADLINE, KITCHEN, Virtual, address, until
from tests.guide.conftest import House, Open
from tests.guide.device import (
    ADDRESS,
    BATTERY,
    BATTERY_LEVEL,
    BATTERY_SERVICE,
    CHARACTERISTIC,
    COMMANDS,
    LEVEL,
    NAME,
    OLD_COMMANDS,
    SERVICE,
    switch,
)
from tests.guide.examples import battery, bluez, complete, connecting, errors
from tests.guide.examples import client as of_client
from tests.guide.examples import missing_characteristic as missing

Example = Callable[[BLEDevice], Awaitable[BleakClient]]
Capture = pytest.CaptureFixture[str]

NOT_FOUND = "Device not found - it may have moved out of range\n"
NO_SLOT = "No connection slots available - try disconnecting other devices\n"
ABORTED = "Connection aborted - check for interference or move closer\n"
CONNECTION_TIMEOUT = Outcome(0x08)
AUTHENTICATION_FAILURE = Outcome(0x05)

CONNECT: dict[str, Example] = {
    "callback": connecting.connect_with_callback,
    "tracker": lambda device: connecting.connect_with_device_tracking(
        connecting.DeviceTracker(device)
    ),
    "custom client": connecting.connect_with_custom_client,
    "full options": connecting.connect_with_full_options,
    "error handling": errors.connect_with_error_handling,
    "missing characteristic": missing.connect_and_validate_services,
    "connection params": of_client.set_connection_params,
}


@pytest.mark.parametrize("example", CONNECT.values(), ids=CONNECT)
async def test_example_connects(example: Example, house: House) -> None:
    """An example that connects returns a client with a link, which holds the proxy's slot."""
    client = await example(house.device)
    assert client.is_connected
    assert house.free == 2
    assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([LEVEL])
    await client.disconnect()
    assert house.free == 3


async def test_basic_client(house: House) -> None:
    """A client that is connected by hand knows the services, and gives its slot back."""
    services = await of_client.connect_with_cache(house.device)
    assert services.get_characteristic(CHARACTERISTIC) is not None
    assert house.free == 3


async def test_basic_connection(house: House) -> None:
    """The simple example ends without a link."""
    client = await connecting.connect_to_device(house.device)
    assert isinstance(client, BleakClientWithServiceCache)
    assert not client.is_connected
    assert house.free == 3


async def test_clear_cache_of_client(house: House) -> None:
    """The services are asked for anew after the cache was cleared, and only then."""

    def asked() -> int:
        return house.proxy.snapshot().received.get("BluetoothGATTGetServicesRequest", 0)

    await connecting.connect_to_device(house.device)
    await connecting.connect_to_device(house.device)
    assert asked() == 1
    await of_client.clear_cache_of_client(house.device)
    assert asked() == 1
    await connecting.connect_to_device(house.device)
    assert asked() == 2


async def test_connection_params(house: House) -> None:
    """The proxy is asked for the parameters of the example."""
    client = await of_client.set_connection_params(house.device)
    assert house.proxy.snapshot().parameters == {ADDRESS: LinkParameters(800, 800, 0, 600)}
    await client.disconnect()


@pytest.mark.parametrize(
    ("example", "line"),
    [
        (connecting.connect_with_callback, f"Device {ADDRESS} disconnected unexpectedly\n"),
        (connecting.connect_with_full_options, "Disconnected\n"),
    ],
    ids=["callback", "full options"],
)
async def test_disconnection_callback(
    example: Example, line: str, house: House, capsys: Capture
) -> None:
    """A link that is lost is told, once."""
    client = await example(house.device)
    assert capsys.readouterr().out == ""
    await house.proxy.kill()
    await until(lambda: not client.is_connected)
    await client.disconnect()
    assert capsys.readouterr().out == line


async def test_custom_client(house: House) -> None:
    """The client is of the program's own class."""
    client = await connecting.connect_with_custom_client(house.device)
    assert type(client) is connecting.CustomClient
    await client.disconnect()


async def test_device_tracking_after_failure(open_house: Open) -> None:
    """The callback is asked after an attempt that failed, and the next one succeeds."""
    house = await open_house(outcomes=(CONNECTION_TIMEOUT,))
    asked: list[BLEDevice] = []

    class Tracker(connecting.DeviceTracker):
        def get_device(self) -> BLEDevice:
            asked.append(self.device)
            return super().get_device()

    tracker = Tracker(house.device)
    client = await connecting.connect_with_device_tracking(tracker)
    assert client.is_connected
    assert asked == [house.device]
    await client.disconnect()


# Errors. The scripted ones of test_errors.py are those that take the example half a minute.


async def test_aborted(open_house: Open, capsys: Capture) -> None:
    """A link that times out at each attempt is told as one that was aborted."""
    house = await open_house(outcomes=(CONNECTION_TIMEOUT,) * 4)
    assert await errors.connect_with_error_handling(house.device) is None
    assert capsys.readouterr().out == ABORTED
    assert house.free == 3


async def test_connection_failed(open_house: Open, capsys: Capture) -> None:
    """Where the firmware tells it, a refusal of the link's security is told with its reason."""
    house = await open_house(outcomes=(AUTHENTICATION_FAILURE,) * 4, profile="2026.7.0")
    assert await errors.connect_with_error_handling(house.device) is None
    out = capsys.readouterr().out
    assert out.startswith(f"Connection failed: {NAME} - {ADDRESS}: Failed to connect after 4 ")
    assert "HCI_AUTHENTICATION_FAILURE" in out


async def test_not_found(
    open_house: Open, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that never answers is told as one that was not found."""
    house = await open_house(outcomes=(Outcome(after=float("inf")),))
    limited = partial(establish_connection, deadline=0.3)
    monkeypatch.setattr(errors, "establish_connection", limited)
    assert await errors.connect_with_error_handling(house.device) is None
    assert capsys.readouterr().out == NOT_FOUND


async def test_out_of_slots(
    open_house: Open, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy whose slot is taken is told as one without slots."""
    house = await open_house(others=1, slots=1)
    other = await house.fleet.find_device(address(1), DEADLINE)
    holder = await establish_connection(BleakClientWithServiceCache, other, "other")
    limited = partial(establish_connection, deadline=0.3)
    monkeypatch.setattr(errors, "establish_connection", limited)
    assert await errors.connect_with_error_handling(house.device) is None
    assert capsys.readouterr().out == NO_SLOT
    await holder.disconnect()


# A characteristic that is missing


async def test_characteristic_is_there(house: House, capsys: Capture) -> None:
    """With the characteristic there nothing is cleared."""
    client = await missing.connect_and_validate_services(house.device)
    assert capsys.readouterr().out == ""
    assert house.proxy.snapshot().received["BluetoothDeviceRequest"] == 1
    await client.disconnect()


@pytest.mark.parametrize(
    ("old", "what"),
    [((BATTERY,), f"Service {SERVICE}"), ((OLD_COMMANDS,), f"Characteristic {CHARACTERISTIC}")],
    ids=["service", "characteristic"],
)
async def test_characteristic_comes_with_an_update(
    old: tuple[ServiceSpec, ...], what: str, open_house: Open, virtual: Virtual, capsys: Capture
) -> None:
    """Services known from before the update are used, found wanting, and replaced."""
    house = await open_house(*old)
    await connecting.connect_to_device(house.device)
    await house.proxy.kill()
    updated = await virtual("bedroom", switch(BATTERY, COMMANDS, **{BEDROOM: -50}))
    await until(
        lambda: [path.source for path in house.fleet.paths(ADDRESS) if path.usable] == [BEDROOM]
    )
    client = await missing.connect_and_validate_services(house.device)
    assert capsys.readouterr().out == f"Characteristic missing, clearing cache: {what} not found\n"
    assert client.is_connected
    assert client.services.get_characteristic(CHARACTERISTIC) is not None
    received = updated.proxies[BEDROOM].snapshot().received
    assert received["BluetoothGATTGetServicesRequest"] == 1
    await client.disconnect()


async def test_characteristic_stays_missing(open_house: Open, capsys: Capture) -> None:
    """A characteristic that is not in fresh services either is an error; no slot is held."""
    house = await open_house(OLD_COMMANDS)
    with pytest.raises(missing.CharacteristicMissingError, match="still not found after cache"):
        await missing.connect_and_validate_services(house.device)
    assert "clearing cache" in capsys.readouterr().out
    assert house.free == 3


# The complete example and the decorator


def scan_with(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the complete example scan with a fleet: bleak's scanner hears no proxies."""

    class FleetScanner:
        @staticmethod
        async def discover() -> list[BLEDevice]:
            return fleet.devices

    monkeypatch.setattr(complete, "BleakScanner", FleetScanner)


async def test_complete_example(
    house: House, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists every service and characteristic of the first device."""
    scan_with(house.fleet, monkeypatch)
    await complete.main()  # type: ignore[no-untyped-call]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "Scanning for devices...",
        f"Connecting to {NAME}...",
        "Connected successfully!",
    ]
    assert lines[-5:] == [
        f" Service: {BATTERY_SERVICE}",
        f" Characteristic: {BATTERY_LEVEL}",
        f" Service: {SERVICE}",
        f" Characteristic: {CHARACTERISTIC}",
        "Disconnected",
    ]
    assert house.free == 3


async def test_complete_example_fails(
    open_house: Open, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What establish_connection raises is what it catches."""
    house = await open_house(outcomes=(CONNECTION_TIMEOUT,) * 4)
    scan_with(house.fleet, monkeypatch)
    await complete.main()  # type: ignore[no-untyped-call]
    assert f"Failed to connect: {NAME} - {ADDRESS}: Failed" in capsys.readouterr().out


async def test_complete_example_without_devices(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no device it says so."""
    async with Fleet(discover=False) as fleet:
        scan_with(fleet, monkeypatch)
        await complete.main()  # type: ignore[no-untyped-call]
    assert capsys.readouterr().out == "Scanning for devices...\nNo devices found\n"


async def test_decorator(house: House, capsys: Capture) -> None:
    """The battery level is read, and the link closed."""
    await battery.main(house.device)  # type: ignore[no-untyped-call]
    assert capsys.readouterr().out == f"Battery: {LEVEL}%\n"
    assert house.free == 3


@pytest.mark.parametrize("failures", [2, 3])
async def test_decorator_retries(failures: int, open_house: Open, capsys: Capture) -> None:
    """Two reads that the device refuses are tried again; the error of the third is raised."""
    reads = itertools.count()

    def read() -> bytes:
        if next(reads) < failures:
            raise AttError(0x0E)
        return b"\x32"

    house = await open_house(
        ServiceSpec(BATTERY_SERVICE, [CharacteristicSpec(BATTERY_LEVEL, on_read=read)])
    )
    if failures < 3:
        await battery.main(house.device)  # type: ignore[no-untyped-call]
        assert capsys.readouterr().out == "Battery: 50%\n"
    else:
        with pytest.raises(BleakGATTProtocolError) as caught:
            await battery.main(house.device)  # type: ignore[no-untyped-call]
        assert caught.value.code == 0x0E
    assert next(reads) == 3
    assert house.free == 3


# What a device tells


async def test_source(house: House) -> None:
    """A device of a proxy carries its name, and is described with it."""
    assert device_source(house.device) == KITCHEN
    assert not bluez.is_local(house.device)
    assert ble_device_description(house.device) == f"{ADDRESS} - {NAME} -> {KITCHEN}"


@pytest.mark.parametrize(
    ("name", "details", "text"),
    [
        (NAME, {"path": "/org/bluez/hci0/dev_AA"}, f"{ADDRESS} - {NAME} -> /org/bluez/hci0"),
        (NAME, {"source": "kitchen"}, f"{ADDRESS} - {NAME} -> kitchen"),
        (NAME, {}, f"{ADDRESS} - {NAME}"),
        (ADDRESS, {}, ADDRESS),
        (NAME, None, f"{ADDRESS} - {NAME}"),
    ],
    ids=["path", "source", "neither", "no name", "no details"],
)
def test_description(name: str, details: object, text: str) -> None:
    """The tail is the adapter's path or the source, if there is one."""
    assert ble_device_description(BLEDevice(ADDRESS, name, details)) == text
