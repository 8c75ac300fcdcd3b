"""Callers that wait for a link: their order, their deadline, and what they leave behind."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import ErrorKind, LinkError, OutOfSlotsError, RadioState, RadioUnavailableError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import Radio
from proxyconn.routing.connection_queue import PLACE_KEPT, UNREACHABLE_TIMEOUT
from proxyconn.routing.fair_shares import Share
from proxyconn.routing.known_paths import ATTEMPT_LIMIT, CLOSE_LIMIT

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

OTHERS = ["AA:00:00:00:00:01", "AA:00:00:00:00:02", "AA:00:00:00:00:03"]


def address(number: int) -> str:
    """Return the address of the numbered device."""
    return f"C4:00:00:00:00:{number:02X}"


def ask(hub: Hub, number: int, timeout: float = 100.0) -> asyncio.Task[Radio]:
    """Ask for a link to a device."""
    return asyncio.create_task(hub.queue.take(address(number), timeout))


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served(hub: Hub) -> None:
    """Slots that come free go to those who wait, in order, one connect at a time."""
    radio = FakeRadio(hub, "kitchen")
    for number in range(4):
        radio.hear(address(number), -50)
    radio.report(*OTHERS)
    tasks = [ask(hub, number) for number in range(4)]
    await settle()
    assert hub.queue.waiting == [address(number) for number in range(4)]
    radio.report()
    await settle()
    assert [task.done() for task in tasks] == [True, False, False, False]
    radio.report(address(0))
    await settle()
    assert [task.done() for task in tasks] == [True, True, False, False]
    radio.release(address(1))
    await settle()
    assert [task.done() for task in tasks] == [True, True, True, False]
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_any_radio_that_can_serve_wakes_a_waiter(hub: Hub) -> None:
    """Not only the one that was best when the wait began."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.hear(address(1), -50)
    far.hear(address(1), -60)
    near.report(OTHERS[0])
    far.report(OTHERS[1])
    task = ask(hub, 1)
    await asyncio.sleep(3)
    assert not task.done()
    far.report()
    assert await task is far


async def test_a_radio_that_does_not_hear_the_device_wakes_nobody(hub: Hub) -> None:
    """Its slots are of no use."""
    near, other = FakeRadio(hub, "near", 1), FakeRadio(hub, "other", 1)
    near.hear(address(1), -50)
    near.report(OTHERS[0])
    task = ask(hub, 1, timeout=5)
    await asyncio.sleep(1)
    other.report()
    with pytest.raises(OutOfSlotsError, match="near has 1 of 1 in use by AA:00:00:00:00:01"):
        await task


async def test_a_caller_that_tries_again_has_its_place_back(hub: Hub) -> None:
    """One whose attempt ended in the queue is not put behind those who came later."""
    radio = FakeRadio(hub, "kitchen", 1)
    for number in (1, 2, 3):
        radio.hear(address(number), -50)
    radio.report(OTHERS[0])
    first, second = ask(hub, 1, timeout=5), ask(hub, 2)
    with pytest.raises(OutOfSlotsError):
        await first
    await asyncio.sleep(PLACE_KEPT / 2)
    again = ask(hub, 1)
    third = ask(hub, 3)
    await settle()
    assert hub.queue.waiting == [address(1), address(2), address(3)]
    for task in (again, second, third):
        task.cancel()
    await asyncio.gather(again, second, third, return_exceptions=True)


async def test_cancelled_waiters_leave_no_trace(hub: Hub) -> None:
    """Neither in the queue, nor a claim that was granted in the same turn of the loop."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(address(1), -50)
    radio.hear(address(2), -50)
    radio.report(OTHERS[0])
    first, second = ask(hub, 1), ask(hub, 2)
    await settle()
    radio.report()
    first.cancel()
    assert await second is radio
    assert first.cancelled()
    assert radio.ledger.claims == {address(2)}
    assert hub.queue.waiting == []
    assert list(hub.queue.links) == [address(2)]
    hub.queue.give_back(address(2))
    assert not radio.ledger.claims
    assert not hub.queue.links


async def test_what_a_cancelled_caller_was_given_goes_to_the_next_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the radio does not say that a claim was given up."""
    radio = FakeRadio(hub, "kitchen", 1)
    monkeypatch.setattr(radio, "release", radio.ledger.drop_claim)
    for number in (1, 2):
        radio.hear(address(number), -50)
    radio.report(OTHERS[0])
    first, second = ask(hub, 1), ask(hub, 2)
    await settle()
    radio.report()
    first.cancel()
    await settle()
    assert second.done()
    assert await second is radio


