"""A virtual proxy calls its client as the firmware does: when, how often, and with which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxyconn_native_api.dialling import LONGEST_RETRY, OutgoingConnection
from proxyconn_virtual.firmware.spec import DeepSleep
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.fleet.place import free_port

pytestmark = pytest.mark.looptime

KEY, MAC = new_noise_psk(), "AA:BB:CC:00:00:01"


@asynccontextmanager
async def calling(port: int, **spec: object) -> AsyncIterator[VirtualProxy]:
    """Run a proxy that calls a port of this machine."""
    calls = OutgoingConnection(host="127.0.0.1", port=port, delay=60.0)
    options = {"noise_psk": KEY, "profile": "2026.10", "outgoing_connection": calls, **spec}
    made = ProxySpec(name="shed", mac=MAC, **options)  # type: ignore[arg-type]
    async with VirtualFleet([made], [], announce=False) as fleet:
        yield fleet.proxies["shed"]


class Listener:
    """Takes calls, notes when, and hangs up after what it is told to."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.hellos: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listener]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.hellos.append(await reader.read(100))
        writer.close()


def waits(times: list[float], start: float) -> list[float]:
    """Return the seconds before each call."""
    return [at - before for at, before in zip(times, [start, *times], strict=False)]


async def test_it_greets_first_and_backs_off() -> None:
    """One minute after boot, then after 5 s, doubling to 300 s, a fifth more or less each time."""
    async with Listener().listening() as listener, calling(listener.port):
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(1500)
        told = waits(listener.times, start)
        assert told[0] == pytest.approx(60, abs=0.2)
        for wait, wanted in zip(told[1:], [5, 10, 20, 40, 80, 160, 300, 300, 300], strict=False):
            assert 0.8 * wanted - 0.1 <= wait <= 1.2 * wanted + 0.1
        assert len(told) >= 8
        assert max(told) <= 1.2 * LONGEST_RETRY + 0.1
        assert len({round(wait / 5, 3) for wait in told[1:]}) > 5
        assert set(listener.hellos) == {b"\x01\x00\x13\x01shed\x00aabbcc000001\x00"}


async def test_a_port_where_nobody_listens_is_called_again() -> None:
    """A refused connection is a failed call."""
    async with calling(free_port()) as proxy:
        await asyncio.sleep(60 + 6 + 12 + 24 + 48 + 1)
        assert proxy.dialler is not None
        assert 5 <= proxy.dialler.calls <= 6


async def test_a_deep_sleeper_calls_at_once() -> None:
    """It has no minute to lose."""
    async with Listener().listening() as listener:
        async with calling(listener.port, deep_sleep=DeepSleep(awake=30, asleep=100)):
            start = asyncio.get_running_loop().time()
            await asyncio.sleep(200)
        first = [at - start for at in listener.times]
        assert first[0] < 0.5
        assert any(at == pytest.approx(130, abs=2) for at in first)
        assert not any(31 < at < 128 for at in first)


async def test_nobody_to_call_is_no_failure() -> None:
    """It looks again every five seconds, with the shortest back-off still ahead."""
    async with calling(1, outgoing_connection=OutgoingConnection(delay=1)) as proxy:
        await asyncio.sleep(100)
        assert proxy.dialler is not None
        assert proxy.dialler.calls == 0


async def test_full_client_table_is_no_failure() -> None:
    """The call waits for room."""
    async with Listener().listening() as listener, calling(listener.port) as proxy:
        clients = [await asyncio.open_connection(proxy.host, proxy.port) for _ in range(5)]
        await asyncio.sleep(62)
        assert not listener.times
        for _, writer in clients:
            writer.close()
        await asyncio.sleep(6)
        assert len(listener.times) == 1


@pytest.mark.parametrize(
    ("wrong", "why"), [({"noise_psk": None}, "key"), ({"profile": "2026.9"}, "2026.10")]
)
async def test_what_it_needs(wrong: dict[str, object], why: str) -> None:
    """A key, as ESPHome's own check of the YAML says, and firmware that has it."""
    with pytest.raises(ValueError, match=why):
        async with calling(1, **wrong):
            pass


def test_only_addresses_are_called() -> None:
    """The firmware resolves no names."""
    with pytest.raises(ValueError, match=r"house\.example"):
        OutgoingConnection(host="house.example")
