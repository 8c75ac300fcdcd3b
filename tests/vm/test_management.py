"""The kernel's management interface, seen from both of its sides."""

from __future__ import annotations

import asyncio

from tests.vm.clients import connected
from tests.vm.hardware import Adapter, CreatedConnection, Hardware
from tests.vm.household import ADDRESS, thermometer
from tests.vm.management import LinkWishes, load_connection_parameters

WISHES = LinkWishes(800, 800, 0, 600)


async def test_load_connection_parameters(
    adapter: Adapter, hardware: Hardware, created_connections: list[CreatedConnection]
) -> None:
    """Parameters loaded for a device are those of the kernel's next LE Create Connection to it."""
    await hardware.add(thermometer())
    async with connected():
        pass
    status = await asyncio.to_thread(load_connection_parameters, adapter.index, ADDRESS, WISHES)
    assert status == 0
    async with connected():
        pass
    default, loaded = created_connections
    assert default == CreatedConnection(ADDRESS, 24, 40, 0, 42)
    assert loaded == CreatedConnection(ADDRESS, *WISHES)
