"""Sessions that only look, and sessions that leave alone what another client holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from unittest.mock import Mock

import pytest

from proxyconn import Proxy, RadioUnavailableError, Subscribe, UnsupportedError
from proxyconn.radio import FleetOptions
from proxyconn_esphome import ESPHomeClient, ProxySession
from proxyconn_esphome.backend import ESPHomeBackend
from proxyconn_esphome.session.subscription.other_clients import TakeoverNotice
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop
from proxyconn_virtual.firmware.profiles import PROFILES
from tests.esphome.clocked import (
    CONNECTING,
    DENIED,
    READY,
    TAKES_OVER,
    States,
    a_house,
    device,
    program,
    received,
)
from tests.esphome.conftest import NOTIFY, House, address

pytestmark = pytest.mark.looptime

SUBSCRIBE = "SubscribeBluetoothLEAdvertisementsRequest"
NEWEST_WINS = [name for name, one in PROFILES.items() if one.newest_subscriber_wins]
FIRST_WINS = [name for name, one in PROFILES.items() if not one.newest_subscriber_wins]


@asynccontextmanager
async def second(house: House, subscribe: Subscribe) -> AsyncIterator[ProxySession]:
    """Run a second program's session with the proxy."""
    async with ProxySession(house.session.proxy, subscribe=subscribe) as session:
        yield session


@asynccontextmanager
async def streaming(house: House) -> AsyncIterator[list[bytes]]:
    """Hold a link whose device notifies every 10 ms; what has come is in the list."""
    values: list[bytes] = []
    lost: list[object] = []
    async with program(house, disconnected_callback=lost.append) as client:
        await client.start_notify(NOTIFY, lambda sender, value: values.append(bytes(value)))
        yield values
        assert not lost


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("active", [True, False])
async def test_looking_disturbs_nobody(profile: str, active: bool) -> None:
    """A session that only looks learns name, version and slots, and asks for nothing else."""
    async with a_house(device(), profile=profile, active=active) as house:
        await asyncio.sleep(1)
        before = house.proxy.snapshot().received
        async with second(house, Subscribe.NEVER) as looker:
            await looker.ready(5)
            await asyncio.sleep(60)
            slots = looker.allocations()
            assert (slots and slots.free) == (3 if active else None)
            assert looker.info
            assert looker.info.esphome_version == PROFILES[profile].version
            assert looker.state is READY
        assert house.session.state is READY
        now = house.proxy.snapshot().received
        for name in (SUBSCRIBE, "BluetoothScannerSetModeRequest"):
            assert now.get(name) == before.get(name), name


@pytest.mark.parametrize("profile", PROFILES)
async def test_looking_sees_the_slots_of_a_running_program(profile: str) -> None:
    """Its links and its notifications go on, and the looker follows its slots."""
    async with a_house(device(), profile=profile) as house:
        async with streaming(house) as values, second(house, Subscribe.NEVER) as looker:
            await looker.ready(5)
            count = len(values)
            await asyncio.sleep(5)
            assert len(values) - count >= 490
            slots = looker.allocations()
            assert slots
            assert slots.free == 2
            if PROFILES[profile].allocated:
                assert slots.allocated == [address(1)]
            await asyncio.sleep(20)
        assert received(house, SUBSCRIBE) == 1
        requests = received(house, "BluetoothDeviceRequest")
        async with second(house, Subscribe.NEVER) as looker:
            await looker.ready(5)
            await asyncio.sleep(3)
            slots = looker.allocations()
            assert slots
            assert slots.free == 3
        assert received(house, "BluetoothDeviceRequest") == requests


async def test_looking_connects_nothing() -> None:
    """The error says that the proxy is only looked at; nothing is asked of it."""
    async with a_house(device()) as house, second(house, Subscribe.NEVER) as looker:
        await looker.ready(5)
        client = ESPHomeClient(house.device(), session=looker)
        with pytest.raises(UnsupportedError, match="kitchen: it is only looked at"):
            await client.connect(False)
        assert received(house, "BluetoothDeviceRequest") == 0


