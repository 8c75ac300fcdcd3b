"""Software that was not written here, as clients of an owner."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioesphomeapi.api_pb2 import (  # type: ignore[attr-defined]  # its stubs are newer
    AuthenticationRequest,
    AuthenticationResponse,
)
from aioesphomeapi.client import APIClient
from aioesphomeapi.core import InvalidEncryptionKeyAPIError, RequiresEncryptionAPIError
from aioesphomeapi.model import BluetoothProxyFeature

from .conftest import (
    DEADLINE,
    OWNER_KEY,
    VALUE,
    House,
    MakeHouse,
    address,
    connect,
    peripheral,
    until,
)

PROGRAM = Path(__file__).parent.parent / "interop" / "bleak_esphome_program.py"
SECONDS = 30.0
NUMBER = 0xC40000000001


@asynccontextmanager
async def peer(house: House, part: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a part of a program that uses bleak-esphome and habluetooth on an owner."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        part,
        str(house.port()),
        OWNER_KEY,
        address(1),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def result_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return what the program printed in the end."""
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out)
    return result


async def test_bleak_esphome_and_habluetooth(make_house: MakeHouse) -> None:
    """They connect, read, write, are notified and leave the slot free, beside a client of ours."""
    house: House = await make_house(peripheral(1), peripheral(2))
    ours = await connect(await house.client(), 2)
    async with peer(house, "use") as process:
        result = await result_of(process)
    assert result["read"] == VALUE.decode()
    assert (result["notified"], result["written"], result["mtu"]) == ("cba", "abc", 247)
    assert result["losses"] == [address(1)]
    assert ours.is_connected
    await ours.disconnect()
    await until(lambda: not any(p.snapshot().slots for p in house.virtual.proxies.values()))


async def test_their_retry_connector_takes_a_busy_device_for_busy(make_house: MakeHouse) -> None:
    """bleak-retry-connector's loop over habluetooth waits and tries again, nine times.

    It ends in its class for a controller that has no room now, never in that for a device that is
    not there; no number of the protocol would make it say "out of slots".
    """
    house: House = await make_house()
    ours = await house.client()
    await ours.find_device(address(1), DEADLINE)
    async with peer(house, "fail_with_theirs") as process:
        assert process.stderr is not None
        assert process.stdin is not None
        async with asyncio.timeout(SECONDS):
            while await process.stderr.readline() != b"heard\n":
                pass
        held = await connect(ours)
        process.stdin.write(b"\n")
        result = await result_of(process)
    assert result == {"raised": "BleakAbortedError"}
    assert held.is_connected
    await held.disconnect()


async def test_their_retry_connector_takes_a_full_fleet_for_full(make_house: MakeHouse) -> None:
    """With every slot of the fleet taken, it ends in the same class."""
    house: House = await make_house(peripheral(1), peripheral(2), names=("kitchen",), slots=1)
    ours = await house.client()
    await ours.find_device(address(2), DEADLINE)
    async with peer(house, "fail_with_theirs") as process:
        assert process.stderr is not None
        assert process.stdin is not None
        async with asyncio.timeout(SECONDS):
            while await process.stderr.readline() != b"heard\n":
                pass
        held = await connect(ours, 2)
        process.stdin.write(b"\n")
        result = await result_of(process)
    assert result == {"raised": "BleakOutOfConnectionSlotsError"}
    await held.disconnect()


async def test_device_info(make_house: MakeHouse) -> None:
    """aioesphomeapi sees what is served, and flags that are true."""
    house: House = await make_house(serve={"name": "the-box"})
    client = APIClient("127.0.0.1", house.port(), None, noise_psk=OWNER_KEY)
    await client.connect(login=True)
    info = await client.device_info()
    assert (info.name, info.manufacturer, info.project_name) == (
        "the-box",
        "proxyconn",
        "proxyconn.serve",
    )
    assert client.api_version
    flags = info.bluetooth_proxy_feature_flags_compat(client.api_version)
    assert BluetoothProxyFeature(flags) == BluetoothProxyFeature(255)
    await client.disconnect()


async def test_older_clients_log_in(make_house: MakeHouse) -> None:
    """aioesphomeapi up to 2025 asks after Hello whether its password is right, and waits.

    Home Assistant 2025.4 does so, found when it was run against an owner.
    """
    house: House = await make_house()
    client = APIClient("127.0.0.1", house.port(), None, noise_psk=OWNER_KEY)
    await client.connect(login=True)
    connection = client._connection  # noqa: SLF001 - there is no public way to a raw message
    assert connection is not None
    answer = await connection.send_message_await_response(
        AuthenticationRequest(password=""), AuthenticationResponse, timeout=DEADLINE
    )
    assert not answer.invalid_password
    await client.disconnect()


async def test_wrong_key_and_none(make_house: MakeHouse) -> None:
    """A client with another key, or without one, is refused as a proxy refuses it."""
    house: House = await make_house()
    wrong = APIClient("127.0.0.1", house.port(), None, noise_psk="A" * 43 + "=")
    with pytest.raises(InvalidEncryptionKeyAPIError):
        await wrong.connect(login=True)
    plain = APIClient("127.0.0.1", house.port(), None)
    with pytest.raises(RequiresEncryptionAPIError):
        await plain.connect(login=True)
    assert not house.owner.clients
