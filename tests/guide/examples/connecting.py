"""establish_connection, with each of its options."""

# ruff: noqa: T201
# mypy: disable-error-code="no-untyped-def, no-untyped-call, arg-type"

from __future__ import annotations

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from proxyconn import BleakClientWithServiceCache, establish_connection


async def connect_to_device(device: BLEDevice):
    """Connect, and disconnect."""
    client = await establish_connection(
        BleakClientWithServiceCache, device, name=device.name or device.address
    )
    services = client.services  # noqa: F841
    await client.disconnect()
    return client


async def connect_with_callback(device: BLEDevice):
    """Connect, and hear of the end of the link."""

    def on_disconnect(client):
        print(f"Device {device.address} disconnected unexpectedly")

    client = await establish_connection(
        BleakClientWithServiceCache,
        device,
        name=device.name or device.address,
        disconnected_callback=on_disconnect,
        max_attempts=5,
    )
    return client  # noqa: RET504


class DeviceTracker:
    """Keeps the device as it is known now."""

    def __init__(self, initial_device: BLEDevice):
        self.device = initial_device

    def get_device(self) -> BLEDevice:
        """Return the device as it is known now."""
        return self.device

    def update_device(self, new_device: BLEDevice):
        """Take another one."""
        self.device = new_device


async def connect_with_device_tracking(tracker: DeviceTracker):
    """Connect to whatever the device is at each attempt."""
    client = await establish_connection(
        BleakClientWithServiceCache,
        tracker.device,
        name="TrackedDevice",
        ble_device_callback=tracker.get_device,
    )
    return client  # noqa: RET504


class CustomClient(BleakClient):
    """A client class of the program's own."""

    async def custom_method(self):
        """Do something that only this class can."""


async def connect_with_custom_client(device: BLEDevice):
    """Connect with it."""
    client = await establish_connection(CustomClient, device, name=device.name, max_attempts=3)
    await client.custom_method()
    return client


async def connect_with_full_options(device: BLEDevice):
    """Connect with everything there is to say."""
    client = await establish_connection(
        BleakClientWithServiceCache,
        device,
        name="MyDevice",
        disconnected_callback=lambda c: print("Disconnected"),
        max_attempts=6,
        use_services_cache=True,
        timeout=30.0,
    )
    return client  # noqa: RET504
