"""Sessions over real TCP, with aioesphomeapi as the client."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress

import pytest
from aioesphomeapi.client import APIClient
from aioesphomeapi.core import (
    APIConnectionError,
    EncryptionHelloAPIError,
    EncryptionPlaintextAPIError,
    InvalidEncryptionKeyAPIError,
    RequiresEncryptionAPIError,
)

from proxyconn_native_api.listener import ApiServer
from proxyconn_virtual.events import ClientConnected, ClientGone, ProxyEvent
from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import DEADLINE, Bench, Peer, api, peripheral, until

KEY = new_noise_psk(random.Random(1))
OTHER_KEY = new_noise_psk(random.Random(2))


def plain(number: int, payload: bytes = b"") -> bytes:
    """Return a short plaintext frame."""
    return bytes((0, len(payload), number)) + payload


async def raw(proxy: VirtualProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a bare TCP connection."""
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def everything(reader: asyncio.StreamReader) -> bytes:
    """Return all bytes until the proxy closes, even by a reset."""
    got = b""
    async with asyncio.timeout(DEADLINE):
        try:
            while data := await reader.read(4096):
                got += data
        except ConnectionResetError:
            pass
    return got


@pytest.mark.parametrize("key", [None, KEY], ids=["plaintext", "noise"])
async def test_session_hello_and_device_info(bench: Bench, key: str | None) -> None:
    """The client learns name, versions, addresses and feature flags."""
    proxy = await bench.proxy(noise_psk=key, friendly_name="The kitchen")
    client = APIClient("127.0.0.1", proxy.port, None, noise_psk=key)
    await client.connect(login=True)
    info = await client.device_info()
    assert (info.name, info.friendly_name) == ("kitchen", "The kitchen")
    assert info.esphome_version == "2026.10.0"
    assert info.mac_address == proxy.mac
    assert int(info.bluetooth_mac_address.replace(":", ""), 16) == 2 + int(
        proxy.mac.replace(":", ""), 16
    )
    assert info.bluetooth_proxy_feature_flags == 255
    assert info.api_encryption_supported
    assert client.api_version is not None
    assert (client.api_version.major, client.api_version.minor) == (1, 19)
    await client.disconnect()


async def test_session_wrong_key(bench: Bench) -> None:
    """A wrong key is told as such."""
    proxy = await bench.proxy(noise_psk=KEY)
    peer = Peer(proxy, noise_psk=OTHER_KEY)
    with pytest.raises(InvalidEncryptionKeyAPIError) as caught:
        await peer.connect()
    assert caught.value.received_name == "kitchen"


async def test_session_plaintext_client_on_noise_proxy(bench: Bench) -> None:
    """A plaintext client learns that a key is needed."""
    proxy = await bench.proxy(noise_psk=KEY)
    proxy.noise_psk = None
    with pytest.raises(RequiresEncryptionAPIError):
        await Peer(proxy).connect()


async def test_session_noise_client_on_plaintext_proxy(bench: Bench) -> None:
    """A Noise client learns that the proxy has no key."""
    proxy = await bench.proxy()
    with pytest.raises((EncryptionPlaintextAPIError, EncryptionHelloAPIError)):
        await Peer(proxy, noise_psk=KEY).connect()


async def test_session_reject_bytes_over_tcp(bench: Bench) -> None:
    """The reject frames arrive whole before the connection closes."""
    noise, plaintext = await bench.proxy(noise_psk=KEY), await bench.proxy()
    for proxy, sent, expected in (
        (noise, plain(1), b"\x01\x00\x13\x01Bad indicator byte"),
        (plaintext, b"\x01\x00\x00", b"\x00Bad indicator byte"),
    ):
        reader, writer = await raw(proxy)
        writer.write(sent)
        assert await everything(reader) == expected
        writer.close()


async def test_session_sixth_client_is_closed_without_bytes(bench: Bench) -> None:
    """Five clients are served; one more is accepted and closed at once."""
    proxy = await bench.proxy()
    peers = [await bench.peer(proxy) for _ in range(5)]
    reader, writer = await raw(proxy)
    assert await everything(reader) == b""
    writer.close()
    await peers[0].close()
    await bench.peer(proxy)
    assert len(proxy.snapshot().clients) == 5


@pytest.mark.parametrize("number", [9, 66, 99], ids=["device info", "subscribe", "unknown"])
async def test_session_needs_hello_first(bench: Bench, number: int) -> None:
    """Anything but Hello, Ping and Disconnect before Hello drops the client silently."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(number))
    assert await everything(reader) == b""
    writer.close()


async def test_session_ping_and_disconnect_before_hello(bench: Bench) -> None:
    """Ping and Disconnect are answered before Hello; Disconnect ends the session."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(7) + plain(5))
    assert await everything(reader) == plain(8) + plain(6)
    writer.close()


async def test_session_hello_timeout(bench: Bench) -> None:
    """A client that never says Hello is dropped, and Ping does not help."""
    proxy = await bench.proxy(timings=Timings(hello=0.1))
    reader, writer = await raw(proxy)
    writer.write(plain(7))
    assert await everything(reader) == plain(8)
    writer.close()


async def test_session_keepalive(bench: Bench) -> None:
    """A silent client is pinged once, then dropped."""
    proxy = await bench.proxy(timings=Timings(ping_after=0.1, drop_after=0.25))
    reader, writer = await raw(proxy)
    writer.write(plain(1))
    got = await everything(reader)
    assert got.endswith(plain(7))
    assert got.count(plain(7)) == 1
    writer.close()


