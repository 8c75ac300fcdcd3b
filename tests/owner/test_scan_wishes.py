"""Clients of an owner say how its radios are to scan."""

from __future__ import annotations

import pytest

from proxyconn.radio import identity_of
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from tests.owner.conftest import House, MakeHouse, until

PASSIVE, ACTIVE = pb.BLUETOOTH_SCANNER_MODE_PASSIVE, pb.BLUETOOTH_SCANNER_MODE_ACTIVE


def modes(house: House) -> list[int]:
    """Return how the real proxies scan."""
    return [house.real(name).bluetooth.scanner.mode for name in ("kitchen", "cellar")]


async def test_most_demanding_wish_reaches_the_radios(make_house: MakeHouse) -> None:
    """Passive if all clients agree, active as soon as one wants it; wishes leave with clients."""
    house: House = await make_house()
    listens = await house.client(scan="passive")
    await until(lambda: modes(house) == [PASSIVE, PASSIVE])
    asks = await house.client(scan="active")
    await until(lambda: modes(house) == [ACTIVE, ACTIVE])
    await until(lambda: listens.radios[0].diagnostics()["health"]["scanner"]["mode"] == "active")
    await asks.aclose()
    await until(lambda: modes(house) == [PASSIVE, PASSIVE])
    content = await house.client()
    await until(lambda: modes(house) == [ACTIVE, ACTIVE])
    await content.aclose()
    await until(lambda: modes(house) == [PASSIVE, PASSIVE])
    await listens.aclose()
    await until(lambda: modes(house) == [ACTIVE, ACTIVE])


async def test_wish_that_is_fulfilled_already_is_known(make_house: MakeHouse) -> None:
    """Two clients want it active; that one of them goes is no reason to turn passive."""
    house: House = await make_house()
    await house.client(scan="passive")
    first = await house.client(scan="active")
    await until(lambda: modes(house) == [ACTIVE, ACTIVE])
    await house.client(scan="active")
    await first.aclose()
    with pytest.raises(TimeoutError):
        await until(lambda: PASSIVE in modes(house), 0.5)


async def test_wish_of_a_mirrored_radio_is_about_that_one(make_house: MakeHouse) -> None:
    """The others go on as they do."""
    house: House = await make_house(serve={"one": False, "mirrored": True})
    cellar = next(radio for radio in house.fleet.radios if radio.name == "cellar")
    await house.client(identity_of(cellar), scan="passive")
    await until(lambda: modes(house) == [ACTIVE, PASSIVE])


async def test_user_of_the_owner_is_heard_too(make_house: MakeHouse) -> None:
    """A client that only wants to listen does not lower what the owner was told."""
    house: House = await make_house()
    kept = house.proxies()
    await house.fleet.reconfigure(kept, discover=False, scan="active")
    await house.client(scan="passive")
    with pytest.raises(TimeoutError):
        await until(lambda: PASSIVE in modes(house), 0.5)
