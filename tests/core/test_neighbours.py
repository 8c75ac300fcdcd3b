"""Radios of other fleets: asked what they are worth, waited for elsewhere, and told who listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from bleak import BleakClient

from proxyconn import (
    BleakNotFoundError,
    ErrorKind,
    Fleet,
    LinkError,
    RadioState,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.fleet import backends
from proxyconn.fleet.lending import Lending
from proxyconn.fleet.listening import find_device
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.models import ScanMode
from proxyconn.radio import Neighbours, Offer, OffersLinks, ScanWish, Surroundings
from proxyconn.routing.pins import NO_PINS

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

ADDRESS = "C4:00:00:00:00:01"


class FarRadio(FakeRadio, OffersLinks):
    """A radio of another fleet."""

    offers: dict[str, Offer]

    def __init__(self, hub: Hub, name: str) -> None:
        self.offers = {}
        super().__init__(hub, name)

    def offer(self, address: str) -> Offer | None:
        """What the test says."""
        return self.offers.get(address)

    def claim(self, address: str) -> bool:
        """Its owner has the queue."""
        return True


@dataclass
class FakeNeighbours(Neighbours):
    """Notes what it is asked and told."""

    notes: list[tuple[object, ...]] = field(default_factory=list)
    held: str | None = None
    end_link: Callable[[str], Awaitable[None]] | None = None
    on_look: Callable[[], None] | None = None

    def met(self, end_link: Callable[[str], Awaitable[None]]) -> None:
        self.end_link = end_link

    async def ask(self, address: str, timeout: float) -> None:
        self.notes.append(("ask", address))
        if self.held:
            raise LinkError(self.held, kind=ErrorKind.IN_USE)

    async def look_for(self, address_or_name: str) -> None:
        self.notes.append(("look for", address_or_name))
        if self.on_look:
            self.on_look()

    async def hold(self, address: str, radio: str, timeout: float) -> None:
        self.notes.append(("hold", address, radio))

    def let_go(self, address: str) -> None:
        self.notes.append(("let go", address))

    def listened_to(self, wanted: bool) -> None:
        self.notes.append(("listened to", wanted))

    def known(self) -> Surroundings:
        return Surroundings(
            fleet="house",
            site="home",
            owner="here",
            servers="nats://broker",
            connected=True,
            since=0.0,
            cut_off=False,
            leases=0,
            received=0,
            sent=0,
            owners=(),
            troubles=(),
        )

    def scan_wished(self, wishes: frozenset[ScanWish]) -> None:
        self.notes.append(("scan wished", wishes))


@pytest.fixture
async def others(hub: Hub) -> FakeNeighbours:
    """Return its neighbours."""
    others = FakeNeighbours()
    hub.neighbours.met(others, Lending(hub).end_link)
    return others


def offer(rssi: int, wait: float = 0.0) -> Offer:
    """Return what a link is worth."""
    return Offer(rssi, age=1.0, patience=60.0, wait=wait)


async def test_an_offer_says_what_a_radio_is_worth(hub: Hub) -> None:
    near, far = FakeRadio(hub, "near"), FarRadio(hub, "far")
    near.hear(ADDRESS, -80)
    assert await hub.queue.take(ADDRESS, 1.0) is near
    hub.link_ended(ADDRESS)
    far.offers[ADDRESS] = offer(-60)
    assert await hub.queue.take(ADDRESS, 1.0) is far, "it hears the device better, it says"
    hub.link_ended(ADDRESS)
    far.offers[ADDRESS] = offer(-60, wait=5.0)
    assert await hub.queue.take(ADDRESS, 1.0) is near, "but there is a queue"
    hub.link_ended(ADDRESS)


async def test_a_device_that_only_others_hear_is_waited_for_no_longer(hub: Hub) -> None:
    far = FarRadio(hub, "far")
    with pytest.raises(BleakNotFoundError):
        await hub.queue.take(ADDRESS, 1.0, known=False)
    far.offers[ADDRESS] = offer(-70)
    assert await hub.queue.take(ADDRESS, 1.0, known=False) is far


async def test_many_wait_in_the_queue_of_its_owner(hub: Hub) -> None:
    far = FarRadio(hub, "far")
    far.report("AA:00:00:00:00:01", "AA:00:00:00:00:02", "AA:00:00:00:00:03")
    addresses = [f"C4:00:00:00:00:{number:02X}" for number in range(5)]
    for address in addresses:
        far.offers[address] = offer(-60, wait=9.0)
    began = asyncio.get_running_loop().time()
    takes = [hub.queue.take(address, 5.0) for address in addresses]
    assert await asyncio.gather(*takes) == [far] * 5
    assert asyncio.get_running_loop().time() == began


async def test_a_connect_asks_first(hub: Hub, others: FakeNeighbours) -> None:
    FakeRadio(hub, "near").hear(ADDRESS, -60)
    device = hub.sightings[ADDRESS].device
    others.held = "somebody has it"
    with pytest.raises(LinkError, match="somebody has it"):
        await BleakClient(device, backend=DeviceRoute(hub, ADDRESS).client_backend).connect()
    assert others.notes == [("ask", ADDRESS)]
    assert hub.queue.links == {}
    others.held = None
    with pytest.raises(NotImplementedError):
        await BleakClient(device, backend=DeviceRoute(hub, ADDRESS).client_backend).connect()
    assert others.notes[1:] == [
        ("ask", ADDRESS),
        ("hold", ADDRESS, "near"),
        ("let go", ADDRESS),
    ]


async def test_a_device_that_may_be_held_elsewhere_is_no_failure_of_the_radio(
    hub: Hub, others: FakeNeighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold(address: str, radio: str, timeout: float) -> None:
        raise RadioUnavailableError("the store does not answer")

    monkeypatch.setattr(others, "hold", hold)
    FakeRadio(hub, "near").hear(ADDRESS, -60)
    with pytest.raises(RadioUnavailableError, match="the store"):
        await Lending(hub).client(ADDRESS, 1, party="them", only="near").connect(False)
    (path,) = hub.paths(ADDRESS)
    assert (path.failures, path.radio_failures) == (0, 0)


async def test_a_radio_that_is_chosen_already_is_not_compared(
    hub: Hub, others: FakeNeighbours
) -> None:
    FakeRadio(hub, "near").hear(ADDRESS, -60)
    client = Lending(hub).client(ADDRESS, 1, party="them", only="near")
    with pytest.raises(NotImplementedError):
        await client.connect(False)
    assert others.notes == [("hold", ADDRESS, "near"), ("let go", ADDRESS)]


async def test_a_device_is_let_go_once_its_slot_is_free(hub: Hub, others: FakeNeighbours) -> None:
    near = FakeRadio(hub, "near")
    near.hear(ADDRESS, -60)
    assert await hub.queue.take(ADDRESS, 1.0) is near
    await hub.neighbours.hold(ADDRESS, near, 1.0)
    near.report(ADDRESS)
    hub.link_ended(ADDRESS)
    assert others.notes == [("hold", ADDRESS, "near")]
    near.report()
    assert others.notes[1:] == [("let go", ADDRESS)]


async def test_a_device_is_let_go_with_its_radio(hub: Hub, others: FakeNeighbours) -> None:
    near = FakeRadio(hub, "near")
    await hub.neighbours.hold(ADDRESS, near, 10.0)
    near.report(ADDRESS)
    hub.neighbours.let_go(ADDRESS)
    assert ("let go", ADDRESS) not in others.notes
    hub.radio_removed(near)
    assert others.notes[-1] == ("let go", ADDRESS)


async def test_what_is_held_elsewhere_is_not_held_here(hub: Hub, others: FakeNeighbours) -> None:
    await hub.neighbours.hold(ADDRESS, FarRadio(hub, "far"), 1.0)
    assert others.notes == []


async def test_they_are_told_whether_anybody_listens(hub: Hub, others: FakeNeighbours) -> None:
    stop = hub.sightings.callbacks.register(lambda device, said: None)
    again = hub.reports_callbacks.register(lambda radio, reports: None)
    stop()
    own = Lending(hub).register_own_reports_callback(lambda radio, reports: None)
    again()
    own()
    assert others.notes == [("listened to", True), ("listened to", False)]


async def test_they_are_told_what_was_before_them(hub: Hub) -> None:
    hub.sightings.lost_callbacks.register(lambda device: None)
    others = FakeNeighbours()
    hub.neighbours.met(others, Lending(hub).end_link)
    assert others.notes == [("listened to", True)]


async def test_who_looks_for_a_device_asks_them(hub: Hub, others: FakeNeighbours) -> None:
    far = FarRadio(hub, "far")
    others.on_look = lambda: far.hear(ADDRESS, -60)
    device = await find_device(hub, ADDRESS, 1.0, NO_PINS)
    assert device.address == ADDRESS
    assert others.notes == [("look for", ADDRESS)]


async def test_own_radios_are_offered_and_no_others(hub: Hub) -> None:
    near, far = FakeRadio(hub, "near"), FarRadio(hub, "far")
    for radio in (near, far):
        radio.hear(ADDRESS, -60)
    (only,) = Lending(hub).offers(ADDRESS)
    assert (only.radio, only.offer.rssi, only.offer.wait, only.address_type) == (near, -60, 0.0, 1)
    assert Lending(hub).offers("C4:00:00:00:00:02") == []


async def test_own_radios_that_cannot_be_used_are_not_offered(hub: Hub) -> None:
    near = FakeRadio(hub, "near")
    near.hear(ADDRESS, -60)
    near.become(RadioState.DENIED)
    assert Lending(hub).offers(ADDRESS) == []


async def test_a_cluster_takes_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "load_backends", dict)
    with pytest.raises(UnsupportedError, match=r"proxyconn\[cluster\]"):
        await Fleet(cluster="nats://127.0.0.1:4222", state=None, owner=False).__aenter__()


async def test_they_are_told_how_radios_should_scan(hub: Hub, others: FakeNeighbours) -> None:
    lending = Lending(hub)
    lending.wish_scan("client", ScanMode.ACTIVE)
    wished = ("scan wished", frozenset({ScanWish()}))
    assert others.notes == [wished]
    later = FakeNeighbours()
    hub.neighbours.met(later, lending.end_link)
    assert later.notes == [wished], "who comes later, too"
    lending.end_scan_wish("client")
    assert later.notes == [wished, ("scan wished", frozenset())]
    assert others.notes == [wished]


async def test_what_they_wish_is_not_told_back(hub: Hub, others: FakeNeighbours) -> None:
    lending = Lending(hub)
    lending.neighbour_wishes_scan("other", ScanWish())
    assert hub.scan.mode_of(FakeRadio(hub, "near")) is ScanMode.ACTIVE
    lending.end_scan_wish("other")
    assert hub.scan.mode_of(FakeRadio(hub, "far")) is None
    assert others.notes == []
