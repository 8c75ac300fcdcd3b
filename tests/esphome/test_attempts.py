"""What occupies a proxy: when something given up is over, and when the proxy hangs in it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxyconn import RadioState
from proxyconn_esphome.occupancy.opening_attempts import (
    ASK_EVERY,
    MOST_UNANSWERED,
    QUIET,
    REPORT_TIME,
    STUCK_AFTER,
    UNLISTED_TIMEOUT,
    WEDGED,
    Attempts,
)

from .by_hand import ADDRESS, NUMBER, OTHER_ADDRESS, HandProxy

pytestmark = pytest.mark.looptime


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


@pytest.fixture
async def attempts(proxy: HandProxy) -> Attempts:
    """Return what occupies it."""
    return proxy.attempts


def tick(proxy: HandProxy, silence: float) -> None:
    """Look after what was given up."""
    proxy.attempts.tick(asyncio.get_running_loop().time(), silence)


async def waits_for(proxy: HandProxy) -> asyncio.Task[bool]:
    """Return what waits until nothing is given up any more."""
    waiting = asyncio.create_task(
        proxy.queue.until(lambda: not proxy.attempts.abandoned, timeout=1000)
    )
    await asyncio.sleep(0)
    return waiting


async def test_what_is_under_way(proxy: HandProxy, attempts: Attempts) -> None:
    """Promises, attempts and what was given up; each change is told."""
    assert attempts.under_way == set()
    proxy.ledger.claim("AA")
    attempts.begin(ADDRESS)
    assert proxy.told == [()]
    assert attempts.under_way == {"AA", ADDRESS}
    attempts.abandon(OTHER_ADDRESS)
    assert proxy.told == [(), ()]
    assert attempts.under_way == {"AA", ADDRESS, OTHER_ADDRESS}
    attempts.end(ADDRESS)
    attempts.end(ADDRESS)
    assert proxy.told == 4 * [()]
    assert attempts.under_way == {"AA", OTHER_ADDRESS}
    assert attempts.problem is None


async def unanswered(proxy: HandProxy, silence: float = QUIET) -> None:
    """Let an attempt have no answer."""
    proxy.attempts.abandon(ADDRESS)
    await asyncio.sleep(UNLISTED_TIMEOUT)
    tick(proxy, silence)


# The end of what was given up


async def test_what_was_listed_is_over_with_the_report_without_it(
    proxy: HandProxy, attempts: Attempts
) -> None:
    """Whether it was listed when it was given up, or only then; who waits goes on."""
    proxy.report(ADDRESS)
    for address in (ADDRESS, OTHER_ADDRESS):
        attempts.abandon(address)
    proxy.report(ADDRESS, OTHER_ADDRESS)
    waiting = await waits_for(proxy)
    proxy.report(OTHER_ADDRESS)
    assert list(attempts.abandoned) == [OTHER_ADDRESS]
    proxy.report(free=2)
    assert not attempts.abandoned
    assert await waiting


async def test_what_was_not_listed_yet_is_not_over(proxy: HandProxy, attempts: Attempts) -> None:
    """A report may have been on its way when it was asked for, until it surely was not."""
    await asyncio.sleep(REPORT_TIME)
    attempts.abandon(ADDRESS)
    await asyncio.sleep(REPORT_TIME - 0.1)
    proxy.report()
    assert attempts.abandoned
    await asyncio.sleep(0.1)
    proxy.report(free=2)
    assert attempts.abandoned
    proxy.report()
    assert not attempts.abandoned


async def test_a_notice_is_the_end_with_the_next_whole_report(
    proxy: HandProxy, attempts: Attempts
) -> None:
    """The report shows whether it was the last one; another address is not meant."""
    for address in (ADDRESS, OTHER_ADDRESS):
        attempts.abandon(address)
    attempts.on_notice("AA")
    attempts.on_notice(ADDRESS)
    assert attempts.abandoned.keys() == {ADDRESS, OTHER_ADDRESS}
    proxy.report(free=2)
    assert attempts.abandoned.keys() == {ADDRESS, OTHER_ADDRESS}
    proxy.report()
    assert attempts.abandoned.keys() == {OTHER_ADDRESS}


@pytest.mark.parametrize("how", ["shared", "no list"])
async def test_a_notice_is_the_end_where_no_list_tells(
    proxy: HandProxy, attempts: Attempts, how: str
) -> None:
    """Of a proxy that serves several programs, or does not say who holds its slots."""
    if how == "shared":
        proxy.is_shared = True
    else:
        proxy.report(free=2)
    attempts.abandon(ADDRESS)
    waiting = await waits_for(proxy)
    told = len(proxy.told)
    attempts.on_notice(ADDRESS)
    assert not attempts.abandoned
    assert proxy.told[told:] == [()]
    assert await waiting


async def test_what_no_report_lists_is_over_in_time(proxy: HandProxy, attempts: Attempts) -> None:
    """The firmware's own limit is over by then; it is told."""
    attempts.abandon(ADDRESS)
    waiting = await waits_for(proxy)
    await asyncio.sleep(UNLISTED_TIMEOUT - 0.1)
    tick(proxy, 0.0)
    assert attempts.abandoned
    told = len(proxy.told)
    await asyncio.sleep(0.1)
    tick(proxy, 0.0)
    assert not attempts.abandoned
    assert proxy.told[told:] == [()]
    assert attempts.problem is None
    assert await waiting


