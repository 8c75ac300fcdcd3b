"""What occupies a proxy: attempts without an end, attempts given up, slots that nobody uses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest
from google.protobuf.message import Message

from proxyconn.radio import (
    AllocationChangeEvent,
    LinkError,
    OutOfSlotsError,
    RadioUnavailableError,
)
from proxyconn_esphome import ProxySession
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop, Injector, Lose, Passed, RadioEvent
from proxyconn_virtual.named_faults.model import FOREIGN
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.clocked import (
    NUMBER,
    READY,
    WEDGED,
    States,
    a_house,
    another_client,
    device,
    mute,
    program,
    received,
)
from tests.esphome.conftest import READ, address
from tests.virtual.conftest import WITHOUT_CACHE

pytestmark = pytest.mark.looptime

WEDGES = "2026.7.0"
"""The last firmware in which nothing but a restart ends an attempt whose end was lost."""

# Endless attempts


async def test_endless_attempt_is_told() -> None:
    """A lost OPEN_EVT blocks connecting and scanning for ever; nobody is sent there any more."""
    async with a_house(device(1), device(2), device(3), profile=WEDGES) as house:
        await asyncio.sleep(2)
        house.proxy.injectors.append(Lose(RadioEvent.OPEN, NUMBER))
        states = States(house.session)
        with pytest.raises(TimeoutError):
            await house.client(1).connect(False)
        with pytest.raises(LinkError, match="not ended the attempt to reach C4:00:00:00:00:01"):
            await house.client(2).connect(False)
        await asyncio.sleep(45)
        assert states.seen == [READY, WEDGED]
        with pytest.raises(RadioUnavailableError, match=r"stuck in an attempt.*restart the proxy"):
            await house.client(3).connect(False)
        await asyncio.sleep(600)
        assert states.seen == [READY, WEDGED]
        await house.proxy.kill()
        await house.proxy.start()
        await house.session.ready(30)
        async with program(house) as client:
            assert await client.read_gatt_char(READ) == b"hello"


@pytest.mark.parametrize(("profile", "seconds"), [("2026.8", 11.0), ("2026.10", 1.0)])
async def test_endless_attempt_is_over_with_a_disconnect(profile: str, seconds: float) -> None:
    """Newer firmware ends what was given up by force after 10 s, or cancels it at once."""
    async with a_house(device(1), device(2), profile=profile) as house:
        house.proxy.inject("wedged_connecting", address(1))
        states = States(house.session)
        with pytest.raises(TimeoutError):
            await house.client(1).connect(False, timeout=5)
        started = asyncio.get_running_loop().time()
        await house.client(2).connect(False)
        assert asyncio.get_running_loop().time() - started < seconds
        await asyncio.sleep(60)
        assert not house.session.attempts.under_way
        assert states.seen == [READY]


async def test_endless_attempts_without_a_list_of_slots_are_told() -> None:
    """Old firmware does not say who holds its slots; three attempts without an answer will do."""
    devices = [device(number) for number in range(1, 5)]
    async with a_house(*devices, profile="2024.11", slots=5) as house:
        # A probe of the subscription is answered all the same.
        house.proxy.injectors.append(
            Drop(pb.BluetoothDeviceConnectionResponse, where=_is_of_a_device)
        )
        house.proxy.injectors.append(Lose(RadioEvent.OPEN, NUMBER))
        for number in (1, 2, 3):
            assert house.session.state is READY
            with pytest.raises(TimeoutError):
                await house.client(number).connect(False)
        await asyncio.sleep(30)
        assert house.session.state is WEDGED
        house.proxy.injectors.clear()


def _is_of_a_device(message: Message) -> bool:
    assert isinstance(message, pb.BluetoothDeviceConnectionResponse)
    return message.address >= NUMBER


async def test_wedged_proxy_that_is_heard_is_ready() -> None:
    """A proxy that scans does not hang in an attempt, whatever its list says."""
    async with a_house(device(1), device(2), profile=WEDGES) as house:
        house.proxy.injectors.append(Lose(RadioEvent.OPEN, NUMBER))
        drop = mute(house)
        with pytest.raises(TimeoutError):
            await house.client(1).connect(False)
        await asyncio.sleep(70)
        assert house.session.state is WEDGED
        house.proxy.injectors.remove(drop)
        house.session.periodic_checks.on_heard(asyncio.get_running_loop().time())
        house.session.attempts.on_heard()
        assert house.session.state is READY


# Slots


@pytest.mark.parametrize("profile", ["2024.11", "2025.9", "2026.6.5"])
async def test_attempt_given_up_occupies_the_proxy_until_it_is_over(profile: str) -> None:
    """Its end is told, and the next attempt goes through."""
    never = [Outcome(after=math.inf)]
    async with a_house(device(1, never), device(2), device(3), profile=profile) as house:
        await house.client(3).connect(False)
        changes = Occupied(house.session)
        with pytest.raises(TimeoutError):
            await house.client(1).connect(False, timeout=5)
        assert house.session.attempts.abandoned
        assert changes.seen[-1] == 1
        await asyncio.sleep(16)
        assert not house.session.attempts.under_way
        assert changes.seen[-1] == 0
        await house.client(2).connect(False)


async def test_attempt_that_nothing_is_heard_of_is_over_in_time() -> None:
    """With every notice lost and no list of slots, only the firmware's own limit remains."""
    never = [Outcome(after=math.inf)]
    async with a_house(device(1, never), device(3), profile="2024.11") as house:
        await house.client(3).connect(False)
        house.proxy.injectors.append(
            Drop(pb.BluetoothDeviceConnectionResponse, where=_is_of_a_device)
        )
        changes = Occupied(house.session)
        with pytest.raises(TimeoutError):
            await house.client(1).connect(False)
        await asyncio.sleep(20)
        assert changes.seen[-1] == 1
        await asyncio.sleep(8)
        assert changes.seen[-1] == 0


