"""What a caller that got no radio is told: the kind of error, the radio, and what to do."""

from __future__ import annotations

import pytest

from proxyconn import (
    Allocations,
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioState,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.errors import ProxyconnError
from proxyconn.fleet.radio_hub import Hub

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

DEVICE, OTHER, ANOTHER = "C4:00:00:00:00:01", "AA:00:00:00:00:01", "AA:00:00:00:00:02"


async def told(
    hub: Hub, timeout: float = 2.0, *, known: bool = True, pairing: bool = False
) -> ProxyconnError:
    """Return what a caller is told whose time is up."""
    with pytest.raises(ProxyconnError) as caught:
        await hub.queue.take(DEVICE, timeout, known=known, pairing=pairing)
    return caught.value


async def test_full(hub: Hub) -> None:
    """Who holds the slots of every radio that hears the device; the best is the source."""
    near, far = FakeRadio(hub, "near", 2), FakeRadio(hub, "far", 1)
    near.hear(DEVICE, -50)
    far.hear(DEVICE, -70)
    near.report(OTHER, ANOTHER)
    far.report(OTHER)
    error = await told(hub)
    assert isinstance(error, OutOfSlotsError)
    assert str(error) == (
        f"{DEVICE}: no connection slot came free within 2 s: "
        f"near has 2 of 2 in use by {OTHER}, {ANOTHER}; far has 1 of 1 in use by {OTHER}"
    )
    assert error.source == "near"
    assert error.allocations == Allocations("near", 2, 0, [OTHER, ANOTHER])


async def test_full_without_a_report(hub: Hub) -> None:
    """There is nothing to say of who holds what; the device need not have been heard."""
    FakeRadio(hub, "kitchen", 0)
    error = await told(hub)
    assert isinstance(error, OutOfSlotsError)
    assert str(error).endswith("within 2 s: kitchen reports none")


async def test_full_of_promises(hub: Hub) -> None:
    """What is promised, and not reported yet, is not told as taken."""
    radio = FakeRadio(hub, "kitchen", 3)
    radio.hear(DEVICE, -50)
    radio.report(OTHER)
    for address in (ANOTHER, "AA:00:00:00:00:03"):
        radio.claim(address)
    error = await told(hub)
    assert isinstance(error, OutOfSlotsError)
    assert str(error).endswith(f"kitchen has 1 of 3 in use by {OTHER}")


async def test_full_and_unknown(hub: Hub) -> None:
    """A device that was heard meanwhile was not waited for in vain."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(DEVICE, -50)
    radio.report(OTHER)
    assert isinstance(await told(hub, known=False), OutOfSlotsError)


async def test_full_while_a_bond_is_made(hub: Hub) -> None:
    """The old bond is with another radio, and that does not matter."""
    bonded, other = FakeRadio(hub, "bonded"), FakeRadio(hub, "other", 1)
    other.hear(DEVICE, -50)
    other.report(OTHER)
    hub.routing.bonded(DEVICE, bonded)
    error = await told(hub, pairing=True)
    assert isinstance(error, OutOfSlotsError)
    assert isinstance(await told(hub, pairing=False), RadioUnavailableError)


async def test_not_heard(hub: Hub) -> None:
    """With how the radios are doing."""
    FakeRadio(hub, "kitchen")
    error = await told(hub, known=False)
    assert isinstance(error, BleakNotFoundError)
    assert error.kind is ErrorKind.DEVICE_NOT_FOUND
    assert str(error) == f"{DEVICE}: no radio heard it within 2 s (kitchen ready)"


async def test_busy(hub: Hub) -> None:
    """Radios that open other links are named, the best first; those that are full are not."""
    near, far, full = FakeRadio(hub, "near"), FakeRadio(hub, "far"), FakeRadio(hub, "full", 1)
    for radio, rssi in ((near, -50), (far, -60), (full, -40)):
        radio.hear(DEVICE, rssi)
    near.claim(OTHER)
    far.claim(ANOTHER)
    full.report(OTHER)
    hub.routing.refusals.add(DEVICE, full, 100.0)
    error = await told(hub)
    assert isinstance(error, LinkError)
    assert str(error) == f"{DEVICE}: near, far was busy opening other links for 2 s"
    assert (error.kind, error.source) == (ErrorKind.RADIO_BUSY, "near")


async def test_still_held(hub: Hub) -> None:
    """By the radio of the last attempt."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(DEVICE, -50)
    far.report(DEVICE)
    error = await told(hub)
    assert isinstance(error, LinkError)
    assert str(error) == f"{DEVICE}: far still holds the last attempt"
    assert (error.kind, error.source) == (ErrorKind.TRANSIENT, "far")


async def test_held_for_ever_by_the_only_radio(hub: Hub) -> None:
    """It is not waited for any more, and it is why there is no other; two of three are none."""
    one, two = FakeRadio(hub, "one", 1), FakeRadio(hub, "two", 1)
    for radio in (one, two):
        radio.hear(DEVICE, -50)
        radio.report(DEVICE)
    error = await told(hub, 60)
    assert isinstance(error, LinkError)
    assert error.kind is ErrorKind.TRANSIENT
    hub.routing.radio_removed(two)
    two.report(OTHER)
    error = await told(hub)
    assert isinstance(error, OutOfSlotsError)


async def test_gone(hub: Hub) -> None:
    """Each radio that hears the device with why it cannot be used; the best is the source."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(DEVICE, -50)
    far.hear(DEVICE, -70)
    near.become(RadioState.GONE)
    far.connectable = False
    error = await told(hub)
    assert isinstance(error, RadioUnavailableError)
    assert str(error) == (
        f"{DEVICE}: no radio that hears it can be used (near: it is gone; "
        "far: it does not connect; near gone; far ready)"
    )
    assert error.source == "near"


async def test_only_listened_to(hub: Hub) -> None:
    """What to change on which radio."""
    for name, rssi in (("near", -50), ("far", -70)):
        radio = FakeRadio(hub, name)
        radio.connectable = False
        radio.hear(DEVICE, rssi)
    error = await told(hub)
    assert isinstance(error, UnsupportedError)
    assert str(error) == (
        f"{DEVICE}: heard only by radios that do not connect (near, far); "
        "set `bluetooth_proxy: active: true` on one of them"
    )
    assert error.source == "near"


async def test_no_radio(hub: Hub) -> None:
    """There is none to ask."""
    error = await told(hub)
    assert isinstance(error, RadioUnavailableError)
    assert str(error) == f"{DEVICE}: there is no radio"
