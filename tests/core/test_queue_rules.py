"""Who is given which radio: parties, wishes, bonds, and those who wait for nothing."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import ErrorKind, LinkError, RadioState, RadioUnavailableError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import Radio
from proxyconn.routing.connection_queue import PLACE_KEPT, UNREACHABLE_TIMEOUT
from proxyconn.routing.fair_shares import FairShares, Share

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

FIRST, SECOND, THIRD, FOURTH = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3, 4))
OTHER = "AA:00:00:00:00:01"


def now() -> float:
    """Return the time."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def ask(hub: Hub, address: str, timeout: float = 100.0, **kwargs: object) -> asyncio.Task[Radio]:
    """Ask for a link to a device."""
    return asyncio.create_task(hub.queue.take(address, timeout, **kwargs))  # type: ignore[arg-type]


async def leave(*tasks: asyncio.Task[Radio]) -> None:
    """End what waits still."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


# Parties


async def test_a_party_holds_what_its_callers_take(hub: Hub) -> None:
    """From the grant until it is given back, or until a caller that was just served has gone."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(FIRST, -50)
    await hub.queue.take(FIRST, 1, party="ha")
    assert hub.queue.parties == {FIRST: "ha"}
    assert hub.queue.shares.held == {"ha": 1}
    assert hub.queue.give_back(FIRST) is radio
    assert hub.queue.give_back(FIRST) is None
    assert hub.queue.parties == {}
    assert hub.queue.shares.held == {}
    radio.report(OTHER, SECOND, THIRD)
    task = ask(hub, FIRST, party="ha")
    await settle()
    radio.report()
    assert hub.queue.shares.held == {"ha": 1}
    await leave(task)
    assert hub.queue.shares.held == {}
    assert not radio.ledger.claims


async def test_a_party_with_all_it_may_have_holds_up_nobody(hub: Hub) -> None:
    """Its next caller waits until one of its slots is given back; those behind go on."""
    hub.queue.shares = FairShares({"ha": Share(most=1)})
    radio = FakeRadio(hub, "kitchen")
    for address in (FIRST, SECOND, THIRD):
        radio.hear(address, -50)
    await hub.queue.take(FIRST, 1, party="ha")
    radio.report(FIRST)
    second = ask(hub, SECOND, party="ha")
    await settle()
    assert not second.done()
    assert await ask(hub, THIRD, party="cli") is radio
    radio.report(FIRST, THIRD)
    await settle()
    assert not second.done()
    hub.queue.give_back(FIRST)
    await settle()
    assert second.done()


async def test_parties_take_turns_in_the_queue(hub: Hub) -> None:
    """One with many callers lets another's first one go before its second."""
    radio = FakeRadio(hub, "kitchen", 1)
    for address in (FIRST, SECOND, THIRD):
        radio.hear(address, -50)
    radio.report(OTHER)
    tasks = [ask(hub, FIRST, party="a"), ask(hub, SECOND, party="a"), ask(hub, THIRD, party="b")]
    await settle()
    assert hub.queue.waiting == [FIRST, THIRD, SECOND]
    await leave(*tasks)


async def test_what_is_guaranteed_is_left_by_all_the_others(hub: Hub) -> None:
    """Of three free slots one is kept, however many ask at once; a radio that has gone has none."""
    hub.queue.shares = FairShares({"ha": Share(guaranteed=1)})
    addresses = (FIRST, SECOND, THIRD)
    radios = [FakeRadio(hub, name, 1) for name in ("a", "b", "c", "gone", "deaf")]
    for radio in radios:
        radio.report(OTHER)
        for address in addresses:
            radio.hear(address, -50)
    radios[3].state = RadioState.GONE
    radios[4].connectable = False
    tasks = [ask(hub, address, party="cli") for address in addresses]
    await settle()
    for radio in radios:
        radio.ledger.update(1, 1, [])
    hub.queue.serve()
    await settle()
    assert sorted(task.done() for task in tasks) == [False, True, True]
    radios[0].hear(FOURTH, -50)
    radios[1].hear(FOURTH, -50)
    radios[2].hear(FOURTH, -50)
    assert await ask(hub, FOURTH, party="ha") in radios[:3]
    await leave(*(task for task in tasks if not task.done()))


async def test_a_radio_that_does_not_say_keeps_nothing_for_anybody(hub: Hub) -> None:
    """There is no telling how many slots there are."""
    hub.queue.shares = FairShares({"ha": Share(guaranteed=9)})

    class Unlimited(FakeRadio):
        def free_slots(self) -> int | None:
            return None

    radio = Unlimited(hub, "kitchen")
    radio.hear(FIRST, -50)
    assert await ask(hub, FIRST, party="cli") is radio


# Wishes and bonds