class Occupied(SessionListener):
    """Notes how many attempts occupy a proxy, each time it is told."""

    def __init__(self, session: ProxySession) -> None:
        self.seen: list[int] = []
        self._session = session
        session.add_listener(self)

    def session_slots(self, session: SessionView, events: Sequence[AllocationChangeEvent]) -> None:
        self.seen.append(len(self._session.attempts.under_way))


async def test_a_report_that_says_nothing_new_is_told_to_nobody() -> None:
    """It is while slots are odd: then every report may be the one that shows what they are."""
    async with a_house() as house, program(house):
        await asyncio.sleep(1)
        told = Occupied(house.session)
        house.session.request_slots()
        await asyncio.sleep(1)
        assert told.seen == []
        house.proxy.inject("slot_leak")
        await asyncio.sleep(1)
        odd = len(told.seen)
        house.session.request_slots()
        await asyncio.sleep(1)
        assert len(told.seen) == odd + 1


async def test_orphans_are_freed() -> None:
    """A slot that nobody here uses is asked back once it has settled."""
    async with a_house() as house:
        await asyncio.sleep(4)
        house.proxy.inject("slot_leak")
        await asyncio.sleep(4)
        assert house.proxy.snapshot().free == 2
        await asyncio.sleep(7)
        assert house.proxy.snapshot().free == 3
        await asyncio.sleep(5)
        assert house.session.diagnostics()["health"]["orphans"] == []


