"""One connect() of a fleet's client: through the best radio, or else through the next one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn import (
    BleakAbortedError,
    BleakClientWithServiceCache,
    ErrorKind,
    LinkError,
    PairingError,
    RadioState,
    establish_connection,
)
from proxyconn.fleet.lending import Lending
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute

from .fake_radio import FakeRadio
from .test_routed_links import FakeClient

pytestmark = pytest.mark.looptime

ADDRESS, OTHER = "C4:00:00:00:00:01", "AA:00:00:00:00:01"


class ScriptedClient(FakeClient):
    """A link that comes up, or fails, after a second."""

    error: Exception | None = None
    seconds = 1.0
    limits: list[float]

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Do as the radio says."""
        self.limits.append(kwargs["timeout"])
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        await super().connect(pair, **kwargs)


ScriptedClient.__abstractmethods__ = frozenset()
MAKE: Any = ScriptedClient


class ScriptedRadio(FakeRadio):
    """A radio whose attempts fail as long as there are errors.

    Attributes:
        errors: what the next attempts fail with.
        limits: `timeout=` of each attempt in seconds.
    """

    def __init__(self, hub: Hub, name: str, rssi: int) -> None:
        super().__init__(hub, name)
        self.errors: list[Exception] = []
        self.limits: list[float] = []
        self.hear(ADDRESS, rssi)

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for one attempt."""
        client: ScriptedClient = MAKE(device, disconnected_callback=None, **kwargs)
        client.error = self.errors.pop(0) if self.errors else None
        client.limits = self.limits
        return client


def failed(name: str, kind: ErrorKind = ErrorKind.ESTABLISH_FAILED) -> LinkError:
    """Return what a radio raises for a link that did not open."""
    return LinkError(f"{name}: no link", kind=kind, source=name)


@pytest.fixture
async def near(hub: Hub) -> ScriptedRadio:
    """Return the radio that hears the device best."""
    return ScriptedRadio(hub, "near", -50)


@pytest.fixture
async def far(hub: Hub, near: ScriptedRadio) -> ScriptedRadio:
    """Return another one that hears it."""
    return ScriptedRadio(hub, "far", -75)


def plain(hub: Hub, **kwargs: Any) -> BleakClient:
    """Return a plain client of bleak's for the device."""
    device = hub.sightings[ADDRESS].device
    return BleakClient(device, backend=DeviceRoute(hub, ADDRESS).client_backend, **kwargs)


async def test_the_next_radio_is_tried(hub: Hub, near: ScriptedRadio, far: ScriptedRadio) -> None:
    """It gets what is left of the time, and the one that failed is remembered."""
    near.errors = [failed("near")]
    async with plain(hub, timeout=10):
        assert hub.queue.links == {ADDRESS: far}
    assert (near.limits, far.limits) == ([10.0], [9.0])
    assert {path.source: path.failures > 0 for path in hub.paths(ADDRESS)} == {
        "near": True,
        "far": False,
    }


async def test_none_is_tried_twice(hub: Hub, near: ScriptedRadio, far: ScriptedRadio) -> None:
    """When all have failed, the last error is raised, as bleak's programs know it."""
    near.errors, far.errors = [failed("near")] * 9, [failed("far")] * 9
    with pytest.raises(BleakError, match="far: no link"):
        await plain(hub).connect()
    assert (len(near.limits), len(far.limits)) == (1, 1)
    assert hub.queue.links == {}


async def test_the_only_radio_is_tried_once(hub: Hub, near: ScriptedRadio) -> None:
    """Whether it is worth another try is the program's decision, as ever."""
    near.errors = [failed("near")]
    with pytest.raises(LinkError, match="near: no link"):
        await plain(hub).connect()
    assert len(near.limits) == 1


async def test_one_that_is_asked_of_one_radio_waits_for_no_other(
    hub: Hub, near: ScriptedRadio, far: ScriptedRadio
) -> None:
    """Whoever named the radio hears at once that it failed, and can ask elsewhere."""
    near.errors = [failed("near")]
    began = asyncio.get_running_loop().time()
    with pytest.raises(LinkError, match="near: no link"):
        await Lending(hub).client(ADDRESS, 1, party="them", only="near").connect(False)
    assert asyncio.get_running_loop().time() - began == 1.0
    assert far.limits == []


async def test_a_slot_of_the_next_radio_is_waited_for(
    hub: Hub, near: ScriptedRadio, far: ScriptedRadio
) -> None:
    """As long as the time allows."""
    near.errors = [failed("near")]
    far.report(OTHER, "AA:00:00:00:00:02", "AA:00:00:00:00:03")
    client = plain(hub, timeout=10)
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(5)
    assert hub.queue.waiting == [ADDRESS]
    far.report()
    await connecting
    assert far.limits == [5.0]
    await client.disconnect()


@pytest.mark.parametrize("gone", [RadioState.GONE, RadioState.CONNECTING])
async def test_the_next_radio_goes_meanwhile(
    hub: Hub, near: ScriptedRadio, far: ScriptedRadio, gone: RadioState
) -> None:
    """Then the error is that of the radio that was tried."""
    near.errors = [failed("near")]
    far.report(OTHER, "AA:00:00:00:00:02", "AA:00:00:00:00:03")
    connecting = asyncio.create_task(plain(hub, timeout=60).connect())
    await asyncio.sleep(5)
    far.become(gone)
    with pytest.raises(LinkError, match="near: no link"):
        await connecting
    assert hub.queue.links == {}


@pytest.mark.parametrize(
    "error",
    [
        PairingError("near: refused", source="near"),
        failed("near", ErrorKind.GATT),
        ValueError("a mistake"),
    ],
    ids=repr,
)
async def test_what_no_radio_is_to_blame_for(
    hub: Hub, near: ScriptedRadio, far: ScriptedRadio, error: Exception
) -> None:
    """It would be no other through the next one."""
    near.errors = [error]
    with pytest.raises(type(error)):
        await plain(hub).connect()
    assert far.limits == []


async def test_no_time_is_left(hub: Hub, near: ScriptedRadio, far: ScriptedRadio) -> None:
    """The call ends when its timeout does."""
    near.errors = [failed("near")]
    with pytest.raises(LinkError, match="near: no link"):
        await plain(hub, timeout=1.0).connect()
    assert asyncio.get_running_loop().time() == pytest.approx(1)
    assert far.limits == []


async def test_a_retry_loop_counts_each_attempt(
    hub: Hub, near: ScriptedRadio, far: ScriptedRadio
) -> None:
    """What it calls an attempt is one radio's; the table says how many there are."""
    near.errors, far.errors = [failed("near")] * 9, [failed("far")] * 9
    device = hub.sightings[ADDRESS].device
    with pytest.raises(BleakAbortedError) as caught:
        await establish_connection(BleakClientWithServiceCache, device, "kettle")
    assert caught.value.attempts == len(near.limits) + len(far.limits) == 9
    assert near.limits
    assert far.limits


async def test_disconnect_ends_it(hub: Hub, near: ScriptedRadio, far: ScriptedRadio) -> None:
    """A connect that its owner has given up tries no other radio."""
    near.errors = [failed("near")]
    client = plain(hub)
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0.5)
    await client.disconnect()
    with pytest.raises(LinkError):
        await connecting
    assert far.limits == []
