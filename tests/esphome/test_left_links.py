"""Links that a proxy held before its subscription was ours: taken, ended, or left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from typing import Any

import pytest

from proxyconn import ErrorKind, LinkError, Subscribe
from proxyconn.radio import HeldLinks
from proxyconn.state.facts import Key
from proxyconn_esphome import ESPHomeClient, ProxySession
from proxyconn_esphome.link.services.gatt_cache import GattCache
from proxyconn_esphome.link.services.services_table import recall
from proxyconn_esphome.occupancy.slot_use import SlotUse
from proxyconn_virtual.events import Connected, ProxyEvent
from proxyconn_virtual.firmware.subscription import Ghost
from tests.esphome.clocked import READY, a_house, another_client, device, received
from tests.esphome.conftest import READ, House, address
from tests.virtual.conftest import WITHOUT_CACHE, Peer, api

pytestmark = pytest.mark.looptime

KEEP_LINKS = ["2026.7.0", "2026.10"]
SETTLED = 20.0
"""Seconds after which links that nobody wants have been ended: grace, and a few looks."""


class Notes:
    """A state that every run of a test shares.

    Attributes:
        silences: seconds since each run has ended; None for one that lives.
    """

    def __init__(self, run: str, other: Notes | None = None) -> None:
        self.run = run
        self.facts_: dict[Key, Any] = other.facts_ if other else {}
        self.silences: dict[str, float | None] = other.silences if other else {}

    def silence(self, run: str) -> float | None:
        return self.silences.get(run, inf)

    def get(self, kind: str, radio: str = "", device: str = "") -> Any:
        return self.facts_.get(Key(kind, radio, device))

    async def other_run(self, kind: str, radio: str = "", device: str = "") -> str | None:
        value = self.get(kind, radio, device)
        run = value["run"] if value else self.run
        return run if run != self.run and self.silence(run) is None else None

    async def saved(self) -> None:
        """Nothing is written."""

    def age(self, kind: str, radio: str = "", device: str = "") -> float:
        return 0.0

    def facts(self, kind: str) -> Iterator[tuple[Key, Any, float]]:
        yield from ((key, value, 0.0) for key, value in self.facts_.items() if key.kind == kind)

    def put(
        self,
        kind: str,
        radio: str = "",
        device: str = "",
        *,
        value: Any = True,
        soon: bool = False,
    ) -> None:
        self.facts_[Key(kind, radio, device)] = value

    def drop(self, kind: str, radio: str = "", device: str = "", *, soon: bool = False) -> None:
        self.facts_.pop(Key(kind, radio, device), None)


@asynccontextmanager
async def run(
    house: House, notes: Notes, subscribe: Subscribe = Subscribe.ALWAYS
) -> AsyncIterator[ProxySession]:
    """Run a program's session with the proxy, which remembers in `notes`."""
    cache = GattCache(notes, recall)
    async with ProxySession(
        house.session.proxy, cache=cache, held=HeldLinks(notes), subscribe=subscribe
    ) as session:
        yield session


async def connect(house: House, session: ProxySession, number: int) -> ESPHomeClient:
    """Connect to a device; a table of its services will do."""
    client = ESPHomeClient(house.device(number), session=session)
    await client.connect(False, dangerous_use_bleak_cache=True)
    return client


async def says_hello(client: ESPHomeClient) -> bool:
    """Read what the device says, by the services that the client has."""
    characteristic = client.services and client.services.get_characteristic(READ)
    assert characteristic
    return await client.read_gatt_char(characteristic) == b"hello"


@asynccontextmanager
async def after_a_crash(
    profile: str,
    *numbers: int,
    foreign: int | None = None,
    newcomer: int | None = None,
    silence: float | None = 5.0,
) -> AsyncIterator[tuple[House, Notes, list[str]]]:
    """Leave the links of a run behind whose computer has lost its power.

    Another client has a link to `foreign` before, or to `newcomer` after that run.

    The list has the addresses of the links that the proxy opens from then on.
    """
    notes = Notes("first")
    async with a_house(device(1), device(2), device(3), profile=profile) as house:
        await house.session.aclose()
        async with AsyncExitStack() as stack:
            if foreign:
                await hold(await stack.enter_async_context(another_client(house)), foreign)
            first = await stack.enter_async_context(run(house, notes))
            await first.ready(5)
            for number in numbers:
                await connect(house, first, number)
            house.proxy.server.freeze()
            notes.silences["first"] = silence
            if newcomer:
                await hold(await stack.enter_async_context(another_client(house)), newcomer)
            opened: list[str] = []

            def note(event: ProxyEvent) -> None:
                if isinstance(event, Connected):
                    opened.append(event.address)

            house.proxy.add_observer(note)
            yield house, Notes("second", notes), opened


async def hold(peer: Peer, number: int) -> None:
    """Let another client hold a link."""
    peer.subscribe()
    peer.ask(WITHOUT_CACHE, device=int(address(number).replace(":", ""), 16))
    await peer.wait_for(api.BluetoothDeviceConnectionResponse)


