"""Devices that ask for a bond: where they are connected next, and which bond outlives what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.uuids import normalize_uuid_16

from proxyconn import (
    BleakClientWithServiceCache,
    ErrorKind,
    GATTError,
    LinkError,
    PairingError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import identity_of
from proxyconn.routing.bonds import REFUSED_FOR

from .fake_radio import FakeRadio
from .test_routed_links import FakeClient

pytestmark = pytest.mark.looptime

ADDRESS = "C4:00:00:00:00:01"
SECRET = normalize_uuid_16(0x2A19)


class LockClient(FakeClient):
    """A link to a lock that tells nothing to whom it is not bonded; attributes are not ours."""

    radio: LockRadio

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Come up with one characteristic, or not."""
        if error := self.radio.ends_with.get("connect"):
            raise error
        await super().connect(pair, **kwargs)
        self.services = BleakGATTServiceCollection()
        service = BleakGATTService(None, 1, normalize_uuid_16(0x180F))
        self.services.add_service(service)
        self.services.add_characteristic(
            BleakGATTCharacteristic(None, 2, SECRET, ["read"], lambda: 20, service)
        )

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Answer, ask for a bond, or lose the link."""
        if error := self.radio.ends_with.get("read"):
            raise error
        if not self.radio.is_trusted:
            raise GATTError("ESP_GATT_INSUF_AUTHENTICATION", 5, kind=ErrorKind.SECURITY)
        return bytearray(b"secret")

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair, or not."""
        if self.radio.pairing_error:
            raise self.radio.pairing_error
        self.radio.is_trusted = True


LockClient.__abstractmethods__ = frozenset()
MAKE: Any = LockClient


