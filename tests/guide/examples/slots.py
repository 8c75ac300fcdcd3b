"""The slots of two adapters."""

# ruff: noqa: T201
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from proxyconn import BleakSlotManager


async def count_slots() -> BleakSlotManager:
    """Show the slots of the first one."""
    manager = BleakSlotManager()
    await manager.async_setup()
    manager.register_adapter("hci0", slots=5)
    manager.register_adapter("hci1", slots=5)
    allocations = manager.get_allocations("hci0")
    print(allocations.free, allocations.allocated)
    return manager