async def test_the_near_radio_is_waited_for_but_not_for_ever(hub: Hub) -> None:
    """28 dB are worth 2.8 s: then the far radio is taken."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.report(OTHERS[0])
    await asyncio.sleep(1)
    near.report()
    near.hear(address(1), -50)
    far.hear(address(1), -78)
    near.report(OTHERS[1])
    loop = asyncio.get_running_loop()
    started = loop.time()
    task = ask(hub, 1)
    await asyncio.sleep(0.5)
    near.report()
    assert await task is near
    hub.queue.give_back(address(1))
    near.report(OTHERS[1])
    started = loop.time()
    task = ask(hub, 1)
    assert await task is far
    assert 1.0 < loop.time() - started <= 3.0


async def test_one_address_on_one_radio(hub: Hub) -> None:
    """A new attempt waits until every other radio has let go (home-assistant/core issue 176516)."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.hear(address(1), -60)
    far.report(address(1))
    task = ask(hub, 1)
    await asyncio.sleep(2)
    assert not task.done()
    far.report()
    assert await task is near
    with pytest.raises(LinkError, match="connected through near") as caught:
        await hub.queue.take(address(1), 1)
    assert caught.value.kind is ErrorKind.IN_USE


async def test_a_radio_that_hangs_is_not_waited_for(hub: Hub) -> None:
    """A slot that outlives every limit of the firmware's blocks its own radio only."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.hear(address(1), -60)
    assert await hub.queue.take(address(1), 1) is near
    near.report(address(1))
    await asyncio.sleep(20)
    loop = asyncio.get_running_loop()
    hub.routing.note(address(1), near, TimeoutError(), loop.time())
    hub.queue.give_back(address(1))
    given_up = loop.time()
    assert await hub.queue.take(address(1), 100) is far
    assert loop.time() - given_up == pytest.approx(CLOSE_LIMIT, abs=0.5)


async def test_a_slot_that_is_never_freed_keeps_no_device_away(hub: Hub) -> None:
    """Not though its radio is the nearest, has never failed, and reported the slot too late."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.hear(address(1), -60)
    assert await hub.queue.take(address(1), 1) is near
    hub.queue.give_back(address(1))
    near.report(address(1))
    loop = asyncio.get_running_loop()
    reported = loop.time()
    assert await hub.queue.take(address(1), 100) is far
    assert loop.time() - reported == pytest.approx(ATTEMPT_LIMIT, abs=0.5)


async def test_a_slot_that_nobody_here_took_is_not_waited_for_for_ever(hub: Hub) -> None:
    """A proxy may have leaked it before this fleet was opened."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.report(address(1))
    assert await hub.queue.take(address(1), 100) is near
    assert asyncio.get_running_loop().time() == pytest.approx(ATTEMPT_LIMIT, abs=0.5)


async def test_the_only_radio_that_hangs_is_named(hub: Hub) -> None:
    """It has slots and opens no other link, but it still holds the one."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(address(1), -50)
    radio.report(address(1))
    with pytest.raises(LinkError, match="kitchen still holds the last attempt"):
        await hub.queue.take(address(1), 2 * ATTEMPT_LIMIT)


async def test_a_radio_that_does_not_let_go_is_named(hub: Hub) -> None:
    """The wait for it ends with the caller's time."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.report(address(1))
    with pytest.raises(LinkError, match="far still holds the last attempt"):
        await hub.queue.take(address(1), 4)


async def test_radios_that_lost_their_session_are_waited_for_a_little(hub: Hub) -> None:
    """A proxy that lost its session is back soon; one that has gone ends the wait at once."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(address(1), -50)
    radio.become(RadioState.CONNECTING)
    task = ask(hub, 1)
    await asyncio.sleep(UNREACHABLE_TIMEOUT / 2)
    radio.become(RadioState.READY)
    assert await task is radio
    assert asyncio.get_running_loop().time() == UNREACHABLE_TIMEOUT / 2
    hub.queue.give_back(address(1))
    radio.become(RadioState.GONE)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(RadioUnavailableError, match="kitchen: it is gone"):
        await hub.queue.take(address(1), 100)
    assert loop.time() == started