async def test_what_is_listed_is_not_over_in_time(proxy: HandProxy, attempts: Attempts) -> None:
    """It is over when it is listed no more, or when the proxy scans again."""
    proxy.report(ADDRESS)
    attempts.abandon(ADDRESS)
    await asyncio.sleep(STUCK_AFTER - 0.1)
    tick(proxy, 0.0)
    assert attempts.abandoned
    await asyncio.sleep(0.1)
    told = len(proxy.told)
    tick(proxy, QUIET - 0.1)
    assert not attempts.abandoned
    assert len(proxy.told) == told + 1


async def test_a_session_that_ends_forgets_everything(proxy: HandProxy, attempts: Attempts) -> None:
    """The next one begins anew, with no attempt counted as unanswered."""
    for _ in range(MOST_UNANSWERED):
        await unanswered(proxy)
    assert attempts.problem is WEDGED
    attempts.clear()
    assert attempts.problem is None
    tick(proxy, QUIET)
    assert attempts.problem is None
    for _ in range(MOST_UNANSWERED - 1):
        await unanswered(proxy)
        assert attempts.problem is None
    attempts.abandon(ADDRESS)
    attempts.clear()
    assert not attempts.abandoned


# Asking


async def test_it_is_asked_again_every_half_minute(proxy: HandProxy, attempts: Attempts) -> None:
    """To let go of the slot; slots are asked for at each look, while there is anything."""
    tick(proxy, 0.0)
    assert proxy.slots_asked == 0
    await asyncio.sleep(5)
    proxy.report(ADDRESS)
    attempts.abandon(ADDRESS)
    for asked in range(3):
        await asyncio.sleep(ASK_EVERY - 0.5)
        tick(proxy, 100.0)
        assert proxy.asked_to_drop() == asked * [NUMBER]
        await asyncio.sleep(0.5)
        tick(proxy, 100.0)
        assert proxy.asked_to_drop() == (asked + 1) * [NUMBER]
    assert proxy.slots_asked == 6
    assert proxy.updates == 7


async def test_one_of_several_is_looked_after_like_the_others(
    proxy: HandProxy, attempts: Attempts
) -> None:
    """Each has its own time."""
    proxy.report(ADDRESS, OTHER_ADDRESS)
    attempts.abandon(ADDRESS)
    await asyncio.sleep(10)
    attempts.abandon(OTHER_ADDRESS)
    await asyncio.sleep(STUCK_AFTER - 10)
    tick(proxy, QUIET)
    assert attempts.problem is WEDGED
    proxy.report(OTHER_ADDRESS)
    tick(proxy, QUIET)
    assert attempts.problem is None
    assert list(attempts.abandoned) == [OTHER_ADDRESS]


# Wedged


async def test_a_proxy_that_is_silent_in_an_attempt_is_wedged(
    proxy: HandProxy, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, and until the attempt is over."""
    proxy.report(ADDRESS)
    attempts.abandon(ADDRESS)
    await asyncio.sleep(STUCK_AFTER - 0.1)
    tick(proxy, 100.0)
    assert attempts.problem is None
    await asyncio.sleep(0.1)
    told = len(proxy.told)
    for _ in range(2):
        tick(proxy, QUIET)
        assert attempts.problem is WEDGED
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (logging.WARNING, f"kitchen: {WEDGED.text}")
        ]
    assert len(proxy.told) == told
    assert WEDGED.state is RadioState.WEDGED
    proxy.report()
    assert attempts.problem is None


async def test_a_proxy_that_is_heard_is_not_wedged(proxy: HandProxy, attempts: Attempts) -> None:
    """It scans; the state is derived anew once."""
    proxy.report(ADDRESS)
    attempts.abandon(ADDRESS)
    await asyncio.sleep(STUCK_AFTER)
    tick(proxy, QUIET)
    updates = proxy.updates
    attempts.on_heard()
    assert attempts.problem is None
    assert proxy.updates == updates + 1
    attempts.on_heard()
    assert proxy.updates == updates + 1


@pytest.mark.parametrize("sign", ["nothing", "opened", "notice", "heard", "scans"])
async def test_attempts_without_an_answer_wedge_a_proxy(
    proxy: HandProxy, attempts: Attempts, sign: str
) -> None:
    """Three in a row and silence, where nobody says who holds a slot; any sign of life ends it."""
    for number in range(MOST_UNANSWERED):
        assert attempts.problem is None
        attempts.abandon(ADDRESS)
        await asyncio.sleep(UNLISTED_TIMEOUT)
        if number == MOST_UNANSWERED - 1:
            if sign == "opened":
                attempts.on_opened()
            elif sign == "notice":
                attempts.on_notice("AA")
            elif sign == "heard":
                attempts.on_heard()
        tick(proxy, QUIET - 0.1 if sign == "scans" else QUIET)
    assert (attempts.problem is WEDGED) == (sign == "nothing")
    tick(proxy, QUIET)
    assert (attempts.problem is WEDGED) == (sign in ("nothing", "scans"))
    await unanswered(proxy)
    assert (attempts.problem is WEDGED) == (sign in ("nothing", "scans"))


async def test_another_attempt_that_is_over_does_not_end_the_problem(
    proxy: HandProxy, attempts: Attempts
) -> None:
    """Only the last one does."""
    proxy.report(ADDRESS, OTHER_ADDRESS)
    for address in (ADDRESS, OTHER_ADDRESS):
        attempts.abandon(address)
    await asyncio.sleep(STUCK_AFTER)
    tick(proxy, QUIET)
    proxy.report(ADDRESS)
    assert attempts.problem is WEDGED
    proxy.report()
    assert attempts.problem is None
