"""The client of an adapter that is part of a fleet: it minds the adapter's slots."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from bleak.backends.device import BLEDevice

from proxyconn.radio import Allocations, OutOfSlotsError, SlotQueue
from proxyconn_bluez.client import BlueZClient
from proxyconn_bluez.link_attempts import services_are_valid

SLOT_TIMEOUT = 2.0
"""Seconds an attempt waits for a slot before it says that there is none, as behind a proxy."""

HEARD_TIMEOUT = 5.0
"""Seconds for the adapter to hear a device that BlueZ does not know, or has let go: it forgets what
it has not heard for 30 s (BlueZ src/main.conf, TemporaryTimeout), and everything with the adapter.
Most devices advertise every second or two."""


class ClientsAdapter(Protocol):
    """What a client needs of its adapter."""

    @property
    def name(self) -> str:
        """The adapter's name (`hciN`)."""
        ...

    @property
    def queue(self) -> SlotQueue:
        """Who waits for a slot."""
        ...

    def allocations(self) -> Allocations | None:
        """The adapter's links; None while it is gone."""
        ...

    def release(self, address: str) -> None:
        """Give up a claim; harmless if there is none."""

    def has_claim(self, address: str) -> bool:
        """Whether a slot is promised to the next client for `address`."""
        ...

    def require_ready(self) -> None:
        """Raise RadioUnavailableError if no link can be opened now."""

    def is_connected(self, address: str) -> bool:
        """Whether the adapter holds a link to the device already."""
        ...

    def knows(self, path: str) -> bool:
        """Whether BlueZ has an object at this path."""
        ...

    async def until_heard(self, address: str, timeout: float) -> None:
        """Wait until the adapter hears a device, at most `timeout` seconds."""

    def attempt(self) -> AbstractAsyncContextManager[None]:
        """Give up what is done inside as soon as the adapter goes."""
        ...


class RadioClient(BlueZClient):
    """A client for one device on one adapter of a fleet.

    Args:
        device: the device, with the object path it has on that adapter.
        radio: the adapter.
        **kwargs: those of BlueZClient.
    """

    def __init__(self, device: BLEDevice, *, radio: ClientsAdapter, **kwargs: Any) -> None:
        super().__init__(device, **kwargs)
        self._radio = radio
        self._device = device

    async def connect(
        self, pair: bool, dangerous_use_bleak_cache: bool = False, **kwargs: Any
    ) -> None:
        """Open the link and learn the services; a link that BlueZ holds already is taken over.

        As behind a proxy, a device that BlueZ has yet to hear is waited for, here HEARD_TIMEOUT s;
        that counts as part of `timeout`.

        Raises:
            OutOfSlotsError: the adapter has no slot.
            RadioUnavailableError: there is no such adapter now, or it went meanwhile.
            BleakError: as BlueZClient.
        """
        radio, loop = self._radio, asyncio.get_running_loop()
        timeout = kwargs.pop("timeout", self._timeout)
        deadline = loop.time() + timeout
        radio.require_ready()
        if not (radio.is_connected(self.address) or radio.has_claim(self.address)):
            await self._claim_slot()
        try:
            async with radio.attempt():
                if not radio.knows(self._device.details["path"]):
                    await radio.until_heard(self.address, min(HEARD_TIMEOUT, timeout / 2))
                cached = dangerous_use_bleak_cache and await services_are_valid(
                    radio.knows, self._device.details["path"]
                )
                left = max(deadline - loop.time(), 0.0)
                await super().connect(pair, cached, timeout=left, **kwargs)
        finally:
            radio.release(self.address)

    async def _claim_slot(self) -> None:
        if await self._radio.queue.claim(self.address, SLOT_TIMEOUT):
            return
        slots = self._radio.allocations()
        held = ", ".join(slots.allocated) if slots else "nobody known"
        raise OutOfSlotsError(
            f"{self._radio.name} [{self.address}]: no free connection slot: in use by {held}",
            source=self._radio.name,
        )