def held(house: House) -> set[str]:
    """Return the devices that hold a slot."""
    return {one for one, _ in house.proxy.snapshot().slots}


@pytest.mark.parametrize("profile", KEEP_LINKS)
async def test_link_of_a_run_that_crashed_is_taken(profile: str) -> None:
    """Who asks for its device has it at once, as it is, with the services of before."""
    async with after_a_crash(profile, 1) as (house, notes, opened), run(house, notes) as session:
        await session.ready(5)
        await asyncio.sleep(2)
        assert session.ledger.inherited == {address(1)}
        loop = asyncio.get_running_loop()
        began = loop.time()
        client = await connect(house, session, 1)
        assert loop.time() - began < 0.5
        assert await says_hello(client)
        assert opened == []
        await asyncio.sleep(SETTLED)
        assert client.is_connected
        await client.disconnect()
        await asyncio.sleep(1)
        assert held(house) == set()


async def test_services_are_learned_anew_over_a_new_link() -> None:
    """A link whose services are not known, or not to be trusted, is ended and opened again."""
    async with after_a_crash("2026.10", 1) as (house, notes, opened), run(house, notes) as session:
        await session.ready(5)
        await asyncio.sleep(2)
        session.cache.device(address(1)).services = None
        client = await connect(house, session, 1)
        assert await says_hello(client)
        assert opened == [address(1)]


@pytest.mark.parametrize("profile", KEEP_LINKS)
async def test_link_that_nobody_wants_is_ended(profile: str) -> None:
    """After a time of grace, and not before."""
    async with after_a_crash(profile, 1, 2) as (house, notes, _), run(house, notes) as session:
        await session.ready(5)
        await asyncio.sleep(9)
        assert held(house) == {address(1), address(2)}
        await asyncio.sleep(SETTLED - 9)
        assert held(house) == set()
        assert not [key for key in notes.facts_ if key.kind == "held"]


