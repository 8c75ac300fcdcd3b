"""Whatever is wrong gets a clear error of the taxonomy, and loses neither slot nor task."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    ErrorKind,
    InvalidKeyError,
    LinkError,
    OutOfSlotsError,
    Proxy,
    ProxyconnError,
    RadioState,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn_esphome import ConnectionReason, ESPHomeClient, ProxySession
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delay, Drop, Replace
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import new_noise_psk
from tests.esphome.conftest import DEADLINE, ECHO, NOTIFY, READ, House, Open, peripheral, until


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def problem_of(proxy: Proxy, timeout: float = DEADLINE) -> tuple[RadioState, str]:
    """Return the state and the words of the error that a session with `proxy` ends in."""
    async with ProxySession(proxy) as session:
        with pytest.raises(RadioUnavailableError) as caught:
            await session.ready(timeout)
        assert caught.value.kind is ErrorKind.RADIO_UNAVAILABLE
        return session.state, str(caught.value)


async def test_refused_port_is_named() -> None:
    """A port that refuses is told apart from a key that is wrong."""
    state, text = await problem_of(Proxy("127.0.0.1", closed_port()), 0.5)
    assert state is RadioState.GONE
    assert "check host and port" in text


async def test_unknown_host_is_named() -> None:
    """A host that does not resolve is named with what to do."""
    state, text = await problem_of(Proxy("no-such-host.invalid"), 2)
    assert state is RadioState.GONE
    assert "cannot be resolved" in text


async def test_wrong_key_is_named_and_not_shown(open_house: Open) -> None:
    """A wrong key is said to be wrong, and stands in no message."""
    house = await open_house()
    key = new_noise_psk()
    state, text = await problem_of(Proxy(house.proxy.host, house.proxy.port, noise_psk=key))
    assert state is RadioState.WRONG_KEY
    assert "refused the encryption key" in text
    assert key not in text


async def test_missing_key_is_named(open_house: Open) -> None:
    """A proxy that encrypts says that it wants a key."""
    house = await open_house()
    state, text = await problem_of(Proxy(house.proxy.host, house.proxy.port))
    assert state is RadioState.WRONG_KEY
    assert "wants an encryption key" in text


async def test_plaintext_proxy_is_refused_where_a_key_was_given(open_house: Open) -> None:
    """Encryption is never downgraded, however often it is tried."""
    house = await open_house(noise_psk=None)
    proxy = Proxy(house.proxy.host, house.proxy.port, noise_psk=new_noise_psk())
    state, text = await problem_of(proxy)
    assert state is RadioState.WRONG_KEY
    assert "not spoken to in the clear" in text
    assert house.proxy.snapshot().clients == ("proxyconn",)


@pytest.mark.parametrize("key", ["", "short", "A" * 43, "!" * 44, "QUJD"])
def test_malformed_key_is_refused_before_anything_is_sent(key: str) -> None:
    """What cannot be a key is an error of the caller, which does not repeat it."""
    with pytest.raises(InvalidKeyError, match="base64 of 32 bytes") as caught:
        Proxy("127.0.0.1", noise_psk=key)
    assert isinstance(caught.value, ValueError)
    assert not key or key not in str(caught.value)


def test_key_is_not_in_the_repr() -> None:
    """A proxy can be printed without giving its key away."""
    key = new_noise_psk()
    assert key not in repr(Proxy("127.0.0.1", noise_psk=key))


async def test_another_device_at_the_address_is_refused(open_house: Open) -> None:
    """A proxy that does not have the expected name is not used."""
    house = await open_house()
    proxy = Proxy(
        house.proxy.host, house.proxy.port, noise_psk=house.proxy.noise_psk, name="bedroom"
    )
    _, text = await problem_of(proxy)
    assert "another device answers" in text


async def test_passive_proxy_says_how_to_make_it_connect(open_house: Open) -> None:
    """A proxy that only listens is asked for nothing."""
    house = await open_house(active=False)
    with pytest.raises(UnsupportedError, match="active: true"):
        await BleakClientWithServiceCache(house.device()).connect()
    assert "BluetoothDeviceRequest" not in house.proxy.snapshot().received


async def test_device_of_no_scanner_is_refused() -> None:
    """An address alone does not say which proxy to use."""
    with pytest.raises(BleakError, match="find it with ESPHomeScanner or Fleet first"):
        BleakClient("C4:00:00:00:00:01", backend=ESPHomeClient)


async def test_full_proxy_names_the_holders(open_house: Open) -> None:
    """Out of slots: the error says who holds them; no request is sent."""
    house = await open_house(peripheral(1), peripheral(2), slots=1)
    async with BleakClientWithServiceCache(house.device(1)):
        with pytest.raises(OutOfSlotsError, match=r"1 of 1 in use by C4:00:00:00:00:01"):
            await BleakClientWithServiceCache(house.device(2)).connect()
    assert house.proxy.snapshot().connects_refused == 0
    await house.all_free()


async def test_refusal_without_a_report_is_out_of_slots(open_house: Open) -> None:
    """connected=false with error 0 in answer to a connect means: no slot."""
    house = await open_house()

    def refuse(message: pb.BluetoothDeviceRequest) -> list[pb.BluetoothDeviceRequest]:
        return []

    house.proxy.injectors.append(Replace(pb.BluetoothDeviceRequest, by=refuse))  # type: ignore[arg-type]
    client = house.client()
    connecting = asyncio.ensure_future(client.connect(False, timeout=DEADLINE))
    await until(lambda: bool(house.session.dispatcher.links))
    house.proxy.send_subscriber(
        pb.BluetoothDeviceConnectionResponse(address=0xC40000000001, connected=False, error=0)
    )
    with pytest.raises(OutOfSlotsError):
        await connecting
    house.proxy.injectors.clear()
    await house.all_free()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (0x3E, ErrorKind.ESTABLISH_FAILED),
        (0x100, ErrorKind.CONNECT_CANCELLED),
        (0x85, ErrorKind.STACK_ERROR),
        (0x08, ErrorKind.LINK_TIMEOUT),
        (0x13, ErrorKind.LINK_TERMINATED),
        (0x0D, ErrorKind.CONTROLLER_BUSY),
        (0x05, ErrorKind.SECURITY),
        (0x77, ErrorKind.OTHER),
    ],
)
async def test_failed_open_keeps_its_first_reason(
    reason: int, kind: ErrorKind, open_house: Open
) -> None:
    """Of the two notices of a failed open the first counts; the next connect is not hurt."""
    house = await open_house(peripheral(outcomes=[Outcome(reason=reason)]), profile="2026.7.0")
    await _fails_once(house, kind, reason)


async def test_failed_open_is_told_as_a_stack_error(open_house: Open) -> None:
    """The one notice of today's firmware counts, and the next connect is not hurt."""
    house = await open_house(peripheral(outcomes=[Outcome(reason=0x3E)]))
    await _fails_once(house, ErrorKind.STACK_ERROR, 0x85)


