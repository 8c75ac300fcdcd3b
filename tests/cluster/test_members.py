"""Who is there is known to all, costs little, and says when it goes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import msgspec
import pytest
from nats.aio.msg import Msg

from proxyconn_cluster import members
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.exchange.status import RadioStatus, Status
from proxyconn_cluster.members import BEATS

from .nats_server import NatsServer
from .owner_process import OtherProcess
from .village import DEADLINE, KEY, LEASE, Village, peripheral, ready, until


async def test_members_that_have_nothing_to_say_are_quiet(village: Village) -> None:
    count = 0

    async def heard(message: Msg) -> None:
        nonlocal count
        count += 1

    bus = village.owners["north"].bus
    await asyncio.sleep(0.5)
    await bus.subscribe(bus.subjects.of_site("*", "owner", "*", "*"), heard)
    await asyncio.sleep(2 * LEASE / BEATS)
    assert 2 <= count <= 6


async def test_who_goes_says_so(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    assert ready(north.fleet) == {"north", "south"}
    await south.leave()
    await until(lambda: ready(north.fleet) == {"north"}, 1.0)


async def test_who_sleeps_is_passed_over_and_found_again(
    stack: AsyncExitStack, server: NatsServer
) -> None:
    village = Village(stack, server)
    await village.build([peripheral(1)], ("north", "south"))
    south = await village.own("south")
    order = {"proxies": {"north": village.proxy("north").port}, "key": KEY, "lease": LEASE}
    process = OtherProcess(server.url, "north", order)
    stack.push_async_callback(process.stop)
    await process.start()
    await until(lambda: ready(south.fleet) == {"north", "south"})
    told: list[set[str]] = []
    south.fleet.register_state_callback(lambda: told.append(ready(south.fleet)))
    process.send(signal.SIGSTOP)
    await until(lambda: {"south"} in told, LEASE)
    process.send(signal.SIGCONT)
    await until(lambda: ready(south.fleet) == {"north", "south"})
    assert told[-1] == {"north", "south"}


async def test_who_speaks_another_version_is_left_alone(village: Village) -> None:
    north = village.owners["north"]
    before = set(north.members.all)
    odd = Status(v=(2, 0), sender="other", site="home", run="1", number=1, lease=LEASE)
    await north.bus.publish(north.bus.subjects.of_site("home", "member", "other", "1"), encode(odd))
    nonsense = north.bus.subjects.of_site("home", "member", "other", "2")
    await north.bus.publish(nonsense, b"{")
    known = Status(sender="other", site="home", run="3", number=1, lease=LEASE)
    await north.bus.publish(
        north.bus.subjects.of_site("home", "member", "other", "3"), encode(known)
    )
    await until(lambda: ("other", "3") in north.members.all, DEADLINE)
    assert set(north.members.all) - before == {("other", "3")}


async def test_nobody_speaks_for_another(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    said = Status(
        sender=south.members.name,
        site=south.members.site,
        run=south.members.run,
        number=10_000,
        lease=LEASE,
        leaving=True,
    )
    of_site = north.bus.subjects.of_site
    await north.bus.publish(of_site("home", "member", "other", "1"), encode(said))
    known = Status(sender="other", site="home", run="1", number=1, lease=LEASE)
    await north.bus.publish(of_site("home", "member", "other", "1"), encode(known))
    await until(lambda: ("other", "1") in north.members.all, DEADLINE)
    assert (south.members.name, south.members.run) in north.members.all


async def test_nobody_speaks_for_an_owner_where_programs_speak(
    village: Village, caplog: pytest.LogCaptureFixture
) -> None:
    north, south = village.owners["north"], village.owners["south"]
    far = south.members
    forged = Status(
        sender=far.name,
        site=far.site,
        run=far.run,
        number=10_000,
        lease=LEASE,
        leaving=True,
    )
    subject = far.bus.subjects.of_site(far.site, "member", far.name, far.run)
    radio = RadioStatus("AA", "odd", "ready", slots=3, free=3)
    of_none = msgspec.structs.replace(
        forged, sender="odd", run="1", leaving=False, owner=True, radios=(radio,)
    )
    where = far.bus.subjects.of_site(far.site, "member", "odd", "1")
    for _ in range(3):
        await north.bus.publish(subject, encode(forged))
        await north.bus.publish(subject, encode(msgspec.structs.replace(forged, leaving=False)))
        await north.bus.publish(where, encode(of_none))
    known = msgspec.structs.replace(forged, sender="program", run="1", leaving=False)
    await north.bus.publish(
        far.bus.subjects.of_site(far.site, "member", "program", "1"), encode(known)
    )
    await until(lambda: ("program", "1") in north.members.all)
    member = north.members.all[far.name, far.run]
    assert member.owner
    assert member.number < 10_000
    assert ready(north.fleet) == {"north", "south"}
    assert ("odd", "1") not in north.members.all
    said = [one for one in caplog.messages if "where no owner speaks" in one]
    assert len(said) == 2, "once by each of the two who hear it"


async def test_radios_that_are_remembered_are_bounded(
    village: Village, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MOST_RADIOS", 120)
    north = village.owners["north"]
    told = Status(sender="other", site="home", run="1", number=1, lease=LEASE, owner=True)
    subject = north.bus.subjects.of_site("home", "owner", "other", "1")
    for number in range(1, 6):
        ids = range(50 * number, 50 * number + 50)
        radios = tuple(RadioStatus(f"odd {one}", f"odd {one}", "gone") for one in ids)
        status = msgspec.structs.replace(told, number=number, radios=radios)
        await north.bus.publish(subject, encode(status))
    key = ("other", "1")
    await until(lambda: key in north.members.all and north.members.all[key].number == 5)
    assert len(north.members.all[key].radios) == 120
    said = [one for one in caplog.messages if "says to have more than 120 radios" in one]
    assert len(said) == 2, "once by each of the two who hear it"


async def test_what_is_late_says_nothing(village: Village) -> None:
    north = village.owners["north"]
    subject = north.bus.subjects.of_site("home", "owner", "other", "1")

    async def tell(number: int, free: int) -> None:
        radio = RadioStatus("AA", "odd", "ready", slots=3, free=free)
        told = Status(sender="other", site="home", run="1", number=number, lease=LEASE, owner=True)
        status = msgspec.structs.replace(told, radios=(radio,))
        await north.bus.publish(subject, encode(status))

    await tell(1, 3)
    await tell(3, 1)
    await tell(2, 2)
    await tell(3, 0)
    key = ("other", "1")
    await until(lambda: key in north.members.all and north.members.all[key].number == 3)
    await asyncio.sleep(0.1)
    assert [radio.free for radio in north.members.all[key].radios.values()] == [1]
    told = Status(sender="other", site="home", run="1", number=5, lease=LEASE, leaving=True)
    await north.bus.publish(subject, encode(told))
    await until(lambda: key not in north.members.all)
    await tell(4, 3)
    await asyncio.sleep(0.1)
    assert key not in north.members.all
