"""Connections through a proxy before ESPHome 2026.8, message by message.

scripts/test-firmware compares newer ones with the firmware's own code.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from proxyconn_virtual.events import (
    Connected,
    Connecting,
    Disconnected,
    OpenFailed,
    ProxyEvent,
    Refused,
)
from proxyconn_virtual.faults import Lose, RadioEvent
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import ProxySpec
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import (
    DISCONNECT,
    FIRST,
    QUICK,
    WITH_CACHE,
    WITHOUT_CACHE,
    Bench,
    address,
    peripheral,
    until,
)

NEVER = Outcome(after=math.inf)
HELD, UP, DOWN, FREE = (
    ("slots", 2, 1),
    ("conn", True, 247, 0),
    ("conn", False, 0, 0),
    ("slots", 3),
)


OLD = "2026.6.5"


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Return a bench of proxies with the old firmware."""
    async with AsyncExitStack() as stack:
        yield Bench(stack, OLD)


def air_of(fleet: VirtualFleet) -> SimulatedAir:
    """Return the simulated air of a fleet."""
    assert isinstance(fleet.air, SimulatedAir)
    return fleet.air


async def test_connect_without_cache(bench: Bench) -> None:
    """The slot is reported at once, the link with its MTU when discovery is over."""
    proxy, peer = await bench.pair(peripheral())
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(3) == [HELD, UP, HELD]
    assert proxy.snapshot().slots == ((address(1), "established"),)
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [DOWN, FREE]
    assert seen == [
        Connecting("kitchen", address(1)),
        Connected("kitchen", address(1), 0),
        Disconnected("kitchen", address(1), 0),
    ]


async def test_connect_with_cache(bench: Bench) -> None:
    """With cache the MTU is the one that the slot had before: 23, then that of another device."""
    proxy, peer = await bench.pair(peripheral(mtu=185), peripheral(2))
    peer.ask(WITH_CACHE)
    assert await peer.steps(3) == [HELD, ("conn", True, 23, 0), HELD]
    await peer.quiet()
    peer.ask(DISCONNECT)
    await peer.steps(2)
    peer.ask(WITH_CACHE, FIRST + 1)
    assert (await peer.steps(3))[1] == ("conn", True, 185, 0)
    assert proxy.snapshot().free == 2


async def test_connect_twice(bench: Bench) -> None:
    """A connect to a device that is connected is answered with MTU 0."""
    _, peer = await bench.pair(peripheral())
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(2) == [("conn", True, 0, 0), HELD]


async def test_connect_without_free_slot(bench: Bench) -> None:
    """No slot: connected=false with error 0, and no report."""
    proxy, peer = await bench.pair(peripheral(outcomes=[NEVER]), peripheral(2), slots=1)
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(1) == [("slots", 0, 1)]
    peer.ask(WITHOUT_CACHE, FIRST + 1)
    assert await peer.quiet() == [DOWN]
    assert proxy.snapshot().connects_refused == 1
    assert Refused("kitchen", address(2)) in seen


async def test_connect_without_address_type(bench: Bench) -> None:
    """A connect that names no address type is refused, and leaks a slot."""
    proxy, peer = await bench.pair(peripheral())
    peer.ask(WITHOUT_CACHE, address_type=None)
    assert await peer.quiet() == [DOWN]
    assert proxy.snapshot().slots == ((address(1), "init"),)


@pytest.mark.parametrize(("kind", "answer"), [(0, [DOWN]), (7, [])])
async def test_request_types_not_served(
    bench: Bench, kind: int, answer: list[tuple[object, ...]]
) -> None:
    """Type 0 is answered connected=false; an unknown type is not answered."""
    _, peer = await bench.pair(peripheral())
    peer.ask(kind)
    assert await peer.quiet() == answer


@pytest.mark.parametrize("reason", [62, 133, 13])
async def test_open_failed(bench: Bench, reason: int) -> None:
    """A failed open is told twice: its reason, then 133 with the free slot."""
    proxy, peer = await bench.pair(peripheral(outcomes=[Outcome(reason)]))
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(4) == [
        HELD,
        ("conn", False, 0, reason),
        ("conn", False, 0, 133),
        FREE,
    ]
    assert OpenFailed("kitchen", address(1), reason) in seen
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(3) == [HELD, UP, HELD]