async def test_session_unknown_ids_are_ignored(bench: Bench) -> None:
    """A message that the proxy does not know changes nothing."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(1) + plain(99, b"\xff\xff") + plain(7) + plain(5))
    assert (await everything(reader)).endswith(plain(8) + plain(6))
    writer.close()


async def test_session_undecodable_protobuf_ends_it(bench: Bench) -> None:
    """A payload that is no protobuf ends the session."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(1) + plain(68, b"\xff"))
    await everything(reader)
    writer.close()
    await until(lambda: not proxy.snapshot().clients)


async def test_session_login_of_old_firmware(bench: Bench) -> None:
    """Firmware before 2026.1 answers message 3; later firmware ignores it."""
    old, new = await bench.proxy(profile="2025.9"), await bench.proxy()
    for proxy, answer in ((old, plain(4)), (new, b"")):
        reader, writer = await raw(proxy)
        writer.write(plain(1) + plain(3) + plain(5))
        got = await everything(reader)
        assert got[got[1] + 3 :] == answer + plain(6)
        writer.close()


async def test_session_stop_says_goodbye(bench: Bench) -> None:
    """A graceful stop sends DisconnectRequest, which the client takes as expected."""
    proxy = await bench.proxy(noise_psk=KEY)
    peer = await bench.peer(proxy)
    goodbye: asyncio.Queue[object] = asyncio.Queue()
    peer.connection.add_message_callback(goodbye.put_nowait, (api.DisconnectRequest,))
    await proxy.stop()
    await asyncio.wait_for(peer.stopped.wait(), DEADLINE)
    assert goodbye.qsize() == 1
    await proxy.stop()


async def test_session_kill_resets(bench: Bench) -> None:
    """A power loss resets the connection; after start the proxy is back on its port."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(1))
    await reader.readexactly(3)
    await until(lambda: bool(proxy.snapshot().clients))
    port = proxy.port
    await proxy.kill()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.readexactly(1000), DEADLINE)
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await raw(proxy)
    await proxy.start()
    assert proxy.port == port
    peer = await bench.peer(proxy)
    assert peer.connection.is_connected


async def test_session_half_open_client_is_dropped(bench: Bench) -> None:
    """A client that closed its side is gone for the proxy too, and observers hear of it."""
    proxy = await bench.proxy()
    seen: list[ProxyEvent] = []
    stop = proxy.add_observer(seen.append)
    peer = await bench.peer(proxy)
    await peer.close()
    await until(lambda: len(seen) == 2)
    assert seen == [ClientConnected("kitchen", "peer"), ClientGone("kitchen", "peer")]
    stop()
    stop()
    await bench.peer(proxy)
    assert len(seen) == 2


async def test_session_not_listening_raises(bench: Bench) -> None:
    """A stopped proxy refuses connections."""
    proxy = await bench.proxy()
    await proxy.stop()
    with pytest.raises(APIConnectionError):
        await Peer(proxy).connect()


def test_new_noise_psk_is_seeded() -> None:
    """The same seed gives the same key, and no seed gives another each time."""
    assert new_noise_psk(random.Random(1)) == KEY != OTHER_KEY
    assert new_noise_psk() != new_noise_psk()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "characters"),
        ({"name": "x" * 32}, "characters"),
        ({"slots": 0}, "slots"),
        ({"slots": 10}, "slots"),
        ({"profile": "1.0"}, "no profile"),
        ({"noise_psk": "?"}, "base64"),
        ({"noise_psk": "AAAA"}, "3 bytes"),
    ],
)
async def test_proxy_spec_out_of_range(change: dict[str, object], message: str) -> None:
    """A spec outside its ranges is refused with the reason."""
    values: dict[str, object] = {"name": "kitchen"} | change
    with pytest.raises(ValueError, match=message):
        VirtualProxy(ProxySpec(**values), SimulatedAir([]).radio("kitchen"))  # type: ignore[arg-type]


async def test_session_noise_survives_large_messages(bench: Bench) -> None:
    """A message as large as the proxy takes goes through Noise in one frame."""
    _, peer = await bench.pair(peripheral(), noise_psk=KEY)
    peer.send(api.BluetoothGATTWriteRequest(address=1, handle=2, data=bytes(32000)))
    assert await peer.quiet() == [("BluetoothGATTErrorResponse", 2, -1)]


@pytest.mark.parametrize("turns", range(8))
async def test_start_that_is_cancelled_leaves_nothing_open(bench: Bench, turns: int) -> None:
    """Whenever the start of a server is given up, its port is free again."""
    server = ApiServer(await bench.proxy())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    starting = asyncio.create_task(server.start("127.0.0.1", port))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    if not starting.cancelled():
        await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_client_that_ignores_a_goodbye_is_gone_though_the_end_is_cancelled(
    bench: Bench,
) -> None:
    """Its connection is not kept until it leaves."""
    proxy = await bench.proxy()
    reader, writer = await raw(proxy)
    writer.write(plain(1))
    await until(lambda: any(session.greeted for session in proxy.server.sessions))
    ending = asyncio.create_task(proxy.server.stop())
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert not proxy.server.sessions
    await everything(reader)
    writer.close()


@pytest.mark.parametrize("turns", range(6))
async def test_client_that_comes_as_the_server_ends_is_closed(bench: Bench, turns: int) -> None:
    """In whatever turn of the loop it is accepted: a session knows it, or nobody accepts it."""
    proxy = await bench.proxy()
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", proxy.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await proxy.server.kill()
        assert not proxy.server.sessions
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
