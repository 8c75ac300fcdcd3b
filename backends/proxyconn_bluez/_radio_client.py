"""The client of an adapter that is part of a fleet: it minds the adapter's slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bleak.backends.device import BLEDevice

from proxyconn.radio import OutOfSlotsError

from ._link import services_are_valid
from .client import BlueZClient

if TYPE_CHECKING:
    from ._adapter import BlueZRadio

SLOT_TIMEOUT = 2.0
"""Seconds an attempt waits for a slot before it says that there is none, as behind a proxy."""

HEARD_TIMEOUT = 5.0
"""Seconds for the adapter to hear a device that BlueZ does not know, or has let go: it forgets what
it has not heard for 30 s (BlueZ src/main.conf, TemporaryTimeout), and everything with the adapter.
Most devices advertise every second or two."""


class RadioClient(BlueZClient):
    """A client for one device on one adapter of a fleet.

    Args:
        device: the device, with the object path it has on that adapter.
        radio: the adapter.
        **kwargs: those of BlueZClient.
    """

    def __init__(self, device: BLEDevice, *, radio: BlueZRadio, **kwargs: Any) -> None:
        super().__init__(device, **kwargs)
        self._radio = radio
        self._device = device

    async def connect(
        self, pair: bool, dangerous_use_bleak_cache: bool = False, **kwargs: Any
    ) -> None:
        """Open the link and learn the services; a link that BlueZ holds already is taken over.

        As behind a proxy, a device that BlueZ has yet to hear is waited for, here HEARD_TIMEOUT s.

        Raises:
            OutOfSlotsError: the adapter has no slot.
            RadioUnavailableError: there is no such adapter now, or it went meanwhile.
            BleakError: as BlueZClient.
        """
        radio = self._radio
        radio.require_ready()
        if not (radio.is_connected(self.address) or radio.has_claim(self.address)):
            await self._claim_slot()
        try:
            async with radio.attempt():
                if not radio.knows(self._device.details["path"]):
                    limit = min(HEARD_TIMEOUT, kwargs.get("timeout", self._timeout))
                    await radio.until_heard(self.address, limit)
                cached = dangerous_use_bleak_cache and await services_are_valid(
                    radio.knows, self._device.details["path"]
                )
                await super().connect(pair, cached, **kwargs)
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
