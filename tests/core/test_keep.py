"""What happens to a kept connection while it is being restored, and while it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice

from proxyconn import keep_connected

pytestmark = pytest.mark.looptime

DEVICE = BLEDevice("C4:00:00:00:00:01", "Kettle", {"source": "kitchen"})


class SlowClient(BleakClient):
    """A client that takes a second to subscribe, and counts what it did."""

    def __init__(self, device: BLEDevice, **kwargs: Any) -> None:
        self.lost: Callable[[BleakClient], None] = kwargs["disconnected_callback"]
        self.subscribed: list[str] = []

    async def connect(self, **kwargs: Any) -> None:
        """Connect at once."""

    async def disconnect(self) -> None:
        """Fail as BlueZ does whose D-Bus has gone."""
        raise EOFError

    async def start_notify(self, char_specifier: Any, *args: Any, **kwargs: Any) -> None:
        """Subscribe in a second."""
        await asyncio.sleep(1)
        self.subscribed.append(char_specifier)

    async def stop_notify(self, char_specifier: Any) -> None:
        """Unsubscribe in a second."""
        await asyncio.sleep(1)
        self.subscribed.remove(char_specifier)


async def test_subscriptions_that_change_while_they_are_restored() -> None:
    """What is added meanwhile is subscribed to as well, and what is taken back is not."""
    async with keep_connected(SlowClient, DEVICE, "kettle") as kept:
        for one in ("first", "second"):
            await kept.start_notify(one, print)
        await asyncio.sleep(0.5)
        await kept.start_notify("third", print)
        await asyncio.sleep(1)
        await kept.stop_notify("first")
        client = await kept.connected(10)
        assert sorted(client.subscribed) == ["second", "third"]


async def test_a_disconnect_that_fails_does_not_end_it() -> None:
    """The bus may go with the link; the connection comes back when both do."""
    async with keep_connected(SlowClient, DEVICE, "kettle") as kept:
        first = await kept.connected(10)
        first.lost(first)
        await asyncio.sleep(5)
        assert await kept.connected(10) is not first
        assert kept.connections == 2
