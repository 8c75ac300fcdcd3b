"""What a client makes of the faults of the network, the session and the subscription."""

from __future__ import annotations

import asyncio

import pytest
from bleak.exc import BleakError

from proxyconn import RadioState, RadioUnavailableError
from proxyconn_virtual.events import ClientConnected, ProxyEvent, Subscribed
from proxyconn_virtual.fault_catalogue import FaultName as Name
from tests.faults.conftest import VALUE, Home, OpenHome, address, in_profiles, until

pytestmark = pytest.mark.looptime

WATCHDOG = 180.0
"""Seconds in which a client notices that nothing comes any more."""

BACK_OFF = 900.0
"""Seconds in which a client asks again for what a rival took from it twice."""


class Seen:
    """Counts what a proxy sees."""

    def __init__(self, home: Home) -> None:
        self.hellos = 0
        self.subscriptions = 0
        home.near.add_observer(self._take)

    def _take(self, event: ProxyEvent) -> None:
        if isinstance(event, ClientConnected):
            self.hellos += 1
        elif isinstance(event, Subscribed) and event.client_info == "proxyconn":
            self.subscriptions += 1


@in_profiles(Name.STALE_SUBSCRIBER)
async def test_stale_subscriber(open_home: OpenHome, profile: str) -> None:
    """A subscription that a dead client holds is asked for until it is free."""
    home = await open_home(Name.STALE_SUBSCRIBER, profile)
    client = await home.connect()
    home.strike(150)
    await until(lambda: not client.is_connected, 5.0)
    await asyncio.sleep(0.1)
    assert home.drops == [address(1)]
    await home.ready(230.0)
    await home.works(within=60.0)
    home.record("connected again")
    assert home.since > 150.0
    await home.all_free()


@in_profiles(Name.STALE_SUBSCRIBER)
async def test_stale_subscriber_is_told(open_home: OpenHome, profile: str) -> None:
    """While another client holds it, the proxy is denied, and says so at once."""
    home = await open_home(Name.STALE_SUBSCRIBER, profile)
    client = await home.connect()
    undo = home.strike(150)
    await until(lambda: home.radio.state is RadioState.DENIED, 20.0)
    home.record("denied")
    assert not client.is_connected
    with pytest.raises(BleakError):
        await home.connect(deadline=20.0)
    undo()
    await home.ready(70.0)
    await home.works()
    await home.all_free()


@in_profiles(Name.SUBSCRIBER_STOLEN)
async def test_subscriber_stolen(open_home: OpenHome, profile: str) -> None:
    """A subscription that was taken away is noticed and taken back; links are told or kept."""
    home = await open_home(Name.SUBSCRIBER_STOLEN, profile)
    links = await home.links()
    seen = Seen(home)
    home.strike(1)
    await until(lambda: seen.subscriptions > 0, WATCHDOG)
    home.record("subscribed again")
    await home.ready(10.0)
    for client in links:
        if client.is_connected:
            assert await client.read_gatt_char(VALUE) == b"value"
            await client.disconnect()
    await asyncio.sleep(0.1)
    assert home.drops == [client.address for client in links]
    await home.works()
    await home.all_free()


@in_profiles(Name.SUBSCRIBER_STOLEN)
async def test_subscriber_stolen_for_ever(open_home: OpenHome, profile: str) -> None:
    """A rival that takes it back each time is not fought for ever; the user is told."""
    home = await open_home(Name.SUBSCRIBER_STOLEN, profile)
    seen = Seen(home)
    undo = home.strike(10_000)
    # A proxy without slots answers no question that would show it: its silence does.
    patience = 60.0 if home.slots else 2 * WATCHDOG
    await until(lambda: seen.subscriptions > 0, patience)
    await asyncio.sleep(1.0)
    await until(lambda: home.radio.state is RadioState.ROBBED, patience)
    home.record("told to be robbed, and left to the other client")
    await asyncio.sleep(600.0)
    assert 1 <= seen.subscriptions <= 3
    assert home.radio.state is not RadioState.READY
    undo()
    await home.ready(BACK_OFF)
    await home.works()
    await home.all_free()


@in_profiles(Name.UNSUBSCRIBE_KILLS_LINKS)
async def test_never_unsubscribes(open_home: OpenHome, profile: str) -> None:
    """No client of ours unsubscribes, whatever it does."""
    home = await open_home(Name.UNSUBSCRIBE_KILLS_LINKS, profile)
    home.strike()
    await home.works(within=WATCHDOG)
    home.record("connected again")
    await home.fleet.aclose()
    await asyncio.sleep(1.0)
    assert "UnsubscribeBluetoothLEAdvertisementsRequest" not in home.near.snapshot().received
    assert home.near.snapshot().free == home.near.snapshot().limit


