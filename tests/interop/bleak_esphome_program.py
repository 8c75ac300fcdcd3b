"""A program that uses bleak-esphome and habluetooth against a proxy; run by the tests.

It is a process of its own because habluetooth replaces the classes of bleak and of
bleak-retry-connector, and keeps one manager for the whole process.

Usage: bleak_esphome_program.py PART PORT NOISE_PSK ADDRESS; writes one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import bleak_retry_connector
from aioesphomeapi.client import APIClient
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak_esphome import connect_scanner
from bleak_esphome.backend.client import ESPHomeClient, ESPHomeClientData
from bluetooth_adapters import AdapterDetails, BluetoothAdapters
from habluetooth import BluetoothManager

import proxyconn

READ = "0000fff1-0000-1000-8000-00805f9b34fb"
ECHO = "0000fff2-0000-1000-8000-00805f9b34fb"
SECRET = "0000fff4-0000-1000-8000-00805f9b34fb"

DEADLINE = 10.0
"""Seconds within which anything that should happen has happened."""


class NoAdapters(BluetoothAdapters):
    """A machine without Bluetooth."""

    @property
    def adapters(self) -> dict[str, AdapterDetails]:
        """None."""
        return {}

    @property
    def default_adapter(self) -> str:
        """The name that one would have."""
        return "hci0"


class Peer:
    """bleak-esphome, connected to a proxy on any port."""

    def __init__(self, manager: BluetoothManager, data: ESPHomeClientData) -> None:
        self.manager = manager
        self.data = data

    async def device(self, address: str) -> BLEDevice:
        """Return a device, waiting for it to be heard."""
        heard = asyncio.Event()
        stop = self.manager.async_register_bleak_callback(lambda device, data: heard.set(), {})
        try:
            async with asyncio.timeout(DEADLINE):
                while not (found := self.manager.async_ble_device_from_address(address, True)):
                    heard.clear()
                    await heard.wait()
        finally:
            stop()
        return found

    def backend(self) -> type[ESPHomeClient]:
        """Return bleak-esphome's client class for this proxy, as BleakClient takes it."""
        data = self.data

        class BoundClient(ESPHomeClient):
            def __init__(self, device: BLEDevice, **kwargs: Any) -> None:
                super().__init__(device, client_data=data, **kwargs)

        return BoundClient


async def connect_peer(stack: AsyncExitStack, port: int, noise_psk: str) -> Peer:
    """Do what bleak-esphome's APIConnectionManager does, which knows only port 6053."""
    manager = BluetoothManager(NoAdapters())
    await manager.async_setup()
    stack.callback(manager.async_stop)
    client = APIClient("127.0.0.1", port, None, noise_psk=noise_psk)
    await client.connect(login=True)
    stack.push_async_callback(client.disconnect)
    data = connect_scanner(client, await client.device_info(), True)
    assert data.scanner
    stack.callback(data.scanner.async_setup())
    stack.callback(manager.async_register_scanner(data.scanner))
    return Peer(manager, data)


async def use(peer: Peer, address: str) -> dict[str, Any]:
    """Live a whole connection as their users do."""
    notified: asyncio.Queue[bytes] = asyncio.Queue()
    losses: list[str] = []
    client = await bleak_retry_connector.establish_connection(
        bleak_retry_connector.BleakClientWithServiceCache,
        await peer.device(address),
        "thing",
        disconnected_callback=lambda gone: losses.append(gone.address),
    )
    result: dict[str, Any] = {
        "class": type(client).__name__,
        "services": [service.uuid for service in client.services],
        "mtu": client.mtu_size,
        "read": (await client.read_gatt_char(READ)).decode(),
    }
    await client.start_notify(ECHO, lambda sender, value: notified.put_nowait(bytes(value)))
    await client.write_gatt_char(ECHO, b"abc", response=True)
    async with asyncio.timeout(DEADLINE):
        result["notified"] = (await notified.get()).decode()
    result["written"] = (await client.read_gatt_char(ECHO)).decode()
    await client.stop_notify(ECHO)
    await client.disconnect()
    return {**result, "connected": client.is_connected, "losses": losses}


async def use_and_pair(peer: Peer, address: str) -> dict[str, Any]:
    """Live a whole connection, and another one that is paired."""
    result = await use(peer, address)
    client = await bleak_retry_connector.establish_connection(
        bleak_retry_connector.BleakClientWithServiceCache, await peer.device(address), "thing"
    )
    await client.pair()
    secret = await client.read_gatt_char(SECRET)
    await client.disconnect()
    return {**result, "secret": secret.decode()}


async def connect_with_ours(peer: Peer, address: str) -> dict[str, Any]:
    """Connect with our establish_connection through bleak-esphome's client, and read."""
    retries: list[str] = []
    client = await proxyconn.establish_connection(
        BleakClient,
        await peer.device(address),
        "thing",
        backend=peer.backend(),
        on_retry=lambda retry: retries.append(retry.kind),
    )
    value = await client.read_gatt_char(READ)
    await client.disconnect()
    return {"backend": client.backend_id, "read": value.decode(), "retries": retries}


async def fail_with_ours(peer: Peer, address: str) -> dict[str, Any]:
    """Try once to connect with our establish_connection, and say how it failed."""
    device = await peer.device(address)
    try:
        await proxyconn.establish_connection(
            BleakClient, device, "thing", backend=peer.backend(), max_attempts=0
        )
    except proxyconn.ProxyconnError as exc:
        return {
            "raised": type(exc).__name__,
            "kind": exc.kind,
            "attempts": exc.attempts,
        }
    return {"raised": None}


async def fail_for_slots(peer: Peer, address: str) -> dict[str, Any]:
    """Connect one device, which takes the only slot, and then another."""
    first = BleakClient(await peer.device(address), backend=peer.backend())
    other = f"{address[:-2]}{int(address[-2:], 16) + 1:02X}"
    await peer.device(other)
    await first.connect()
    result = await fail_with_ours(peer, other)
    await first.disconnect()
    return result


async def fail_with_theirs(peer: Peer, address: str) -> dict[str, Any]:
    """Connect as their users do, where it cannot succeed, and say how it failed."""
    device = await peer.device(address)
    sys.stderr.write("heard\n")
    sys.stderr.flush()
    await asyncio.to_thread(sys.stdin.readline)
    # It would try nine times, 4 s apart.
    vars(bleak_retry_connector)["BLEAK_OUT_OF_SLOTS_BACKOFF_TIME"] = 0.05
    try:
        await bleak_retry_connector.establish_connection(
            bleak_retry_connector.BleakClientWithServiceCache, device, "thing", max_attempts=1
        )
    except BleakError as exc:
        return {"raised": type(exc).__name__}
    return {"raised": None}


PARTS = {
    "use": use,
    "use_and_pair": use_and_pair,
    "connect_with_ours": connect_with_ours,
    "fail_with_ours": fail_with_ours,
    "fail_for_slots": fail_for_slots,
    "fail_with_theirs": fail_with_theirs,
}


async def main(part: str, port: int, noise_psk: str, address: str) -> None:
    """Play one part."""
    async with AsyncExitStack() as stack:
        peer = await connect_peer(stack, port, noise_psk)
        sys.stdout.write(json.dumps(await PARTS[part](peer, address)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