async def test_the_only_radio_that_is_wanted_is_taken(hub: Hub) -> None:
    """However much better another one is."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(FIRST, -40)
    far.hear(FIRST, -90)
    assert await ask(hub, FIRST, only="far") is far


async def test_a_bond_is_kept_to_unless_a_new_one_is_made(hub: Hub) -> None:
    """A device that is bonded elsewhere is not tried; one that is to be paired may be."""
    bonded, other = FakeRadio(hub, "bonded"), FakeRadio(hub, "other")
    for radio in (bonded, other):
        radio.hear(FIRST, -50)
    hub.routing.bonded(FIRST, bonded)
    assert await ask(hub, FIRST) is bonded
    hub.queue.give_back(FIRST)
    bonded.become(RadioState.GONE)
    with pytest.raises(RadioUnavailableError, match="other: the bond is with another radio"):
        await ask(hub, FIRST)
    assert now() == 0
    assert await ask(hub, FIRST, pairing=True) is other
    assert now() == 0
    hub.queue.give_back(FIRST)
    other.report(SECOND, THIRD, OTHER)
    waiting = ask(hub, FIRST, pairing=True)
    await asyncio.sleep(2 * UNREACHABLE_TIMEOUT)
    other.report()
    assert await waiting is other


# Who waits


async def test_a_second_client_of_a_device_is_refused(hub: Hub) -> None:
    """And told where the first one is."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(FIRST, -50)
    radio.report(OTHER)
    first = ask(hub, FIRST)
    await settle()
    assert hub.queue.links == {FIRST: None}
    with pytest.raises(LinkError, match=r"of this program is about to connect$") as caught:
        await hub.queue.take(FIRST, 1)
    assert (caught.value.kind, caught.value.source) == (ErrorKind.IN_USE, None)
    radio.report()
    await first
    with pytest.raises(LinkError, match=r"of this program is connected through kitchen$") as caught:
        await hub.queue.take(FIRST, 1)
    assert (caught.value.kind, caught.value.source) == (ErrorKind.IN_USE, "kitchen")


async def test_who_waits_for_a_device_to_be_heard_holds_up_nobody(hub: Hub) -> None:
    """Those behind are served."""
    radio = FakeRadio(hub, "kitchen")
    first = ask(hub, FIRST, known=False)
    await settle()
    assert await ask(hub, SECOND) is radio
    assert not first.done()
    await leave(first)


async def test_who_has_been_given_a_radio_is_given_no_other(hub: Hub) -> None:
    """Though it has not come to take it yet."""
    one, two = FakeRadio(hub, "one", 1), FakeRadio(hub, "two", 1)
    for radio in (one, two):
        radio.hear(FIRST, -50)
        radio.report(OTHER)
    task = ask(hub, FIRST)
    await settle()
    for radio in (one, two):
        radio.ledger.update(1, 1, [])
    hub.queue.serve()
    hub.queue.serve()
    taken = await task
    assert [len(radio.ledger.claims) for radio in (one, two)] == [taken is one, taken is two]


async def test_all_who_are_ahead_count(hub: Hub) -> None:
    """Two of them wait a second each for the near radio: the third takes the far one."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.report(OTHER)
    await asyncio.sleep(1)
    near.report()
    near.report(OTHER)
    for address in (FIRST, SECOND, THIRD):
        near.hear(address, -70)
        far.hear(address, -95)
    tasks = [ask(hub, address) for address in (FIRST, SECOND, THIRD)]
    await settle()
    assert [task.done() for task in tasks] == [False, False, True]
    assert tasks[2].result() is far
    await leave(*tasks[:2])


async def test_of_equals_the_free_one_is_taken(hub: Hub) -> None:
    """A wait must be worth something."""
    attic, near, far = (FakeRadio(hub, name, 1) for name in ("attic", "near", "far"))
    near.report(OTHER)
    await asyncio.sleep(1)
    near.report()
    near.report(OTHER)
    attic.report(OTHER)
    attic.hear(FIRST, -70)
    near.hear(FIRST, -70)
    far.hear(FIRST, -80)
    task = ask(hub, FIRST)
    await settle()
    assert task.done()
    assert task.result() is far


async def test_a_radio_may_take_its_own_last_link_over(hub: Hub) -> None:
    """A local adapter that is still connected to the device goes on with that link."""

    class Adapter(FakeRadio):
        def claim(self, address: str) -> bool:
            return self.ledger.holds(address) or super().claim(address)

    adapter = Adapter(hub, "hci0")
    adapter.hear(FIRST, -50)
    adapter.report(FIRST)
    assert await ask(hub, FIRST) is adapter
    assert now() == 0


async def test_a_place_is_kept_to_the_last_moment(hub: Hub) -> None:
    """Somebody who comes back then is not behind those who came later."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.report(OTHER)
    for address in (FIRST, SECOND):
        radio.hear(address, -50)
    first, second = ask(hub, FIRST, 1), ask(hub, SECOND)
    await asyncio.wait([first])
    assert isinstance(first.exception(), Exception)
    await asyncio.sleep(PLACE_KEPT)
    again = ask(hub, FIRST)
    await settle()
    assert hub.queue.waiting == [FIRST, SECOND]
    await leave(again, second)


# Who waits for nothing


async def test_radios_of_other_devices_do_not_help(hub: Hub) -> None:
    """The one that hears the device is waited for, five seconds from its loss, and named."""
    radio, other = FakeRadio(hub, "kitchen"), FakeRadio(hub, "other")
    radio.hear(FIRST, -50)
    other.hear(SECOND, -50)
    radio.become(RadioState.CONNECTING)
    with pytest.raises(RadioUnavailableError) as caught:
        await ask(hub, FIRST)
    assert now() == UNREACHABLE_TIMEOUT
    assert str(caught.value) == (
        f"{FIRST}: no radio that hears it can be used (kitchen: it is connecting; "
        "kitchen connecting; other ready)"
    )


async def test_a_lasting_absence_after_a_short_one_ends_the_wait(hub: Hub) -> None:
    """Five seconds after it began."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(FIRST, -50)
    radio.report(OTHER)
    waiting = ask(hub, FIRST)
    await settle()
    for state in (RadioState.CONNECTING, RadioState.READY, RadioState.CONNECTING):
        radio.become(state)
        await asyncio.sleep(2)
    with pytest.raises(RadioUnavailableError):
        await waiting
    assert now() == pytest.approx(4 + UNREACHABLE_TIMEOUT, abs=0.3)