@pytest.mark.parametrize("case", ["never answers", "unknown", "not heard", "wrong type"])
async def test_open_out_of_reach(bench: Bench, case: str) -> None:
    """A device that never answers is given up at the establishment limit, with 256."""
    changes: dict[str, object] = {}
    if case == "never answers":
        changes["outcomes"] = [NEVER]
    elif case == "not heard":
        changes["rssi"] = {"garage": -50}
    listening = peripheral(9)
    proxy, peer = await bench.pair(listening, peripheral(1, **changes), establish_limit=0.05)
    device = FIRST + 99 if case == "unknown" else FIRST
    peer.ask(WITHOUT_CACHE, device, address_type=0 if case == "wrong type" else 1)
    got = await peer.steps(4)
    assert got[1:] == [("conn", False, 0, 256), ("conn", False, 0, 133), FREE]
    assert proxy.snapshot().free == 3


async def test_disconnect_while_connecting_waits(bench: Bench) -> None:
    """A disconnect during an attempt is not answered until the attempt is over."""
    proxy, peer = await bench.pair(peripheral(latency=0.1))
    peer.ask(WITHOUT_CACHE)
    peer.ask(DISCONNECT)
    assert await peer.quiet() == [HELD]
    assert proxy.snapshot().slots == ((address(1), "connecting"),)
    assert await peer.steps(2) == [DOWN, FREE]


async def test_disconnect_while_connecting_with_cache(bench: Bench) -> None:
    """With cache the link is reported before it is closed."""
    _, peer = await bench.pair(peripheral(latency=0.05))
    peer.ask(WITH_CACHE)
    peer.ask(DISCONNECT)
    assert await peer.steps(5) == [HELD, ("conn", True, 23, 0), HELD, DOWN, FREE]


async def test_disconnect_of_unknown_address(bench: Bench) -> None:
    """An address without a slot is answered at once."""
    _, peer = await bench.pair(peripheral())
    peer.ask(DISCONNECT)
    assert await peer.quiet() == [DOWN, FREE]


async def test_attempts_wait_for_each_other(bench: Bench) -> None:
    """A second connect is queued behind the first, slot reserved."""
    proxy, peer = await bench.pair(peripheral(outcomes=[NEVER]), peripheral(2), establish_limit=0.1)
    peer.ask(WITHOUT_CACHE)
    peer.ask(WITHOUT_CACHE, FIRST + 1)
    assert await peer.steps(2) == [HELD, ("slots", 1, 1, 2)]
    assert proxy.snapshot().slots == ((address(1), "connecting"), (address(2), "queued"))
    assert await peer.steps(5) == [
        ("conn", False, 0, 256),
        ("conn", False, 0, 133),
        ("slots", 2, 2),
        UP,
        ("slots", 2, 2),
    ]


