"""Opening a link: the waits for a slot and for a turn, and how long each may take."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import Allocations, ErrorKind, LinkError, NotConnectedError, OutOfSlotsError
from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.link.opening import (
    ABANDONED_TIMEOUT,
    SLOT_TIMEOUT,
    TURN_TIMEOUT,
)
from proxyconn_esphome.occupancy.opening_attempts import MOST_UNANSWERED, QUIET, UNLISTED_TIMEOUT

from .by_hand import ADDRESS, OTHER_ADDRESS, HandProxy, begin, is_over, now, turns

pytestmark = pytest.mark.looptime

LABEL = rf"kitchen \[{ADDRESS}\]: "


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


# A slot


async def test_a_full_proxy_is_waited_for_a_little(proxy: HandProxy) -> None:
    """The last report may have been lost, so a new one is asked for."""
    full = HandProxy(1)
    full.report(OTHER_ADDRESS)
    opening = begin(full)
    await asyncio.sleep(SLOT_TIMEOUT - 0.1)
    assert full.slots_asked == 1
    assert full.sent == []
    full.report()
    await turns()
    assert len(full.sent) == 1
    full.say_up()
    await opening


@pytest.mark.parametrize(("timeout", "waited"), [(20.0, SLOT_TIMEOUT), (3.0, 1.5)])
async def test_a_full_proxy_is_told(timeout: float, waited: float) -> None:
    """With who holds its slots; a short attempt spends half its time on waiting."""
    full = HandProxy(2)
    full.report(OTHER_ADDRESS, "AA")
    with pytest.raises(OutOfSlotsError) as caught:
        await begin(full, timeout=timeout)
    assert now() == pytest.approx(waited)
    assert str(caught.value) == (
        f"kitchen [{ADDRESS}]: no free connection slot: 2 of 2 in use by AA, {OTHER_ADDRESS}"
    )
    assert caught.value.source == "kitchen"
    assert caught.value.allocations == Allocations("kitchen", 2, 0, ["AA", OTHER_ADDRESS])
    is_over(full)


async def test_a_proxy_that_has_not_reported_is_told() -> None:
    """There is nothing to say of its slots."""
    with pytest.raises(OutOfSlotsError, match=r"slot: it has not reported any$") as caught:
        await begin(HandProxy(0))
    assert caught.value.allocations is None


async def test_a_slot_that_was_promised_is_used(proxy: HandProxy) -> None:
    """The queue of a fleet claims it before."""
    full = HandProxy(1)
    assert full.ledger.claim(ADDRESS)
    opening = begin(full)
    await turns()
    assert len(full.sent) == 1
    assert full.slots_asked == 0
    full.say_up()
    await opening


@pytest.mark.parametrize("how", ["filled up", "new session", "new and full"])
async def test_a_slot_is_looked_at_again_after_the_turn(how: str) -> None:
    """One that is gone is not asked for; a promise of the last session is made anew."""
    proxy = HandProxy(1)
    await proxy.turn.acquire()
    opening = begin(proxy)
    await turns()
    assert proxy.ledger.claims == {ADDRESS}
    if how == "new session":
        proxy.ledger.clear()
        proxy.ledger.update(1, 1, [])
    elif how == "new and full":
        proxy.ledger.clear()
        proxy.ledger.update(1, 1, [])
        proxy.ledger.claim(OTHER_ADDRESS)
    else:
        proxy.report(OTHER_ADDRESS)
    proxy.turn.release()
    await turns()
    if how == "new session":
        assert proxy.ledger.claims == {ADDRESS}
        proxy.say_up()
        await opening
    else:
        report = f"1 of 1 in use by {OTHER_ADDRESS}" if how == "filled up" else "0 of 1 in use by "
        with pytest.raises(OutOfSlotsError, match=f"^{LABEL}no free connection slot: {report}$"):
            await opening
        assert proxy.sent == []
    assert not proxy.turn.locked()


# A turn


async def test_the_turn_is_waited_for_so_long(proxy: HandProxy) -> None:
    """And told of when it does not come."""
    await proxy.turn.acquire()
    with pytest.raises(LinkError) as caught:
        await begin(proxy)
    assert str(caught.value) == (
        f"kitchen [{ADDRESS}]: the proxy was busy opening other links for 45 s"
    )
    assert now() == pytest.approx(TURN_TIMEOUT)
    assert (caught.value.kind, caught.value.source) == (ErrorKind.TRANSIENT, "kitchen")
    assert proxy.turn.locked()
    assert not proxy.ledger.claims
    assert not proxy.attempts.opening
    assert proxy.sent == []


async def test_what_was_given_up_is_waited_for(proxy: HandProxy) -> None:
    """The proxy works on it still."""
    proxy.attempts.abandon(OTHER_ADDRESS)
    opening = begin(proxy)
    await asyncio.sleep(ABANDONED_TIMEOUT - 1)
    assert proxy.sent == []
    assert proxy.turn.locked()
    proxy.report()
    await turns()
    assert len(proxy.sent) == 1
    proxy.say_up()
    await opening


async def test_what_was_given_up_and_does_not_end_is_told(proxy: HandProxy) -> None:
    """With what it was."""
    for address in (OTHER_ADDRESS, "AA"):
        proxy.attempts.abandon(address)
    with pytest.raises(LinkError) as caught:
        await begin(proxy)
    assert str(caught.value) == (
        f"kitchen [{ADDRESS}]: the proxy has not ended the attempt to reach {OTHER_ADDRESS}, AA, "
        "which was given up"
    )
    assert now() == pytest.approx(ABANDONED_TIMEOUT)
    assert (caught.value.kind, caught.value.source) == (ErrorKind.TRANSIENT, "kitchen")
    is_over(proxy)


async def test_an_attempt_that_is_given_up_while_it_waits_is_not_sent(proxy: HandProxy) -> None:
    """Whatever it waits for."""
    await proxy.turn.acquire()
    link = proxy.link()
    opening = begin(proxy, link)
    await turns()
    link.give_up(NotConnectedError("left"))
    proxy.turn.release()
    with pytest.raises(NotConnectedError, match="left"):
        await opening
    assert proxy.sent == []
    assert proxy.dispatcher.links == {}
    is_over(proxy)


async def test_a_proxy_is_looked_at_again_after_the_turn(proxy: HandProxy) -> None:
    """It may have been robbed, or wedged, while an attempt waited: nothing is sent then."""
    await proxy.turn.acquire()
    opening = begin(proxy)
    await turns()
    proxy.problem = "wedged"
    proxy.turn.release()
    with pytest.raises(RadioUnavailableError, match="kitchen is wedged"):
        await opening
    assert proxy.sent == []
    is_over(proxy)


async def test_a_link_that_opens_shows_that_the_proxy_answers(proxy: HandProxy) -> None:
    """Attempts without an answer before it count no more."""
    for number in range(2 * MOST_UNANSWERED - 2):
        proxy.attempts.abandon(OTHER_ADDRESS)
        await asyncio.sleep(UNLISTED_TIMEOUT)
        proxy.attempts.tick(now(), QUIET)
        if number == MOST_UNANSWERED - 2:
            opening = begin(proxy)
            await turns()
            proxy.say_up()
            await opening
    assert proxy.attempts.problem is None