async def _fails_once(house: House, kind: ErrorKind, code: int) -> None:
    client = BleakClientWithServiceCache(house.device())
    with pytest.raises(LinkError) as caught:
        await client.connect()
    assert caught.value.kind is kind
    assert caught.value.code == code
    await client.connect()
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
    await house.all_free()


async def test_second_notice_does_not_fail_the_next_try_without_a_list(open_house: Open) -> None:
    """Firmware that names no holders gives no sign when the failed try is over."""
    slow = Outcome(after=0.3)
    house = await open_house(peripheral(outcomes=[Outcome(reason=0x3E), slow]), profile="2024.11")
    # The second notice of the first try comes while the second one is under way.
    house.proxy.injectors += [
        Delay(
            pb.BluetoothDeviceConnectionResponse,
            where=lambda message: getattr(message, "error", 0) == ConnectionReason.ESP_GATT_ERROR,
            seconds=0.1,
        ),
        Delay(
            pb.BluetoothConnectionsFreeResponse,
            where=lambda message: getattr(message, "free", 0) == 3,
            count=1,
            seconds=0.1,
        ),
    ]
    client = BleakClientWithServiceCache(house.device())
    with pytest.raises(LinkError):
        await client.connect()
    await client.connect()
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()


async def test_unanswered_connect_times_out_and_lets_go(open_house: Open) -> None:
    """A device that never answers costs its timeout; its slot comes back with the proxy's limit."""
    never = Outcome(after=math.inf)
    house = await open_house(peripheral(outcomes=[never]), establish_limit=0.5)
    client = BleakClientWithServiceCache(house.device())
    with pytest.raises(TimeoutError, match=r"no link within 0\.2 s"):
        await client.connect(timeout=0.2)
    await house.all_free()
    await client.connect()
    await client.disconnect()