@pytest.mark.parametrize("reason", [8, 19])
async def test_link_lost(bench: Bench, reason: int) -> None:
    """A link that drops is told twice, and the second time the slot is free."""
    fleet = await bench.fleet(
        [ProxySpec(name="kitchen", timings=QUICK, profile=OLD)], [peripheral()]
    )
    peer = await bench.peer(fleet.proxies["kitchen"], subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    assert air_of(fleet).drop_link(address(1), reason)
    gone = ("conn", False, 0, reason)
    assert await peer.steps(3) == [gone, gone, FREE]


async def test_link_lost_frees_early_on_old_firmware(bench: Bench) -> None:
    """Before 2025.8 one notice frees the slot."""
    fleet = await bench.fleet(
        [ProxySpec(name="kitchen", timings=QUICK, profile="2025.5")], [peripheral()]
    )
    peer = await bench.peer(fleet.proxies["kitchen"], subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    air_of(fleet).drop_link(address(1), 19)
    assert await peer.steps(2) == [("conn", False, 0, 19), FREE]
    await until(lambda: fleet.proxies["kitchen"].snapshot().free == 3)
    assert await peer.quiet() == []


@pytest.mark.parametrize("cause", ["disconnect", "drop"])
async def test_close_event_lost(bench: Bench, cause: str) -> None:
    """Without CLOSE_EVT a timer frees the slot and says 8."""
    fleet = await bench.fleet(
        [ProxySpec(name="kitchen", timings=QUICK, profile=OLD)], [peripheral()]
    )
    proxy = fleet.proxies["kitchen"]
    proxy.injectors.append(Lose(RadioEvent.CLOSE))
    peer = await bench.peer(proxy, subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    if cause == "disconnect":
        peer.ask(DISCONNECT)
        assert await peer.steps(2) == [("conn", False, 0, 8), FREE]
    else:
        air_of(fleet).drop_link(address(1), 19)
        expected = [("conn", False, 0, 19), ("conn", False, 0, 8), FREE]
        assert await peer.steps(3) == expected
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(3) == [HELD, UP, HELD]


async def test_open_event_lost_wedges(bench: Bench) -> None:
    """Without OPEN_EVT the slot connects for ever, and blocks other attempts and the scanner."""
    proxy, peer = await bench.pair(peripheral(), peripheral(2))
    proxy.injectors.append(Lose(RadioEvent.OPEN))
    peer.ask(WITHOUT_CACHE)
    peer.ask(WITHOUT_CACHE, FIRST + 1)
    assert await peer.steps(2) == [HELD, ("slots", 1, 1, 2)]
    await peer.quiet()
    states = [state for _, state in proxy.snapshot().slots]
    assert states == ["connecting", "queued"]
    assert not proxy.snapshot().scanning


@pytest.mark.parametrize("event", [RadioEvent.MTU, RadioEvent.SEARCH])
async def test_connected_is_never_sent(bench: Bench, event: RadioEvent) -> None:
    """Without the MTU result, or the end of discovery, connected=true never comes."""
    proxy, peer = await bench.pair(peripheral())
    proxy.injectors.append(Lose(event))
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(1) == [HELD]
    await until(lambda: proxy.snapshot().slots[0][1] in ("connected", "established"))
    assert await peer.quiet() == []
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [DOWN, FREE]


async def test_open_call_refused_keeps_address(bench: Bench) -> None:
    """An open call that fails at once says nothing and holds the slot until a disconnect."""
    proxy, peer = await bench.pair(peripheral())
    proxy.injectors.append(Lose(RadioEvent.OPEN_CALL))
    peer.ask(WITHOUT_CACHE)
    assert await peer.quiet() == [HELD]
    assert proxy.snapshot().slots == ((address(1), "idle"),)
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [DOWN, FREE]


async def test_disconnect_event_lost(bench: Bench) -> None:
    """Without DISCONNECT_EVT only CLOSE_EVT tells of the loss."""
    fleet = await bench.fleet(
        [ProxySpec(name="kitchen", timings=QUICK, profile=OLD)], [peripheral()]
    )
    proxy = fleet.proxies["kitchen"]
    proxy.injectors.append(Lose(RadioEvent.DISCONNECT))
    peer = await bench.peer(proxy, subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    air_of(fleet).drop_link(address(1), 19)
    assert await peer.steps(2) == [("conn", False, 0, 19), FREE]


async def test_reboot_frees_everything(bench: Bench) -> None:
    """After a power loss no slot is held, and the device can be connected again."""
    proxy, peer = await bench.pair(peripheral())
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    await proxy.kill()
    await proxy.start()
    assert proxy.snapshot().free == 3
    again = await bench.peer(proxy, subscribe=True)
    again.ask(WITHOUT_CACHE)
    assert await again.steps(3) == [HELD, UP, HELD]


async def test_passive_proxy_does_not_connect(bench: Bench) -> None:
    """A proxy that only listens ignores connection requests, and says so in its flags."""
    proxy, peer = await bench.pair(peripheral(), active=False)
    assert proxy.device_info().bluetooth_proxy_feature_flags == 97
    peer.ask(WITHOUT_CACHE)
    assert await peer.quiet() == []
