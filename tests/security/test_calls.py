"""Whoever can reach the port that proxies call may say to be any of them, as often as it likes."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxyconn import RadioState
from proxyconn_esphome.calls import HOST_REST, MOST_CALLS, MOST_REFUSED, MOST_REFUSED_OF_HOST
from proxyconn_virtual.proxy import new_noise_psk
from tests.fleet.place import MAC
from tests.fleet.test_calls import DELAY, SHED, SOON, House, until

pytestmark = pytest.mark.looptime

DIGITS = MAC.replace(":", "").lower()


def hello(mac: str = DIGITS, name: str = SHED) -> bytes:
    """Return what a proxy calls with."""
    body = b"\x01" + name.encode() + b"\0" + mac.encode() + b"\0"
    return b"\x01" + len(body).to_bytes(2, "big") + body


class Strangers:
    """Connections to a port, from as many addresses of this machine as wanted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.sockets: list[socket.socket] = []

    async def call(self, said: bytes, source: str = "127.0.0.9") -> socket.socket:
        """Call, and say something."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((source, 0))
        self.sockets.append(sock)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self._port))
        await loop.sock_sendall(sock, said)
        await asyncio.sleep(0.01)
        return sock


@asynccontextmanager
async def strangers(house: House) -> AsyncIterator[Strangers]:
    """Have somebody call, and hang up in the end."""
    calls = Strangers(house.port)
    try:
        yield calls
    finally:
        for sock in calls.sockets:
            sock.close()


async def hung_up(sock: socket.socket, seconds: float = 20) -> bool:
    """Whether the other end closes a connection within some seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            while await loop.sock_recv(sock, 4096):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def test_a_claim_does_not_disturb_a_session() -> None:
    """The proxy that is connected stays so, whoever says to be it."""
    async with House() as house, house.calling() as outside, strangers(house) as others:
        await until(lambda: house.is_ready, SOON)
        states: list[RadioState] = []
        radio = house.radio
        house.hub.state_callbacks.register(lambda: states.append(radio.state))
        for _ in range(20):
            assert await hung_up(await others.call(hello()), 1)
        await asyncio.sleep(30)
        assert set(states) <= {RadioState.READY}
        assert house.hub.radios == [radio]
        assert outside.proxies[SHED].snapshot().clients == ("proxyconn",)


@pytest.mark.parametrize("key", [None, new_noise_psk()], ids=["half-open", "wrong key"])
async def test_a_claim_does_not_keep_the_real_one_out(key: str | None) -> None:
    """Who says to be an absent proxy changes nothing about it, and holds up nobody who is it."""
    async with House() as house, house.calling() as outside, strangers(house) as others:
        shed = outside.proxies[SHED]
        await until(lambda: house.is_ready, SOON)
        radio = house.radio
        await shed.kill()
        await asyncio.sleep(20)
        before = radio.state, radio.problem
        claims = asyncio.create_task(_claim(house, others, key))
        await asyncio.sleep(20)
        assert (radio.state, radio.problem) == before
        await shed.start()
        # A call of its own may be one of those that its neighbours' claims push out.
        await until(lambda: radio.state is RadioState.READY, 8 * DELAY)
        claims.cancel()
        await asyncio.gather(claims, return_exceptions=True)


async def _claim(house: House, others: Strangers, key: str | None) -> None:
    """Say to be the shed again and again, and go no further or prove another key."""
    if key is None:
        while True:
            await others.call(hello())
            await asyncio.sleep(0.5)
    async with house.calling("usurper", MAC, noise_psk=key) as usurper:
        impostor = usurper.proxies["usurper"]
        impostor.name = SHED
        while True:
            await impostor.server.call("127.0.0.1", house.port, "127.0.0.9")
            await asyncio.sleep(0.5)


async def test_calls_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """Callers that say a new name and address each time leave a few rows and a few lines."""
    async with House(noise_psk={"kitchen": new_noise_psk()}) as house:
        async with strangers(house) as others:
            for number in range(200):
                sock = await others.call(hello(f"{number:012x}"), f"127.0.1.{number % 3 + 1}")
                assert await hung_up(sock, 1)
        assert len(house.hub.radios) == 3 * MOST_REFUSED_OF_HOST <= MOST_REFUSED
        told = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(told) == len(house.hub.radios)


async def test_handshakes_without_end() -> None:
    """No more are begun at once than the bound says, and each of them is ended in time."""
    async with House() as house, strangers(house) as others:
        quiet = [await others.call(hello(f"{number:012x}")) for number in range(3 * MOST_CALLS)]
        busy = [task for task in asyncio.all_tasks() if "_answer" in repr(task)]
        assert len(busy) <= MOST_CALLS
        ended = await asyncio.gather(*(hung_up(sock) for sock in quiet))
        assert all(ended)
        assert len(house.hub.radios) <= MOST_REFUSED_OF_HOST


async def test_connections_that_say_nothing() -> None:
    """They are not waited for long, and a proxy that calls gets through between them."""
    async with House() as house, strangers(house) as others, house.calling():
        for _ in range(50):
            await others.call(b"")
        await until(lambda: house.is_ready, SOON)
        assert all(await asyncio.gather(*(hung_up(sock) for sock in others.sockets)))


async def test_calls_that_are_reset(caplog: pytest.LogCaptureFixture) -> None:
    """Who is gone again before the call is looked at leaves no traceback in the log."""
    async with House() as house, strangers(house) as others:
        loop = asyncio.get_running_loop()
        for _ in range(30):
            sock = socket.socket()
            others.sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await loop.sock_connect(sock, ("127.0.0.1", house.port))
            await loop.sock_sendall(sock, hello())
            sock.close()
            await asyncio.sleep(0.01)
        await asyncio.sleep(20)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(house.hub.radios) <= 1


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x07",
        b"\x01\x00\x00",
        b"\x01\xff\xff" + bytes(200),
        hello("not an address"),
        hello(name="\x1b[2J\n" * 9),
        hello(name=""),
        b"\x01\x00\x05\x01a\0b\0",
    ],
)
async def test_calls_that_are_none(said: bytes) -> None:
    """Whatever is said, it is closed; nothing of it reaches a terminal."""
    async with House(noise_psk={"kitchen": new_noise_psk()}) as house:
        async with strangers(house) as others:
            assert await hung_up(await others.call(said))
        for radio in house.hub.radios:
            assert radio.name.isprintable()
            assert (radio.problem or "").isprintable()


async def test_a_host_whose_call_failed_has_a_rest() -> None:
    """Handshakes cost time; one that fails is not repeated at once, however often it is asked."""
    house = House()
    calling = house.calling(noise_psk=new_noise_psk())
    async with house, strangers(house) as others, calling as outside:
        first = await outside.proxies[SHED].server.call("127.0.0.1", house.port, "127.0.0.9")
        assert first is not None
        await first.closed
        assert await hung_up(await others.call(hello()), HOST_REST / 2)


async def test_failed_calls_are_not_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each caller, however often it calls."""
    async with House() as house, house.calling(noise_psk=new_noise_psk()):
        await asyncio.sleep(300)
        told = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(told) == 1