async def test_looking_outlives_lost_reports_and_a_reboot() -> None:
    """What is lost is asked for again; a proxy that comes back is looked at again."""
    async with a_house(device()) as house:
        drop = Drop(pb.BluetoothConnectionsFreeResponse)
        house.proxy.injectors.append(drop)
        async with second(house, Subscribe.NEVER) as looker:
            await asyncio.sleep(10)
            assert looker.state is CONNECTING
            house.proxy.injectors.remove(drop)
            await looker.ready(5)
            await house.proxy.kill()
            await asyncio.sleep(20)
            assert looker.state is not READY
            await house.proxy.start()
            await looker.ready(90)


@pytest.mark.parametrize("profile", NEWEST_WINS)
async def test_links_of_another_client_are_left_alone(profile: str) -> None:
    """A proxy whose slots another client uses is not taken, however long that is."""
    async with a_house(device(), profile=profile) as house, streaming(house) as values:
        async with second(house, Subscribe.IF_FREE) as polite:
            with pytest.raises(RadioUnavailableError, match="another client holds connections"):
                await polite.ready(10)
            count = len(values)
            await asyncio.sleep(20)
            assert polite.state is DENIED
            assert len(values) - count >= 1990
        assert received(house, SUBSCRIBE) == 1


async def test_proxy_that_was_let_go_is_taken() -> None:
    """A client that has held no link for a minute counts as gone; half a minute is a pause."""
    async with a_house(device(), profile=TAKES_OVER) as house:
        await house.client().connect(False)
        async with second(house, Subscribe.IF_FREE) as polite:
            await asyncio.sleep(10)
            assert polite.state is DENIED
            await house.session.aclose()
            await asyncio.sleep(35)
            end = house.proxy.inject("slot_leak")
            await asyncio.sleep(40)
            end()
            await asyncio.sleep(50)
            assert polite.state is DENIED
            await asyncio.sleep(60)
            assert polite.state is READY


@pytest.mark.parametrize("profile", FIRST_WINS)
async def test_first_subscriber_is_not_robbed_by_asking(profile: str) -> None:
    """Where the first one wins, asking does no harm, and is how one learns of it."""
    async with a_house(device(), profile=profile) as house, streaming(house) as values:
        async with second(house, Subscribe.IF_FREE) as polite:
            await asyncio.sleep(20)
            assert polite.state is DENIED
            assert "only advertisement subscription" in str(polite.problem)
        assert len(values) >= 1900


@pytest.mark.parametrize("profile", PROFILES)
async def test_free_proxy_is_taken_at_once(profile: str) -> None:
    """Nobody is waited for where no slot is taken."""
    async with a_house(device(), profile=profile, ready=False) as house:
        await house.session.aclose()
        async with second(house, Subscribe.IF_FREE) as polite:
            await polite.ready(3)
            assert polite.subscription.held


async def test_proxy_that_is_left_alone_is_taken_by_hand() -> None:
    """Who asks for the subscription all the same gets it, and the proxy can be used."""
    async with a_house(device(), profile=TAKES_OVER) as house:
        await house.client().connect(False)
        async with second(house, Subscribe.IF_FREE) as polite:
            await asyncio.sleep(10)
            assert polite.state is DENIED
            polite.other_clients.ask_at_once()
            await polite.ready(5)
            assert polite.subscription.held


async def test_looking_takes_nothing_by_hand_either() -> None:
    """A session that only looks says so, and asks for nothing."""
    async with a_house(device()) as house, second(house, Subscribe.NEVER) as looker:
        await looker.ready(5)
        with pytest.raises(UnsupportedError, match="kitchen: it is only looked at"):
            looker.other_clients.ask_at_once()
        assert received(house, SUBSCRIBE) == 1


