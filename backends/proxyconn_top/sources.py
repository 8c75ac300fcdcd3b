"""Where the state comes from: an owner that runs, or a fleet of this program's own."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from proxyconn import Fleet
from proxyconn.watch.actions import Actions
from proxyconn.watch.feed import Feed
from proxyconn.watch.rows import Row
from proxyconn_web.client import OwnerClient, View


class Source(Protocol):
    """Tells what a fleet is doing."""

    @property
    def label(self) -> str:
        """Whose fleet it is, in a few words."""
        ...

    def views(self) -> AsyncGenerator[View, None]:
        """Yield the state whenever it has changed, in place.

        Raises:
            RadioUnavailableError: who tells it does not answer, or does no more.
        """
        ...

    async def device(self, address: str) -> Row | None:
        """Return all that is known of one device; None if nothing is."""
        ...

    async def disconnect(self, address: str) -> None:
        """End a device's link. Raises BleakError or ActionError if that cannot be."""
        ...


class OwnerSource:
    """The fleet of an owner.

    Args:
        owner: speaks with it.
    """

    label = "proxyconn serve"

    def __init__(self, owner: OwnerClient) -> None:
        self._owner = owner

    def views(self) -> AsyncGenerator[View, None]:
        """Yield the state whenever it has changed."""
        return self._owner.views()

    async def device(self, address: str) -> Row | None:
        """Return all that is known of one device."""
        return await self._owner.device(address)

    async def disconnect(self, address: str) -> None:
        """End a device's link."""
        await self._owner.act("disconnect", address=address)


class FleetSource:
    """A fleet of this program's own.

    Args:
        fleet: it, running.
    """

    label = "a fleet of its own"

    def __init__(self, fleet: Fleet) -> None:
        self._feed = Feed(fleet.inspection())
        self._actions = Actions(self._feed)

    def close(self) -> None:
        """Follow the fleet no more; idempotent."""
        self._feed.close()

    async def views(self) -> AsyncGenerator[View, None]:
        """Yield the state whenever it has changed."""
        view = View()
        async with aclosing(self._feed.follow()) as messages:
            async for message in messages:
                if message.kind == "snapshot":
                    view.take_snapshot(json.loads(message.data))
                elif message.kind == "change":
                    view.take_event(json.loads(message.data))
                else:
                    continue
                yield view

    async def device(self, address: str) -> Row | None:
        """Return all that is known of one device."""
        return self._feed.device(address)

    async def disconnect(self, address: str) -> None:
        """End a device's link."""
        await self._actions.do("disconnect", {"address": address})