async def test_orphan_that_stays_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked back every half minute, and the log is not filled with it."""
    async with a_house() as house:
        house.proxy.injectors.append(Drop(pb.BluetoothDeviceRequest))
        house.proxy.inject("slot_leak")
        before = received(house, "BluetoothDeviceRequest")
        await asyncio.sleep(310)
        assert 10 <= received(house, "BluetoothDeviceRequest") - before <= 11
        assert caplog.text.count("which nobody uses") == 1
        assert house.session.diagnostics()["health"]["orphans"] != []
        assert house.session.state is READY


async def test_incomplete_list_shows_no_orphans() -> None:
    """A report whose list does not match its numbers is not acted upon."""
    async with a_house() as house:
        house.proxy.inject("slot_mismatch", "short")
        house.proxy.inject("slot_leak", 2)
        house.session.request_slots()
        before = received(house, "BluetoothDeviceRequest")
        await asyncio.sleep(60)
        assert received(house, "BluetoothDeviceRequest") == before


async def test_second_slot_of_a_device_is_freed_after_its_link() -> None:
    """While the link is up the second slot cannot be told from its own; then it is an orphan."""
    async with a_house(profile="2026.7.0") as house:
        house.proxy.inject("duplicate_slot")
        async with program(house) as client:
            await asyncio.sleep(60)
            assert house.proxy.snapshot().free == 1
            assert await client.read_gatt_char(READ) == b"hello"
        await asyncio.sleep(15)
        assert house.proxy.snapshot().free == 3


async def test_link_that_ended_unnoticed_is_found_by_asking() -> None:
    """With every notice and report of its end lost, the next report asked for tells."""
    lost: list[object] = []
    async with a_house() as house:
        client = program(house, disconnected_callback=lost.append)
        await client.connect()
        injectors = list(house.proxy.injectors)
        house.proxy.injectors.append(Drop(pb.BluetoothDeviceConnectionResponse))
        house.proxy.injectors.append(Drop(pb.BluetoothConnectionsFreeResponse, count=1))
        house.drop_link(1, 0x08)
        await asyncio.sleep(1)
        house.proxy.injectors[:] = injectors
        assert client.is_connected
        await asyncio.sleep(40)
        assert lost == [client]


class Stubborn(Injector):
    """Lets nobody free a slot that was leaked."""

    def incoming(self, message: Message) -> Passed:
        if isinstance(message, pb.BluetoothDeviceRequest) and FOREIGN < message.address < NUMBER:
            return ()
        return (message,)


async def test_a_promised_slot_that_is_gone_is_not_asked_for() -> None:
    """Slots that fill up while a client waits for its turn are no reason to send it in vain."""
    slow = [Outcome(after=10.0)]
    async with a_house(device(1, slow), device(2), slots=2) as house:
        house.proxy.injectors.append(Stubborn())
        first = asyncio.create_task(house.client(1).connect(False))
        await asyncio.sleep(1)
        second = asyncio.create_task(house.client(2).connect(False))
        await asyncio.sleep(8)
        end = house.proxy.inject("slot_leak")
        with pytest.raises(OutOfSlotsError, match="2 of 2 in use"):
            await second
        await first
        assert house.proxy.snapshot().connects_refused == 0
        end()
        await asyncio.sleep(1)
        await house.client(2).connect(False)


async def test_a_promise_of_the_last_session_is_made_anew() -> None:
    """A client that waited for its turn while the session was lost takes a slot of the next one."""
    async with a_house(device(1), device(2)) as house:
        await house.session.turn.acquire()
        waiting = asyncio.create_task(house.client(1).connect(False))
        await asyncio.sleep(1)
        house.proxy.server.reset()
        await asyncio.sleep(10)
        assert house.session.state is READY
        claims = house.session.ledger.claims
        house.session.turn.release()
        await asyncio.sleep(0)
        assert claims == set()
        assert house.session.ledger.claims == {address(1)}
        await waiting


@pytest.mark.parametrize(("wanted", "seconds"), [(True, 0.5), (False, 5.0)])
async def test_what_a_stranger_asked_for_makes_way(wanted: bool, seconds: float) -> None:
    """Its answer comes to us, so nobody waits for it; without delay if an attempt stands behind."""
    never = [Outcome(after=math.inf)]
    async with a_house(device(1), device(2, never)) as house, another_client(house) as stranger:
        await asyncio.sleep(3)
        stranger.ask(WITHOUT_CACHE, NUMBER + 1)
        await asyncio.sleep(0.1)
        started = asyncio.get_running_loop().time()
        if wanted:
            await house.client(1).connect(False)
        else:
            await asyncio.sleep(seconds - 1)
            assert house.proxy.snapshot().free == 2
        async with asyncio.timeout(20):
            while (address(2), "connecting") in house.proxy.snapshot().slots:  # noqa: ASYNC110 - as it is
                await asyncio.sleep(0.1)
        took = asyncio.get_running_loop().time() - started
        assert took < 0.5 if wanted else took >= seconds


async def test_what_a_thief_asks_for_is_left_alone() -> None:
    """A link that a robbed session did not ask for may be that of whoever has the subscription."""
    slow = [Outcome(after=5.0)]
    async with a_house(device(1), device(2, slow)) as house, another_client(house) as thief:
        await asyncio.sleep(3)
        ours = asyncio.create_task(house.client(1).connect(False))
        thief.subscribe()
        thief.ask(WITHOUT_CACHE, NUMBER + 1)
        for _ in range(50):
            await asyncio.sleep(0.1)
            house.session.request_slots()
        await asyncio.sleep(1.0)
        assert (address(2), "established") in house.proxy.snapshot().slots
        ours.cancel()
        await asyncio.gather(ours, return_exceptions=True)
