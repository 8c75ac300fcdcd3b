"""A client of a device behind another owner's radio, when that owner answers with an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from bleak.backends.device import BLEDevice

from proxyconn.att import MIN_MTU
from proxyconn.errors import ErrorKind, GATTError, LinkError, RadioError
from proxyconn_cluster.bus.messages import Message
from proxyconn_cluster.exchange.failures import told_failure
from proxyconn_cluster.exchange.link_messages import Reply
from proxyconn_cluster.exchange.services import Characteristic, Service
from proxyconn_cluster.members import Member
from proxyconn_cluster.remote.far_link import FarLink
from proxyconn_cluster.remote.far_links import FarLinks
from proxyconn_cluster.remote.remote_client import RemoteClient

TICK = 7
TABLE = (
    Service(
        6,
        "0000fff0-0000-1000-8000-00805f9b34fb",
        (Characteristic(TICK, "0000fff3-0000-1000-8000-00805f9b34fb", ("notify",)),),
    ),
)


class Owner:
    """The owner of the radio, and all links to it."""

    user, events = "program", "events"

    def __init__(self) -> None:
        self.member = Member("north", "1", "home", 10.0, 0.0)
        self.error: Exception | None = None
        self.mtu = 100
        self.closed: list[FarLink] = []

    def make(self, member: Member, source: str, on_down: Callable[[RadioError], object]) -> FarLink:
        return FarLink("link", member, source, self, on_down)

    def close_later(self, link: FarLink) -> None:
        self.closed.append(link)

    def missing(self, link: FarLink) -> None:
        """Nothing is missed."""

    def forget(self, link: FarLink) -> None:
        """Nothing is kept."""

    async def exchange(self, member: Member, verb: str, message: Message, timeout: float) -> Reply:
        await asyncio.sleep(0)
        if self.error:
            return Reply(failed=told_failure(self.error))
        return Reply(mtu=self.mtu, services=TABLE)


@pytest.fixture
def owner() -> Owner:
    """Return an owner that does what it is asked."""
    return Owner()


@pytest.fixture
def client(owner: Owner) -> RemoteClient:
    """Return a client that is connected to nothing yet."""
    return RemoteClient(
        BLEDevice("C4:00:00:00:00:01", "Lamp", {"address_type": 1}),
        links=cast("FarLinks", owner),
        member=owner.member,
        radio="c0ffee000001",
        radio_name="kitchen",
    )


async def test_an_attempt_that_failed_there_is_over_and_names_the_radio(
    owner: Owner, client: RemoteClient
) -> None:
    owner.error = LinkError("in vain", kind=ErrorKind.TRANSIENT)
    with pytest.raises(LinkError, match="in vain") as caught:
        await client.connect(pair=False)
    assert (caught.value.source, caught.value.kind) == ("kitchen", ErrorKind.TRANSIENT)
    assert len(owner.closed) == 1
    owner.error = LinkError("in vain", source="attic")
    with pytest.raises(LinkError) as caught:
        await client.connect(pair=False)
    assert caught.value.source == "attic", "the owner knows better"


async def test_a_subscription_that_failed_can_be_had_later(
    owner: Owner, client: RemoteClient
) -> None:
    await client.connect(pair=False)
    assert client.services
    tick = client.services.get_characteristic(TICK)
    assert tick
    owner.error = GATTError("not now", 0x80)
    with pytest.raises(GATTError, match="not now"):
        await client.start_notify(tick, lambda data: None)
    owner.error = None
    await client.start_notify(tick, lambda data: None)


@pytest.mark.parametrize(("told", "mtu"), [(0, MIN_MTU), (22, MIN_MTU), (247, 247)])
async def test_no_link_has_less_than_the_least_mtu(
    owner: Owner, client: RemoteClient, told: int, mtu: int
) -> None:
    owner.mtu = told
    await client.connect(pair=False)
    assert client.mtu_size == mtu