@in_profiles(Name.UNSUBSCRIBE_KILLS_LINKS)
async def test_unsubscribe_kills_links(open_home: OpenHome, profile: str) -> None:
    """A subscription that ends silently is noticed, and so is the end of the links."""
    home = await open_home(Name.UNSUBSCRIBE_KILLS_LINKS, profile)
    links = await home.links()
    seen = Seen(home)
    home.strike()
    await until(lambda: seen.subscriptions > 0, WATCHDOG)
    await home.cut_off(links, 10.0)
    home.record("subscribed again")
    await home.works()
    await home.all_free()


@in_profiles(Name.SILENT_SCANNER)
async def test_silent_scanner(open_home: OpenHome, profile: str) -> None:
    """A proxy that hears nothing is told to be silent; its links go on; it may recover."""
    home = await open_home(Name.SILENT_SCANNER, profile, devices=2)
    links = await home.links()
    undo = home.strike()
    await until(lambda: home.radio.state is RadioState.SILENT, WATCHDOG)
    home.record("told to be silent")
    for client in links:
        assert await client.read_gatt_char(VALUE) == b"value"
    undo()
    await home.ready(WATCHDOG)
    await home.hears(2)
    for client in links:
        assert client.is_connected
        await client.disconnect()
    await home.all_free()


@pytest.mark.parametrize("seed", [0, 1, 2])
@in_profiles(Name.REBOOT_MID_OP)
async def test_reboot_mid_op(open_home: OpenHome, profile: str, seed: int) -> None:
    """What waits on a proxy that reboots fails at once, and all is well when it is back."""
    home = await open_home(Name.REBOOT_MID_OP, profile)
    client = await home.connect()
    home.strike(20, seed=seed)
    with pytest.raises((RadioUnavailableError, BleakError)):
        await client.read_gatt_char(VALUE)
    assert home.since < 2.0
    await until(lambda: not client.is_connected, 1.0)
    await home.ready(90.0)
    again = await home.connect()
    home.record("connected again")
    assert 20.0 < home.since < 90.0
    assert home.drops == [address(1)]
    await again.disconnect()
    await home.all_free()


@in_profiles(Name.HALF_OPEN_TCP)
async def test_half_open_tcp(open_home: OpenHome, profile: str) -> None:
    """A connection on which nothing passes is given up, and made anew.

    The first look may come up to 40 s after the last message, and waits 90 s for an answer.
    """
    home = await open_home(Name.HALF_OPEN_TCP, profile)
    links = await home.links()
    seen = Seen(home)
    home.strike()
    await until(lambda: seen.hellos > 0, 135.0)
    await home.cut_off(links, 0.0)
    await home.ready(230.0)
    await home.works(within=60.0)
    home.record("connected again")
    await home.all_free()


@in_profiles(Name.FLAPPING)
async def test_flapping(open_home: OpenHome, profile: str) -> None:
    """Connections that break again and again are made less and less often, and leave nothing."""
    home = await open_home(Name.FLAPPING, profile)
    links = await home.links()
    seen = Seen(home)
    undo = home.strike(0.5)
    await asyncio.sleep(300.0)
    flaps = seen.hellos
    undo()
    await home.ready(120.0)
    await home.works(within=60.0)
    home.record("connected again")
    assert flaps < 60, f"{flaps} connections in 300 s"
    assert not any(client.is_connected for client in links)
    await home.all_free()
    assert len(home.drops) == 2 * len(links)


@in_profiles(Name.SLOT_LIMIT_TCP)
async def test_slot_limit_tcp(open_home: OpenHome, profile: str) -> None:
    """A proxy that has too many clients is tried again with patience, and not called wrong."""
    home = await open_home(Name.SLOT_LIMIT_TCP, profile)
    seen = Seen(home)
    undo = home.strike()
    home.near.server.reset()
    await asyncio.sleep(120.0)
    assert home.radio.state in (RadioState.GONE, RadioState.CONNECTING)
    assert seen.hellos == 0
    undo()
    await home.ready(90.0)
    await home.works()
    home.record("connected again")
    await home.all_free()


@pytest.mark.parametrize(
    ("name", "plaintext"),
    [(Name.WRONG_KEY, False), (Name.WRONG_MODE, False), (Name.WRONG_MODE, True)],
    ids=["key", "mode of noise", "mode of plaintext"],
)
@in_profiles(Name.WRONG_MODE)
async def test_wrong_key_or_mode(
    open_home: OpenHome, name: Name, profile: str, plaintext: bool
) -> None:
    """A key that does not fit is told, and tried again, without haste."""
    spec = {"noise_psk": None} if plaintext else {}
    home = await open_home(name, profile, **spec)
    links = await home.links()
    undo = home.strike()
    await until(lambda: home.radio.state is RadioState.WRONG_KEY, 15.0)
    home.record("told to have another key")
    await home.cut_off(links, 0.0)
    connections = home.near.server.accepted
    await asyncio.sleep(300.0)
    assert home.near.server.accepted - connections <= 12
    assert home.radio.state is RadioState.WRONG_KEY
    undo()
    await home.ready(90.0)
    await home.works()
    await home.all_free()