async def test_links_that_are_just_ending_are_nobodys() -> None:
    """The links of a program that has gone last for a moment, and keep nobody out."""
    async with a_house(device(), profile=TAKES_OVER) as house:
        await house.client().connect(False)
        await house.session.aclose()
        assert house.proxy.snapshot().free == 2
        async with second(house, Subscribe.IF_FREE) as polite:
            await polite.ready(5)


async def test_own_subscription_is_taken_back() -> None:
    """Slots that are taken after a session was lost were ours: nobody else is looked for."""
    async with a_house(device(), profile=TAKES_OVER, ready=False) as house:
        await house.session.aclose()
        async with second(house, Subscribe.IF_FREE) as polite:
            await polite.ready(5)
            states = States(polite)
            # It is held while the session begins anew.
            house.proxy.inject("slot_leak")
            house.proxy.server.reset()
            await asyncio.sleep(4)
            assert house.proxy.snapshot().free == 2
            assert states.seen[-1] is READY
            assert DENIED not in states.seen


async def test_what_is_taken_over_is_a_choice() -> None:
    """With ALWAYS the newest client wins, as ever."""
    async with a_house(device(), profile=TAKES_OVER) as house:
        await house.client().connect(False)
        async with second(house, Subscribe.ALWAYS) as taker:
            await taker.ready(5)
            assert taker.subscription.held


@pytest.mark.parametrize(
    ("profile", "warns", "level"),
    [("2026.10", True, "WARNING"), ("2026.10", False, "INFO"), ("2026.6.5", True, None)],
)
async def test_taking_is_said_before_it_happens(
    caplog: pytest.LogCaptureFixture, profile: str, warns: bool, level: str | None
) -> None:
    """Once, and where there is anything to take."""
    caplog.set_level("INFO")
    async with a_house(device(), profile=profile, ready=False) as house:
        await house.session.aclose()
        session = ProxySession(house.session.proxy)
        session.other_clients.notice = TakeoverNotice(lambda: [session]) if warns else None
        before = received(house, SUBSCRIBE)
        said: list[int] = []

        class Watch(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "taking it over" in record.getMessage():
                    said.append(received(house, SUBSCRIBE) - before)

        watch = Watch()
        logging.getLogger("proxyconn_esphome").addHandler(watch)
        try:
            async with session:
                await session.ready(5)
                house.proxy.server.reset()
                await asyncio.sleep(30)
                assert session.state is READY
        finally:
            logging.getLogger("proxyconn_esphome").removeHandler(watch)
        assert said == ([0] if level else [])
        told = [one.levelname for one in caplog.records if "taking it over" in one.getMessage()]
        assert told == ([level] if level else [])


@dataclass(eq=False)
class Called:
    """Something with a name."""

    name: str


async def test_taking_several_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """It names the proxies that are known by then, whether they have said yet what they are."""
    async with a_house(device(), profile="2026.10", ready=False) as house:
        await house.session.aclose()
        proxies = [house.session.proxy, Proxy("127.0.0.1", 1)]
        options = FleetOptions(proxies, discover=False, warns=True)
        caplog.set_level("WARNING")
        backend = ESPHomeBackend(options, Mock())
        await backend.start()
        await asyncio.sleep(5)
        [line] = [one.getMessage() for one in caplog.records if "taking it" in one.getMessage()]
        others = "and then those that are as new of 127.0.0.1:1"
        assert line.startswith(f"{house.proxy.name}: taking it over, {others}: from ESPHome")
        await backend.aclose()


def test_a_line_names_few_and_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """Each proxy is told of once as a warning, whatever it is called by then."""
    caplog.set_level("INFO")
    proxies = [Called(f"p{number}") for number in range(8)]
    notice = TakeoverNotice(lambda: proxies)
    for proxy in list(proxies):
        notice.say(proxy)
        proxy.name += " renamed"
    proxies.append(Called("new"))
    notice.say(proxies[-1])
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", *["INFO"] * 7, "WARNING"]
    first, *_, last = caplog.messages
    assert "of p1, p2, p3, p4, p5 and 2 more: from ESPHome 2026.7 on" in first
    assert last.startswith("new: taking it over: from")
