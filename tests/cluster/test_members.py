"""Who is there is known to all, costs little, and says when it goes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import msgspec
from nats.aio.msg import Msg

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
    await bus.subscribe(bus.subjects.of_site("*", "member", "*", "*"), heard)
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


async def test_what_is_late_says_nothing(village: Village) -> None:
    north = village.owners["north"]
    subject = north.bus.subjects.of_site("home", "member", "other", "1")

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
