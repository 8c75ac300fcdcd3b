"""bleak-retry-connector over our backend: what it makes of our errors."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import bleak_retry_connector as brc
import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

import proxyconn
from proxyconn_esphome import ESPHomeClient, ESPHomeScanner, ProxySession
from proxyconn_virtual.events import Connecting, ProxyEvent
from proxyconn_virtual.peripheral import Outcome, Peripheral
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import DEADLINE, READ, TELLS_REASONS, OpenProxy, address, peripheral

ENDLESS = 20
"""More failures than anybody tries again."""


@dataclass
class House:
    """A virtual proxy, our session with it, and how often its radio tried each device."""

    proxy: VirtualProxy
    session: ProxySession
    tried: Counter[str]

    async def device(self, number: int) -> BLEDevice:
        """Return the numbered device as our scanner finds it."""
        async with (
            asyncio.timeout(DEADLINE),
            BleakScanner(backend=ESPHomeScanner, session=self.session) as scanner,
        ):
            async for device, _ in scanner.advertisement_data():
                if device.address == address(number):
                    return device
        raise AssertionError("the scanner ended")

    async def fails(self, number: int, **kwargs: Any) -> BleakError:
        """Return what bleak-retry-connector raises in the end."""
        device = await self.device(number)
        with pytest.raises(BleakError) as caught:
            await brc.establish_connection(
                BleakClient, device, "thing", backend=ESPHomeClient, **kwargs
            )
        return caught.value


OpenHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house(open_proxy: OpenProxy) -> AsyncIterator[OpenHouse]:
    """Return a maker of houses."""
    async with AsyncExitStack() as stack:

        async def make(*peripherals: Peripheral, **spec: Any) -> House:
            proxy = await open_proxy(*peripherals, **spec)
            tried: Counter[str] = Counter()

            def count(event: ProxyEvent) -> None:
                if isinstance(event, Connecting):
                    tried[event.address] += 1

            proxy.add_observer(count)
            session = ProxySession(
                proxyconn.Proxy(proxy.host, proxy.port, noise_psk=proxy.noise_psk)
            )
            await stack.enter_async_context(session)
            await session.ready(DEADLINE)
            return House(proxy, session, tried)

        yield make


def attempts_told(error: BaseException) -> int:
    """Return the number of attempts that bleak-retry-connector says it made."""
    found = re.search(r"after (\d+) attempt", str(error))
    assert found
    return int(found[1])


@pytest.mark.parametrize(
    ("client_class", "kwargs"),
    [(proxyconn.BleakClientWithServiceCache, {}), (BleakClient, {"backend": ESPHomeClient})],
)
async def test_brc_connects(
    open_house: OpenHouse, client_class: type[BleakClient], kwargs: dict[str, Any]
) -> None:
    """It connects our client, and a plain one on our backend, after a failure that passes."""
    house = await open_house(peripheral(1, [Outcome(reason=0x13)]))
    client = await brc.establish_connection(client_class, await house.device(1), "thing", **kwargs)
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
    assert house.tried[address(1)] == 2


@pytest.mark.parametrize(
    ("reason", "wait"),
    [(0x3E, 0.5), (0x08, 0.5), (0x85, 1.0), (0x100, 4.0), (0x13, 0.25), (0x16, 0.25)],
)
async def test_brc_waits_by_code(open_house: OpenHouse, reason: int, wait: float) -> None:
    """For each code it would wait as long as the guide says, and as long as we do."""
    house = await open_house(peripheral(1, [Outcome(reason=reason)]), profile=TELLS_REASONS)
    with pytest.raises(BleakError) as caught:
        await BleakClient(await house.device(1), backend=ESPHomeClient).connect()
    assert brc.calculate_backoff_time(caught.value) == wait
    assert proxyconn.calculate_backoff_time(caught.value) == wait


async def test_brc_waits_without_device_or_proxy(open_house: OpenHouse) -> None:
    """It takes our timeout for one, and the loss of a proxy for what deserves a short wait."""
    house = await open_house(peripheral(1, [Outcome(reason=0, after=1e6)]))
    client = BleakClient(await house.device(1), backend=ESPHomeClient)
    with pytest.raises(TimeoutError) as late:
        await client.connect(timeout=0.05)
    assert brc.calculate_backoff_time(late.value) == 0.25
    await house.proxy.kill()
    with pytest.raises(proxyconn.RadioUnavailableError) as gone:
        await client.connect()
    assert brc.calculate_backoff_time(gone.value) == 0.1


@dataclass(frozen=True)
class Case:
    """What bleak-retry-connector makes of a code, with its own waits.

    A `max_attempts` of 0 makes it give up, and name the error, after the first failure.
    """

    reason: int
    raised: type[BleakError]
    attempts: int
    max_attempts: int = 4


CASES = (
    Case(0x3E, brc.BleakAbortedError, 9),
    Case(0x08, brc.BleakAbortedError, 4),
    Case(0x85, brc.BleakAbortedError, 4),
    Case(0x100, brc.BleakAbortedError, 1, max_attempts=0),
    Case(0x13, brc.BleakAbortedError, 9),
    Case(0x16, brc.BleakAbortedError, 9),
)


async def test_brc_attempts_by_code(open_house: OpenHouse) -> None:
    """For each code it tries as often, and raises the same class, as with bleak-esphome."""
    house = await open_house(
        *(
            peripheral(number, [Outcome(reason=case.reason)] * ENDLESS)
            for number, case in enumerate(CASES, 1)
        ),
        slots=9,
        profile=TELLS_REASONS,
    )
    errors = await asyncio.gather(
        *(
            house.fails(number, max_attempts=case.max_attempts)
            for number, case in enumerate(CASES, 1)
        )
    )
    for number, (case, error) in enumerate(zip(CASES, errors, strict=True), 1):
        assert type(error) is case.raised, case
        assert house.tried[address(number)] == case.attempts, case
        assert attempts_told(error) == case.attempts, case


async def test_brc_raises_out_of_slots(open_house: OpenHouse) -> None:
    """Our error for want of a slot is one for it too, and the radio was never asked."""
    house = await open_house(peripheral(1), peripheral(2), slots=1)
    await house.device(2)
    async with BleakClient(await house.device(1), backend=ESPHomeClient):
        error = await house.fails(2, max_attempts=0)
    assert type(error) is brc.BleakOutOfConnectionSlotsError
    cause = error.__cause__
    assert isinstance(cause, proxyconn.OutOfSlotsError)
    assert brc.calculate_backoff_time(cause) == proxyconn.calculate_backoff_time(cause) == 4.0
    assert house.tried[address(2)] == 0


async def test_brc_decorator_retries_our_errors(open_house: OpenHouse) -> None:
    """Its decorator tries an operation again that our client failed with a typed error."""
    house = await open_house(peripheral(1, [Outcome(reason=0x13)]))
    client = BleakClient(await house.device(1), backend=ESPHomeClient)

    @brc.retry_bluetooth_connection_error()
    async def read() -> bytes:
        await client.connect()
        return bytes(await client.read_gatt_char(READ))

    assert await read() == b"hello"
    await client.disconnect()
    assert house.tried[address(1)] == 2
