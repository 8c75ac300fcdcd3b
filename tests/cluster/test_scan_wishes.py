"""Who wishes that radios ask devices for their scan responses wishes it of the whole cluster."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

import pytest

from proxyconn import ScanMode
from proxyconn.radio import ScanWish, identity_of
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.settings import SHORTEST_LEASE
from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .nats_server import NatsServer
from .village import DEADLINE, Village, peripheral, ready, until

MODES: Final = {
    pb.BLUETOOTH_SCANNER_MODE_PASSIVE: "passive",
    pb.BLUETOOTH_SCANNER_MODE_ACTIVE: "active",
}
SET_MODE: Final = "BluetoothScannerSetModeRequest"


def modes(village: Village) -> dict[str, str]:
    """Return how each proxy that has an owner scans."""
    return {
        name: MODES[proxy.bluetooth.scanner.mode]
        for name, proxy in village.virtual.proxies.items()
        if name in village.owners
    }


@pytest.fixture
async def quiet(stack: AsyncExitStack, server: NatsServer) -> Village:
    """Return two owners whose configuration says that proxies scan passively."""
    village = Village(stack, server)
    await village.build([peripheral(1)], ("north", "south"))
    for name in ("north", "south"):
        await village.own(name, scan=ScanMode.PASSIVE)
    await until(lambda: modes(village) == {"north": "passive", "south": "passive"})
    return village


async def test_a_clients_wish_is_one_for_every_owner(quiet: Village) -> None:
    lending = quiet.owners["north"].fleet.lending()
    lending.wish_scan("one", ScanMode.ACTIVE)
    lending.wish_scan("two", ScanMode.ACTIVE)
    await until(lambda: modes(quiet) == {"north": "active", "south": "active"})
    lending.end_scan_wish("one")
    lending.end_scan_wish("two")
    await until(lambda: modes(quiet) == {"north": "passive", "south": "passive"})


async def test_a_wish_for_one_radio_is_one_for_that_radio(quiet: Village) -> None:
    fleet = quiet.owners["north"].fleet
    lending = fleet.lending()
    await until(lambda: ready(fleet) == {"north", "south"})
    (south,) = [one for one in lending.radios() if one.name == "south"]
    lending.wish_scan("one", ScanMode.ACTIVE, only=identity_of(south))
    await until(lambda: modes(quiet) == {"north": "passive", "south": "active"})
    lending.end_scan_wish("one")
    await until(lambda: modes(quiet)["south"] == "passive")


async def test_who_leaves_wishes_nothing_any_more(quiet: Village) -> None:
    north = quiet.owners["north"]
    north.fleet.lending().wish_scan("one", ScanMode.ACTIVE)
    await until(lambda: modes(quiet)["south"] == "active")
    await north.leave()
    await until(lambda: modes(quiet)["south"] == "passive")


async def test_the_wish_of_who_dies_ends_with_its_lease(quiet: Village) -> None:
    south = quiet.owners["south"]
    said = Status(
        sender="dead",
        site="home",
        run="1",
        number=1,
        lease=SHORTEST_LEASE,
        scan=(ScanWish(),),
    )
    subject = south.bus.subjects.of_site("home", "member", "dead", "1")
    await south.bus.publish(subject, encode(said))
    await until(lambda: modes(quiet) == {"north": "active", "south": "active"})
    await until(lambda: ("dead", "1") not in south.members.all)
    await until(lambda: modes(quiet) == {"north": "passive", "south": "passive"})


async def test_who_comes_later_hears_of_it(quiet: Village) -> None:
    quiet.owners["north"].fleet.lending().wish_scan("one", ScanMode.ACTIVE)
    await until(lambda: modes(quiet)["south"] == "active")
    await quiet.owners.pop("south").leave()
    await until(lambda: quiet.proxy("south").snapshot().subscriber is None)
    await quiet.own("south", scan=ScanMode.PASSIVE)
    await until(lambda: modes(quiet) == {"north": "active", "south": "active"}, 2 * DEADLINE)


async def test_the_mode_of_a_program_counts_where_nobody_has_said_anything(
    stack: AsyncExitStack, server: NatsServer
) -> None:
    village = Village(stack, server)
    await village.build([peripheral(1)], ("north", "south"))
    for name in ("north", "south"):
        village.proxy(name).bluetooth.scanner.set_mode(pb.BLUETOOTH_SCANNER_MODE_PASSIVE)
    await village.own("north", scan=ScanMode.PASSIVE)
    await village.own("south")
    assert modes(village) == {"north": "passive", "south": "passive"}
    program = await village.program(scan="active")
    await until(lambda: modes(village)["south"] == "active")
    await program.aclose()
    await until(lambda: modes(village)["south"] == "passive")
    assert modes(village)["north"] == "passive"
    assert SET_MODE not in village.proxy("north").snapshot().received
