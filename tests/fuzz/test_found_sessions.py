"""What fuzzing the client's sessions has found: how they begin, end, and begin again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.message import Message

from proxyconn import Proxy, RadioState, RadioUnavailableError
from proxyconn_esphome import ProxySession
from proxyconn_esphome.wire.identity import MOST_TEXT
from proxyconn_native_api.frames import PlaintextFrames
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Replace
from tests.esphome.clocked import NUMBER, a_house
from tests.esphome.conftest import Open, open_house

pytestmark = pytest.mark.looptime

__all__ = ["open_house"]

HELLO = pb.HelloResponse(api_version_major=1, api_version_minor=10, name="kitchen")


class Curt:
    """A proxy that says hello and hangs up."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        self.calls += 1
        try:
            await reader.read(1000)
            writer.write(PlaintextFrames().encode(2, HELLO.SerializeToString()))
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def listening(curt: Curt) -> AsyncIterator[int]:
    """Listen; yield the port."""
    server = await asyncio.start_server(curt.answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_proxy_that_hangs_up_after_hello_is_not_called_without_rest() -> None:
    """It was called again at once, thousands of times a second."""
    curt = Curt()
    async with listening(curt) as port, ProxySession(Proxy("127.0.0.1", port)):
        await asyncio.sleep(120)
    assert 3 <= curt.calls < 15


async def test_what_arrives_after_the_end_is_dropped() -> None:
    """Slots told behind a goodbye in the same packet did belong to the next session."""
    late = pb.BluetoothConnectionsFreeResponse(free=3, limit=3)
    up = pb.BluetoothDeviceConnectionResponse(address=NUMBER, connected=True)
    async with a_house(noise_psk=None) as house:
        house.proxy.injectors.append(
            Replace(pb.DisconnectRequest, by=lambda goodbye: [goodbye, late, up])
        )
        house.proxy.server.dismiss()
        await asyncio.sleep(0.5)
        assert house.session.state is not RadioState.READY
        assert not house.session.ledger.reported


def said(**changes: Any) -> Replace:
    """Return what makes a proxy say something else of itself."""

    def spoil(message: Message) -> list[Message]:
        for name, value in changes.items():
            setattr(message, name, value)
        return [message]

    return Replace(pb.DeviceInfoResponse, by=spoil)


async def test_proxy_that_does_not_say_who_it_is_is_not_used() -> None:
    """Without a MAC address nobody can tell whether it is the same one the next time."""
    async with a_house(ready=False) as house:
        house.proxy.injectors.append(said(mac_address=""))
        with pytest.raises(RadioUnavailableError):
            await house.session.ready(60)
        house.proxy.injectors.clear()
        await house.session.ready(120)


async def test_name_of_a_proxy_is_short_and_plain() -> None:
    """It stands in every error, log and table."""
    async with a_house(ready=False) as house:
        house.proxy.injectors.append(said(name="\x1b[2J\n" + "x" * 60000, esphome_version="\r"))
        await house.session.ready(60)
        assert len(house.session.name) == MOST_TEXT
        assert house.session.name.isprintable()
        assert str(house.session.diagnostics()["esphome_version"]).isprintable()


async def test_another_name_in_the_device_info_alone_is_refused(open_house: Open) -> None:
    """Old firmware leaves the name out of the first messages, and so may who pretends to be it."""
    house = await open_house(noise_psk=None, ready=False)
    house.proxy.injectors += [
        Replace(pb.HelloResponse, by=lambda _: [pb.HelloResponse(api_version_major=1)]),
        said(name="bedroom"),
    ]
    proxy = Proxy(house.proxy.host, house.proxy.port, name="kitchen")
    async with ProxySession(proxy) as session:
        with pytest.raises(RadioUnavailableError, match="bedroom instead of kitchen"):
            await session.ready(60)