class LockRadio(FakeRadio):
    """A radio whose links are those to the lock.

    Attributes:
        is_trusted: whether the lock tells its secret through it.
        pairing_error: what pairing fails with.
        ends_with: what a link ends with at a step.
    """

    is_trusted = False
    pairing_error: Exception | None = None

    def __init__(self, hub: Hub, name: str) -> None:
        super().__init__(hub, name)
        self.ends_with: dict[str, Exception] = {}

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client."""
        client: LockClient = MAKE(device, disconnected_callback=None, **kwargs)
        client.radio = self
        return client


@pytest.fixture
async def near(hub: Hub) -> LockRadio:
    """Return the radio that hears the lock best."""
    near = LockRadio(hub, "near")
    near.hear(ADDRESS, -50)
    return near


@pytest.fixture
async def far(hub: Hub, near: LockRadio) -> LockRadio:
    """Return another radio of the fleet, which does not hear it so far."""
    return LockRadio(hub, "far")


def client(hub: Hub, **kwargs: Any) -> BleakClientWithServiceCache:
    """Return a client for the lock."""
    return BleakClientWithServiceCache(hub.sightings[ADDRESS].device, **kwargs)


async def refused_read(hub: Hub, radio: LockRadio) -> None:
    """Read what the lock does not tell, through `radio`."""
    async with client(hub) as lock:
        assert hub.queue.links == {ADDRESS: radio}
        with pytest.raises(GATTError):
            await lock.read_gatt_char(SECRET)


async def test_the_only_radio_that_hears_a_device_is_never_shut_out(
    hub: Hub, near: LockRadio, far: LockRadio
) -> None:
    """A device that refused one read is connected through it all the same, and at once."""
    await refused_read(hub, near)
    assert [path.usable for path in hub.paths(ADDRESS)] == [True]
    async with asyncio.timeout(1), client(hub):
        assert hub.queue.links == {ADDRESS: near}


async def test_a_radio_that_may_have_the_bond_is_tried_next(
    hub: Hub, near: LockRadio, far: LockRadio
) -> None:
    """For an hour, or until the first one has a bond of its own."""
    far.hear(ADDRESS, -90)
    await refused_read(hub, near)
    async with client(hub, pair=True):
        assert hub.queue.links == {ADDRESS: near}
    hub.routing.unbonded(ADDRESS, near)
    await refused_read(hub, near)
    await refused_read(hub, far)
    await refused_read(hub, near)
    hub.routing.bonds.made(ADDRESS, identity_of(far))
    hub.routing.bonds.removed(ADDRESS, identity_of(far))
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}
    await asyncio.sleep(REFUSED_FOR)
    near.hear(ADDRESS, -50)
    async with client(hub):
        assert hub.queue.links == {ADDRESS: near}


@pytest.mark.parametrize(
    "error",
    [
        LinkError("lost", kind=ErrorKind.LINK_TIMEOUT),
        RadioUnavailableError("the proxy is gone"),
        PairingError("the link was lost meanwhile", kind=ErrorKind.DISCONNECTED),
        TimeoutError("no answer"),
    ],
    ids=repr,
)
async def test_a_bond_outlives_what_ends_the_link(
    hub: Hub, near: LockRadio, far: LockRadio, error: Exception
) -> None:
    """Only who refuses to pair has lost the bond; the error is the one that there was."""
    far.hear(ADDRESS, -90)
    hub.routing.bonded(ADDRESS, near)
    near.pairing_error = error
    async with client(hub) as lock:
        with pytest.raises(type(error)) as caught:
            await lock.read_gatt_char(SECRET)
        assert caught.value is error
    assert hub.routing.bonds.all() == [(ADDRESS, "near")]
    near.pairing_error = None
    async with client(hub) as lock:
        assert hub.queue.links == {ADDRESS: near}
        assert await lock.read_gatt_char(SECRET) == b"secret"


@pytest.mark.parametrize(
    "error",
    [
        PairingError("ESP_AUTH_SMP_ENC_FAIL"),
        LinkError("HCI_PIN_OR_KEY_MISSING", kind=ErrorKind.SECURITY),
    ],
    ids=repr,
)
async def test_a_bond_that_is_refused_is_no_more(
    hub: Hub, near: LockRadio, far: LockRadio, error: Exception
) -> None:
    """The error is that of what was asked, and another radio is tried next."""
    far.hear(ADDRESS, -90)
    hub.routing.bonded(ADDRESS, near)
    near.pairing_error = error
    await refused_read(hub, near)
    assert hub.routing.bonds.all() == []
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}


async def test_what_a_device_said_is_told_where_its_radio_cannot_pair_any_more(
    hub: Hub, near: LockRadio, far: LockRadio
) -> None:
    """As after a flash without pairing: the bond is gone, and another radio may be taken."""
    far.hear(ADDRESS, -90)
    hub.routing.bonded(ADDRESS, near)
    near.pairing_error = UnsupportedError("near: pairing needs ESPHome 2024.3", source="near")
    async with client(hub) as lock:
        with pytest.raises(GATTError) as caught:
            await lock.read_gatt_char(SECRET)
    assert (caught.value.code, caught.value.kind) == (5, ErrorKind.SECURITY)
    assert str(caught.value) == (
        "ESP_GATT_INSUF_AUTHENTICATION; the bond is gone, for near cannot pair any more (near: "
        "pairing needs ESPHome 2024.3): mend that, or pair through another radio"
    )
    assert caught.value.__cause__ is near.pairing_error
    assert hub.routing.bonds.all() == []
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}


@pytest.mark.parametrize("at", ["connect", "read"])
async def test_a_bond_with_which_links_end_is_no_more(
    hub: Hub, near: LockRadio, far: LockRadio, at: str
) -> None:
    """One link may be disturbed; the second one that ends so sends the device to another radio."""
    far.hear(ADDRESS, -90)
    hub.routing.bonded(ADDRESS, near)
    hub.routing.bonded(ADDRESS, far)
    lost = LinkError("HCI_PIN_OR_KEY_MISSING", kind=ErrorKind.SECURITY)
    near.ends_with[at] = lost
    for left in (near, far), (far,):
        with pytest.raises(LinkError) as caught:
            async with client(hub) as lock:
                await lock.read_gatt_char(SECRET)
        assert caught.value is lost
        assert set(hub.routing.bonds.all()) == {(ADDRESS, radio.name) for radio in left}
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}


async def test_one_link_that_was_disturbed_costs_no_bond(hub: Hub, near: LockRadio) -> None:
    """However many there are, an hour apart."""
    hub.routing.bonded(ADDRESS, near)
    for _ in range(3):
        near.hear(ADDRESS, -50)
        near.ends_with["read"] = LinkError("HCI_MIC_FAILURE", kind=ErrorKind.SECURITY)
        async with client(hub) as lock:
            with pytest.raises(LinkError):
                await lock.read_gatt_char(SECRET)
        await asyncio.sleep(REFUSED_FOR)
    assert hub.routing.bonds.all() == [(ADDRESS, "near")]
