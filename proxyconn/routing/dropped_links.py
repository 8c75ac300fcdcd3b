"""Links whose clients nobody refers to any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Callable
from typing import Protocol

from bleak.backends.client import BaseBleakClient

from proxyconn.failures.rules import BLEAK_RETRY_EXCEPTIONS
from proxyconn.routing.device_holders import Holders

GRACE = 0.3
"""Seconds before such a link is closed: the error or the end of a loop that has dropped it may
still be under way."""

_LOGGER = logging.getLogger(__name__)


class DroppedLink:
    """Holds a device until the link that a client has left behind is closed."""

    has_ended = False
    is_letting_go = True
    whose = "dropped without disconnect()"

    def let_go(self) -> None:
        """Nothing: whoever closes the link gives the device back."""


class DroppedLinks:
    """Closes the links of clients that were dropped without `disconnect()`.

    Args:
        holders: who has which device.
        give_back: called with the address once a link is closed.
    """

    def __init__(self, holders: Holders, give_back: Callable[[str], object]) -> None:
        self._holders = holders
        self._give_back = give_back
        self._closing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def watch(self, owner: object, address: str, client: BaseBleakClient) -> Callable[[], object]:
        """Close the link of `client` once `owner` is garbage; returns what calls that off.

        `client` must not refer to `owner`.
        """
        finalizer = weakref.finalize(owner, self._dropped, address, client)
        finalizer.atexit = False
        return finalizer.detach

    def _dropped(self, address: str, client: BaseBleakClient) -> None:
        # Garbage is collected in any thread. A loop that has ended took the link along.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin, address, client)

    def _begin(self, address: str, client: BaseBleakClient) -> None:
        _LOGGER.warning("%s: its client was dropped without disconnect(); closing", address)
        task = self._loop.create_task(self._close(address, client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, address: str, client: BaseBleakClient) -> None:
        link = DroppedLink()
        self._holders.replace(address, link)
        try:
            await asyncio.sleep(GRACE)
            await client.disconnect()
        except (*BLEAK_RETRY_EXCEPTIONS, OSError) as exc:
            _LOGGER.debug("%s: could not be closed: %r", address, exc)
        finally:
            self._give_back(address)

    async def aclose(self) -> None:
        """Wait until every one of them is closed."""
        while self._closing:
            await asyncio.wait(self._closing)


class Owner(Protocol):
    """Whose link it is."""

    def lost(self, client: BaseBleakClient) -> None:
        """The link of its radio's client has ended."""


def end_told(owner: Owner, client: BaseBleakClient) -> Callable[[], None]:
    """Return what tells `owner` that the link of `client` has ended, without keeping it alive.

    It is bound to that link: the end of an earlier one must not be taken for the end of this.
    """
    ref = weakref.ref(owner)

    def told() -> None:
        if present := ref():
            present.lost(client)

    return told