@pytest.mark.parametrize("profile", KEEP_LINKS)
async def test_links_of_others_are_left_alone(
    profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that another client had already is never touched; it is said whose it probably is."""
    async with (
        after_a_crash(profile, 1, foreign=3) as (house, notes, _),
        run(house, notes) as session,
    ):
        await session.ready(5)
        await asyncio.sleep(SETTLED)
        assert held(house) == {address(3)}
        assert "Home Assistant" in session.left.foreign[address(3)]
        assert "it is left alone" in caplog.text
        with pytest.raises(LinkError, match="probably of another client") as caught:
            await connect(house, session, 3)
        assert caught.value.kind is ErrorKind.IN_USE
        waiting = asyncio.create_task(connect(house, session, 3))
        await asyncio.sleep(0.5)
        session.request_slots()
        await asyncio.gather(waiting, return_exceptions=True)
        session.request_slots()
        await asyncio.sleep(SETTLED)
        assert held(house) == {address(3)}


async def test_links_that_another_client_may_have_taken_over_are_not_ended() -> None:
    """It came after the run that asked for them; whoever asks for one again may share it."""
    async with (
        after_a_crash("2026.10", 1, newcomer=3) as (house, notes, opened),
        run(house, notes) as session,
    ):
        await session.ready(5)
        await asyncio.sleep(2 * SETTLED)
        assert held(house) == {address(1), address(3)}
        await connect(house, session, 1)
        await connect(house, session, 2)
        assert opened == [address(2)]
        assert held(house) == {address(1), address(2), address(3)}


@pytest.mark.parametrize("silence", [None, 400.0], ids=["lives", "long ago"])
async def test_links_that_are_not_surely_ours_are_left_alone(silence: float | None) -> None:
    """Those of a program that lives are its own; what is old may be anybody's by now."""
    async with (
        after_a_crash("2026.10", 1, silence=silence) as (house, notes, _),
        run(house, notes) as session,
    ):
        await session.ready(5)
        await asyncio.sleep(2 * SETTLED)
        assert held(house) == {address(1)}
        whose = session.left.foreign[address(1)]
        assert (whose == "another program of this user (process first)") is (silence is None)


async def test_link_that_comes_up_for_another_client_is_not_ended() -> None:
    """An attempt of another client goes on when its subscription is taken, and so does its link."""
    async with a_house(device(1), profile="2026.10") as house:
        await house.session.aclose()
        house.fleet.peripherals[0].latency = 1.0
        async with another_client(house) as peer, run(house, Notes("first")) as session:
            peer.subscribe()
            peer.ask(WITHOUT_CACHE, device=int(address(1).replace(":", ""), 16))
            await session.ready(5)
            await asyncio.sleep(SETTLED)
            assert held(house) == {address(1)}


async def test_slots_of_ours_are_free_for_who_does_not_take() -> None:
    """A proxy that only our own links are left on is nobody's, and is subscribed to."""
    async with after_a_crash("2026.10", 1) as (house, notes, _):
        polite = run(house, notes, Subscribe.IF_FREE)
        async with polite as session:
            await session.ready(5)


async def test_slots_of_ours_among_others_are_not_free() -> None:
    """Who does not take leaves a proxy alone on which another client has links, too."""
    async with after_a_crash("2026.10", 1, foreign=3) as (house, notes, _):
        before = received(house, "SubscribeBluetoothLEAdvertisementsRequest")
        async with run(house, notes, Subscribe.IF_FREE) as session:
            await asyncio.sleep(10)
            assert session.state is not READY
        assert received(house, "SubscribeBluetoothLEAdvertisementsRequest") == before


async def test_links_of_a_session_that_was_cut_off_are_ended() -> None:
    """Those of this run, once the links are gone that came while it was cut off."""
    async with a_house(device(1), device(2), profile="2026.10") as house:
        await house.session.aclose()
        async with run(house, Notes("first")) as session:
            await session.ready(5)
            await connect(house, session, 1)
            house.proxy.subscription.take(Ghost("the session that is cut off"))
            house.proxy.server.reset()
            leak = house.proxy.inject("slot_leak")
            await asyncio.sleep(2)
            await session.ready(30)
            await asyncio.sleep(SETTLED)
            assert len(held(house)) == 2
            leak()
            session.request_slots()
            await asyncio.sleep(SETTLED)
            assert held(house) == set()


async def test_slot_that_came_while_the_subscription_was_ours_is_freed_after_a_renewal() -> None:
    """It is nobody's: asking for the subscription again makes no other client's of it."""
    async with a_house(device(1), profile="2026.10") as house:
        await house.session.aclose()
        async with run(house, Notes("first")) as session:
            await session.ready(5)
            house.proxy.inject("slot_leak")
            session.request_slots()
            await asyncio.sleep(1)
            session.subscription.probe()
            await asyncio.sleep(1)
            assert len(held(house)) == 1
            session.subscription.renew()
            await asyncio.sleep(1)
            assert session.left.foreign == {}
            await asyncio.sleep(SETTLED)
            assert held(house) == set()


async def test_slot_that_came_after_the_last_proof_is_left_alone() -> None:
    """The subscription may have been lost and asked for anew without a sign in between."""
    async with a_house(device(1), profile="2026.10") as house:
        await house.session.aclose()
        async with run(house, Notes("first")) as session, another_client(house) as peer:
            await session.ready(5)
            await hold(peer, 1)
            session.subscription.renew()
            await asyncio.sleep(2 * SETTLED)
            assert held(house) == {address(1)}
            assert "Home Assistant" in session.left.foreign[address(1)]


async def test_asking_again_leaves_links_their_time() -> None:
    """Grace does not begin anew, nor is anything found out twice, or forgotten."""
    async with (
        after_a_crash("2026.10", 1, 2, silence=5.0) as (house, notes, _),
        run(house, notes) as session,
    ):
        await session.ready(5)
        for _ in range(4):
            await asyncio.sleep(3)
            session.subscription.renew()
        await asyncio.sleep(3)
        assert held(house) == set()


async def test_doubt_outlives_asking_again(caplog: pytest.LogCaptureFixture) -> None:
    """Links that another client may have taken over are not ended then either; it is told once."""
    async with (
        after_a_crash("2026.10", 1, newcomer=3) as (house, notes, _),
        run(house, notes) as session,
    ):
        await session.ready(5)
        await asyncio.sleep(2)
        session.subscription.renew()
        await asyncio.sleep(2 * SETTLED)
        assert held(house) == {address(1), address(3)}
        assert caplog.text.count("it is left alone") == 1


async def test_link_of_a_program_that_has_died_meanwhile_is_taken() -> None:
    """It was that program's, and is nobody's any more when the subscription is asked for again."""
    async with (
        after_a_crash("2026.10", 1, silence=None) as (house, notes, opened),
        run(house, notes) as session,
    ):
        await session.ready(5)
        assert set(session.left.foreign) == {address(1)}
        notes.silences["first"] = 1.0
        session.subscription.renew()
        await asyncio.sleep(2)
        await connect(house, session, 1)
        assert opened == []


async def test_no_timer_outlives_a_session_that_asked_twice() -> None:
    """Asked again within a second, it looks after its links once, and not after its end."""
    async with after_a_crash("2026.10", 1) as (house, notes, _):
        found: list[set[str]] = []
        async with run(house, notes) as session:
            await session.ready(5)
            looks = session.tell_slots

            def tell_slots(events: Any) -> None:
                if session.ledger.inherited:
                    found.append(set(session.ledger.inherited))
                looks(events)

            session.left.clear()
            for _ in range(2):
                session.left.subscribing(-inf)
                session.left.on_slots(SlotUse(unused=session.ledger.holders))
            vars(session)["tell_slots"] = tell_slots
            await asyncio.sleep(2)
        assert found == [{address(1)}]