async def test_robbed_radio_is_waited_for_a_little(hub: Hub) -> None:
    """What was taken is taken back at once, as a rule, and its problem is told all the same."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(address(1), -50)
    radio.problem = "another client took over its subscription"
    radio.become(RadioState.ROBBED)
    task = ask(hub, 1)
    await asyncio.sleep(UNREACHABLE_TIMEOUT / 2)
    radio.problem = None
    radio.become(RadioState.READY)
    assert await task is radio


async def test_who_waits_is_told_at_once_that_the_radio_has_gone(hub: Hub) -> None:
    """With another path, that one is waited for."""
    radios = [FakeRadio(hub, name, 1) for name in ("near", "far")]
    for number, radio in enumerate(radios):
        radio.hear(address(1), -50)
        radio.hear(address(2 + number), -50)
        radio.report(OTHERS[number])
    both, near_only = ask(hub, 1), ask(hub, 2)
    await settle()
    radios[0].become(RadioState.GONE)
    with pytest.raises(RadioUnavailableError, match="near: it is gone"):
        await near_only
    assert asyncio.get_running_loop().time() == 0
    assert not both.done()
    radios[1].report()
    assert await both is radios[1]


async def test_a_radio_that_stays_away_is_waited_for_once(hub: Hub) -> None:
    """Not in each attempt anew; when it has been back, it is."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(address(1), -50)
    radio.become(RadioState.CONNECTING)
    loop = asyncio.get_running_loop()
    for waited in (UNREACHABLE_TIMEOUT, UNREACHABLE_TIMEOUT, UNREACHABLE_TIMEOUT):
        with pytest.raises(RadioUnavailableError, match="kitchen: it is connecting"):
            await hub.queue.take(address(1), 100)
        assert loop.time() == pytest.approx(waited, abs=0.5)
        await asyncio.sleep(0.1)
    radio.become(RadioState.READY)
    assert await hub.queue.take(address(1), 100) is radio
    hub.queue.give_back(address(1))
    radio.become(RadioState.CONNECTING)
    started = loop.time()
    with pytest.raises(RadioUnavailableError):
        await hub.queue.take(address(1), 100)
    assert loop.time() - started == pytest.approx(UNREACHABLE_TIMEOUT, abs=0.5)


async def test_failures_move_the_next_attempt(hub: Hub) -> None:
    """The path that failed is left, and one failure on a far path leaves the near one alone."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(address(1), -50)
    far.hear(address(1), -75)
    now = asyncio.get_running_loop().time()
    hub.routing.note(address(1), far, TimeoutError(), now)
    assert await hub.queue.take(address(1), 1) is near
    hub.queue.give_back(address(1))
    hub.routing.note(address(1), near, TimeoutError(), now)
    hub.routing.memory.succeed(address(1), "far")
    assert await hub.queue.take(address(1), 1) is far


async def test_an_unknown_device_is_waited_for(hub: Hub) -> None:
    """An address whose type nobody knows needs a radio that hears it."""
    radio = FakeRadio(hub, "kitchen")
    task = asyncio.create_task(hub.queue.take(address(1), 10, known=False))
    await asyncio.sleep(3)
    assert not task.done()
    radio.hear(address(1), -50)
    assert await task is radio
    assert asyncio.get_running_loop().time() == 3


async def test_a_device_that_nobody_heard_is_tried_where_there_is_a_slot(hub: Hub) -> None:
    """A known address type is all that a connect needs."""
    full, free = FakeRadio(hub, "full", 1), FakeRadio(hub, "free", 1)
    full.report(OTHERS[0])
    assert await hub.queue.take(address(1), 10) is free


@pytest.mark.parametrize("turns", [0, 5])
async def test_wish_that_is_passed_on_counts_for_its_new_party(hub: Hub, turns: int) -> None:
    """Whether it has just been served or has had its radio for long, and until it ends."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(address(1), -50)
    wish = asyncio.create_task(hub.queue.take(address(1), 10, party="old"))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    hub.queue.pass_on(address(1), "old", "new")
    assert hub.queue.shares.held == {"new": 1}
    assert await wish is radio
    hub.queue.pass_on(address(1), "old", "other")
    hub.queue.pass_on(address(2), "old", "other")
    assert hub.queue.shares.held == {"new": 1}
    hub.queue.give_back(address(1))
    assert hub.queue.shares.held == {}
    assert hub.queue.parties == {}


async def test_wait_that_is_passed_on_is_served_by_the_new_share(hub: Hub) -> None:
    """Who waits for its cap is served as soon as it belongs to somebody who has none."""
    radio = FakeRadio(hub, "kitchen")
    for number in (1, 2):
        radio.hear(address(number), -50)
    hub.queue.shares.shares = {"old": Share(most=1)}
    await hub.queue.take(address(1), 10, party="old")
    radio.report(address(1))
    waiting = asyncio.create_task(hub.queue.take(address(2), 10, party="old"))
    await settle()
    assert not waiting.done()
    hub.queue.pass_on(address(2), "old", "new")
    assert hub.queue.shares.held == {"old": 1}
    hub.queue.serve()
    assert await waiting is radio
    assert hub.queue.shares.held == {"old": 1, "new": 1}
