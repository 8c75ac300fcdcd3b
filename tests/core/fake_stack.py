"""A local stack that does what the plan in a device's details says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bleak.backends.device import BLEDevice

ADDRESS = "C4:00:00:00:00:01"


@dataclass
class Plan:
    """What the stack knows of a device, and what was asked of it.

    Attributes:
        connected: the device as the adapter sees it that is connected to it.
        valid: whether cached services may be used.
        settles_after: seconds until what a wait is for has happened.
        closes_after: seconds that it takes to stop following the device.
        settled: object path and limit of each wait.
        links: how many follow the device now.
    """

    connected: BLEDevice | None = None
    valid: bool = True
    settles_after: float = 1000.0
    closes_after: float = 0.0
    settled: list[tuple[str, float]] = field(default_factory=list)
    links: int = 0


def local_device(plan: Plan, adapter: str = "hci0") -> BLEDevice:
    """Return a device of the fake stack."""
    path = f"/org/bluez/{adapter}/dev_{ADDRESS.replace(':', '_')}"
    return BLEDevice(ADDRESS, "Kettle", {"path": path, "plan": plan})


@dataclass
class FakeLink:
    """Follows a device by its plan."""

    plan: Plan

    def connected_device(self) -> BLEDevice | None:
        """Return the device that the plan says is connected."""
        return self.plan.connected

    async def services_are_valid(self, device: BLEDevice) -> bool:
        """Return what the plan says."""
        return self.plan.valid

    async def settle(self, device: BLEDevice, timeout: float) -> None:
        """Wait as long as the plan says, at most `timeout` seconds."""
        self.plan.settled.append((device.details["path"], timeout))
        await asyncio.sleep(min(timeout, self.plan.settles_after))


class FakeStack:
    """Follows devices by their plans."""

    @asynccontextmanager
    async def link(self, device: BLEDevice) -> AsyncIterator[FakeLink]:
        """Follow a device."""
        plan: Plan = device.details["plan"]
        plan.links += 1
        try:
            yield FakeLink(plan)
        finally:
            plan.links -= 1
            await asyncio.sleep(plan.closes_after)
