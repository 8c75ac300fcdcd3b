"""The Bluetooth stack of this machine: what the core asks of it, and where it is found.

It is found by the entry point group `proxyconn.local`. The core never imports it by name, so that
nothing of D-Bus is needed where there is none.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from bleak import BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn.device import device_path

LOCAL_GROUP = "proxyconn.local"
"""Entry point group in which the stack of this machine is found."""

_LOGGER = logging.getLogger(__name__)


class LocalLink(Protocol):
    """What the stack knows about one device while attempts to connect to it are made."""

    def connected_device(self) -> BLEDevice | None:
        """The device as the adapter sees it that already holds a link to it; None if none does."""
        ...

    async def services_are_valid(self, device: BLEDevice) -> bool:
        """Whether services known from an earlier connection are still those of the stack."""
        ...

    async def settle(self, device: BLEDevice, timeout: float) -> None:
        """Wait until the next attempt makes sense, at most `timeout` seconds.

        That is when a link that was up has dropped, or when a device that the stack had lost is
        back. With neither to wait for, all of `timeout` passes.
        """
        ...


class LocalWatch(Protocol):
    """Follows the links of every adapter, through restarts of the stack."""

    @property
    def present(self) -> bool:
        """Whether the stack is running."""
        ...

    def connected(self) -> Collection[str]:
        """Object paths of the devices that hold a link."""
        ...

    def on_links_changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` when a link comes or goes; returns unsubscribe."""
        ...

    async def start(self) -> None:
        """Begin to follow; returns once the present links are known, or that there is no stack."""
        ...

    async def aclose(self) -> None:
        """Stop following; idempotent."""
        ...


class LocalStack(Protocol):
    """The Bluetooth stack of this machine. Where it is not running, nothing is known or done."""

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """The class to pass as `BleakClient(..., backend=)` for a device of the stack."""
        ...

    def link(self, device: BLEDevice) -> AbstractAsyncContextManager[LocalLink | None]:
        """Follow one device for as long as the context lasts."""
        ...

    def watch(self) -> LocalWatch:
        """Return a watch, not yet started."""
        ...

    async def get_device(self, address: str, adapter: str | None = None) -> BLEDevice | None:
        """Look a device up: the connected one first, then the strongest."""
        ...

    async def close_connections(self, address: str, keep_path: str | None = None) -> None:
        """Disconnect the device on every adapter but that of the object path `keep_path`."""
        ...

    async def remove_device(self, address: str) -> bool:
        """Remove the device from every adapter; return whether there was one."""
        ...

    async def restore_discoveries(self, scanner: BleakScanner, adapter: str) -> None:
        """Let a scanner know the devices that the adapter knows."""
        ...


LOCAL_STACKS: tuple[EntryPoint, ...] = (
    tuple(entry_points(group=LOCAL_GROUP)) if sys.platform == "linux" else ()
)
"""The stacks that are installed. They are read once, here: that is file access, which no event loop
should wait for."""


def load_local_stack() -> LocalStack | None:
    """Return the stack of this machine, importing it the first time; None where there is none."""
    for point in LOCAL_STACKS:
        try:
            stack: LocalStack = point.load()()
        except ImportError as exc:
            _LOGGER.debug("local stack %s cannot be used: %s", point.name, exc)
        else:
            return stack
    return None


async def local_stack() -> LocalStack | None:
    """Return the stack of this machine; the import happens off the event loop."""
    return await asyncio.to_thread(load_local_stack) if LOCAL_STACKS else None


@asynccontextmanager
async def local_link(device: BLEDevice) -> AsyncIterator[LocalLink | None]:
    """Follow a device of the local stack; None for a device that is reached otherwise."""
    stack = await local_stack() if device_path(device) else None
    if stack is None:
        yield None
        return
    async with stack.link(device) as link:
        yield link