Operation = Callable[[BleakClientWithServiceCache], Awaitable[object]]

OPERATIONS: dict[str, tuple[Operation, type]] = {
    "read": (lambda c: c.read_gatt_char(READ), pb.BluetoothGATTReadRequest),
    "write": (
        lambda c: c.write_gatt_char(ECHO, b"x", response=True),
        pb.BluetoothGATTWriteRequest,
    ),
    "notify": (lambda c: c.start_notify(NOTIFY, lambda *_: None), pb.BluetoothGATTNotifyRequest),
    "pair": (lambda c: c.pair(), pb.BluetoothDeviceRequest),
    "params": (
        lambda c: c.set_connection_params(800, 800, 0, 600),
        pb.BluetoothSetConnectionParamsRequest,
    ),
    "clear cache": (lambda c: c.clear_cache(), pb.BluetoothDeviceRequest),
    "disconnect": (lambda c: c.disconnect(), pb.BluetoothDeviceRequest),
}


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_proxy_lost_in_mid_operation(operation: str, how: str, open_house: Open) -> None:
    """Whatever is under way when the proxy goes ends at once, and it is used again when back."""
    house = await open_house()
    run, request = OPERATIONS[operation]
    dropped = asyncio.Event()
    client = BleakClientWithServiceCache(
        house.device(), disconnected_callback=lambda _: dropped.set()
    )
    await client.connect()
    house.proxy.injectors.append(Drop(request))
    task = asyncio.ensure_future(run(client))
    await asyncio.sleep(0.05)
    await (house.proxy.kill() if how == "kill" else house.proxy.stop())
    async with asyncio.timeout(DEADLINE):
        if operation == "disconnect":
            await task
        else:
            with pytest.raises(ProxyconnError) as caught:
                await task
            assert caught.value.kind is ErrorKind.RADIO_UNAVAILABLE
        await dropped.wait()
    assert not client.is_connected
    with pytest.raises(RadioUnavailableError):
        await client.connect()
    await reboot(house)
    await client.connect()
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
    await house.all_free()


async def reboot(house: House) -> None:
    """Start the proxy again and wait for the session."""
    house.proxy.injectors.clear()
    await house.proxy.start()
    house.session.notify_seen()
    await house.session.ready(10)


async def test_proxy_lost_while_connecting(open_house: Open) -> None:
    """A connect that is under way fails at once, and so does one that waits for a slot."""
    never = Outcome(after=math.inf)
    house = await open_house(peripheral(1, [never]), peripheral(2), slots=1)
    first = asyncio.ensure_future(house.client(1).connect(False))
    await until(lambda: house.proxy.snapshot().free == 0)
    second = asyncio.ensure_future(house.client(2).connect(False))
    await until(lambda: house.session.queue.waiting == 1)
    await house.proxy.kill()
    async with asyncio.timeout(1):
        for task in (first, second):
            with pytest.raises(RadioUnavailableError):
                await task
