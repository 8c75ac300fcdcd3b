"""What others send is checked: nonsense changes nothing, and nobody has us write where he likes."""

from __future__ import annotations

import asyncio
import json
import logging
import random

import pytest
from nats.aio.msg import Msg

from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.bus.subjects import Subjects
from proxyconn_cluster.exchange.link_messages import Open
from proxyconn_cluster.exchange.offers import Ask
from proxyconn_cluster.exchange.status import RadioStatus, Status

from .village import LEASE, READ, VALUE, Village, address, connect, until

FIELDS = (
    *("v", "sender", "site", "run", "lease", "owner", "radios", "interest", "number", "reply"),
    *("device", "link", "user", "events", "radio", "address", "left", "links", "what", "offers"),
)

LOGGER = "proxyconn_cluster.bus.dialling"

VERBS = ("open", "do", "close", "keep", "device")

VALUES: tuple[object, ...] = (
    *(None, True, -1, 1e300, "", "x" * 5000, "proxyconn.v1.house.>", [], {}, [1, 0], [[]]),
    *(address(1), {"a": 1}, "\x00", [{"id": "*", "name": 1}]),
)


async def test_nonsense_changes_nothing(village: Village, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    north, chance = village.owners["north"], random.Random(1)
    fleet = await village.program()
    client = await connect(fleet, 1)
    user = next(one for one in north.members.all.values() if not one.owner)
    subjects = [
        north.members.subject("member"),
        north.members.subject("owner"),
        north.bus.subjects.of_site("home", "member", "odd", "1"),
        north.bus.subjects.of_site("home", "owner", "odd", "1"),
        north.bus.subjects.of_all("ask"),
        north.members.subject("answer"),
        north.bus.subjects.of_site("home", "adverts", "00-11"),
        *(
            north.members.subject("link", verb)
            for verb in ("open", "do", "close", "keep", "device")
        ),
        north.members.subject_of(user, "event"),
        north.members.subject_of(user, "answer"),
    ]
    other = village.owners["south"].bus.client
    for _ in range(600):
        said = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randint(0, 9))}
        data = json.dumps({"v": [1, 1], **said}).encode()
        if chance.random() < 0.2:
            data = chance.randbytes(chance.randint(0, 60))
        await other.publish(chance.choice(subjects), data, reply="_INBOX.nobody")
    await asyncio.sleep(0.3)
    failed = [one for one in caplog.records if one.name == LOGGER]
    assert failed == [], "what handlers raise is told there"
    assert await client.read_gatt_char(READ) == VALUE
    await client.disconnect()
    assert {radio.name for radio in north.fleet.radios} == {"north", "south"}


async def test_slots_of_what_is_no_address_are_passed_over(village: Village) -> None:
    north = village.owners["north"]
    radio = RadioStatus("AA", "odd", "ready", slots=3, free=1, allocated=("nonsense", address(9)))
    status = Status(
        sender="odd", site="home", run="1", number=1, lease=LEASE, owner=True, radios=(radio,)
    )
    await north.bus.publish(north.bus.subjects.of_site("home", "owner", "odd", "1"), encode(status))
    await until(lambda: any(one.name == "odd" for one in north.fleet.radios))
    (odd,) = [one for one in north.fleet.radios if one.name == "odd"]
    slots = odd.allocations()
    assert slots is not None
    assert slots.allocated == [address(9)]


async def test_nobody_has_us_write_where_he_likes(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    written: list[str] = []

    async def heard(message: Msg) -> None:
        written.append(message.subject)

    await south.bus.subscribe("elsewhere.>", heard)
    await south.bus.subscribe("proxyconn.v1.house.home.leases.>", heard)
    ask = Ask(sender="south", number=1, reply="elsewhere.answer", device=address(1))
    await south.bus.publish(south.bus.subjects.of_all("ask"), encode(ask))
    far = south.members.all[north.members.name, north.members.run]
    (radio,) = far.radios.values()
    subject = south.members.subject_of(far, "link", "open")
    for events in ("elsewhere.events", "proxyconn.v1.house.home.leases.a.b"):
        asked = Open(
            link="link",
            user="south",
            events=events,
            radio=radio.id,
            address=address(1),
            address_type=1,
            left=5.0,
        )
        await south.bus.client.publish(subject, encode(asked), reply="elsewhere.reply")
        answer = await south.bus.request(subject, encode(asked), 2.0)
        assert b"no member is told" in answer.data
    await asyncio.sleep(0.2)
    assert written == []
    assert village.slots() == {}


@pytest.mark.parametrize(
    ("subject", "fine"),
    [
        ("proxyconn.v1.house.home.event.owner-1.0a1b", True),
        ("proxyconn.v1.house.home.answer.owner-1.0a1b", False),
        ("proxyconn.v1.other.home.event.owner-1.0a1b", False),
        ("proxyconn.v1.house.home.event.owner-1", False),
        ("proxyconn.v1.house.home.event.owner-1.0a1b.more", False),
        ("proxyconn.v1.house.home.event.*.0a1b", False),
        ("proxyconn.v1.house..event.owner-1.0a1b", False),
        ("$KV.proxyconn_v1_house_leases.event.a.b.c", False),
    ],
)
def test_a_members_own_subject(subject: str, fine: bool) -> None:
    assert Subjects("house").is_members_own(subject, "event") is fine
