"""What the doctor finds out about local adapters."""

from __future__ import annotations

import asyncio
import errno

import pytest

from proxyconn import Fleet, Subscribe
from proxyconn.models import Finding, Level
from proxyconn.radio import FleetOptions
from proxyconn_bluez import checks as module
from proxyconn_bluez.checks import checks
from proxyconn_bluez.kernel import socket as kernel_socket
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FakeBlueZ

pytestmark = pytest.mark.usefixtures("known_version")
OK, NOTE, PROBLEM = Level.OK, Level.NOTE, Level.PROBLEM


async def look() -> dict[str | None, Finding]:
    """Return the findings about adapters by what they are about."""
    options = FleetOptions(discover=False, local_adapters=True, subscribe=Subscribe.NEVER)
    async with Fleet(discover=False, local_adapters=True, subscribe=Subscribe.NEVER) as fleet:
        found = await checks(options, fleet.radios)
    return {one.subject: one for one in found if one.check == module.CHECK}


async def test_adapters(bluez: FakeBlueZ) -> None:
    """An adapter that is on is in order; one that is off is told with how to switch it on."""
    bluez.add_adapter("hci1", powered=False)
    found = await look()
    assert found["hci0"].level is OK
    assert (found["hci1"].level, "powered off" in found["hci1"].seen) == (PROBLEM, True)
    assert "power on" in (found["hci1"].advice or "")


async def test_no_daemon(system_bus: SystemBus) -> None:
    """Without bluetoothd, or without a bus, there is a problem."""
    [one] = (await look()).values()
    assert (one.level, "bluetoothd" in one.seen) == (PROBLEM, True)
    await asyncio.to_thread(system_bus.kill)
    [one] = (await look()).values()
    assert (one.level, "D-Bus" in one.seen) == (PROBLEM, True)


async def test_not_looked_at_where_not_wanted() -> None:
    """Nobody is told about BlueZ who wants no adapters."""
    assert await checks(FleetOptions(), []) == []


async def test_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing right is named."""

    def refuse() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(kernel_socket, "open_management_socket", refuse)
    [one] = await checks(FleetOptions(local_adapters=True), [])
    assert (one.check, one.level, one.advice) == (
        module.RIGHTS,
        NOTE,
        "CAP_NET_ADMIN gives it",
    )
