"""A proxy's radio over a Bumble host: scanning and opening links as a central."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bumble import core, hci
from bumble.device import Advertisement, Connection, Device
from bumble.keys import MemoryKeyStore

from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.radio import Heard, OpenError, RadioLink
from proxyconn_virtual.radios.bumble_air import make_address
from proxyconn_virtual.radios.bumble_link import BumbleLink
from proxyconn_virtual.radios.bumble_peripheral import just_works

CANCEL_TIMEOUT = 5.0
"""Seconds that the controller may take to give up a connection."""

FAILED_TO_ESTABLISH = 0x3E
ESP_GATT_CONN_CANCEL = 0x100


class BumbleRadio:
    """A central; see `proxyconn_virtual.radio.Radio`.

    It knows nothing of the other end, so `make_device` may as well give it a device over a USB or
    UART controller.

    Args:
        make_device: makes the host, on each start.
        script: takes the outcome of the next attempt to an address, with `after` filled in; None
            leaves the attempt to the controller alone.
    """

    def __init__(
        self, make_device: Callable[[], Device], script: Callable[[int], Outcome | None]
    ) -> None:
        self._make_device = make_device
        self._script = script
        self._keys = MemoryKeyStore()
        self._tasks = OwnedTasks()
        self._links: set[BumbleLink] = set()
        self._device: Device | None = None
        self._on_heard: Callable[[Heard], None] | None = None
        self._wanted: bool | None = None
        self._scanning: bool | None = None
        self._scan_lock = asyncio.Lock()
        self._connect_lock = asyncio.Lock()
        self._attempt: asyncio.Task[BumbleLink] | None = None

    async def start(self) -> None:
        """Power on."""
        if self._device is not None:
            return
        device = self._make_device()
        device.keystore = self._keys
        device.pairing_config_factory = just_works
        device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
        await device.power_on()
        self._device = device

    async def stop(self) -> None:
        """Power off: drops every link and stops scanning; idempotent."""
        device, self._device = self._device, None
        if device is None:
            return
        self._on_heard = self._wanted = None
        await self._apply_scan(device)
        if self._attempt is not None:
            await self._abandon(device, self._attempt)
        for link in tuple(self._links):
            await link.close()
        await self._tasks.close()
        await device.power_off()

    def start_scan(self, on_heard: Callable[[Heard], None], *, active: bool) -> None:
        """Begin to report advertisements; the scan response is appended when `active`."""
        device = self._powered()
        self._on_heard, self._wanted = on_heard, active
        self._tasks.start(self._apply_scan(device), "start scan")

    def stop_scan(self) -> None:
        """Stop reporting; idempotent."""
        self._on_heard = self._wanted = None
        if self._device is not None:
            self._tasks.start(self._apply_scan(self._device), "stop scan")

    async def connect(self, address: int, address_type: int) -> RadioLink:
        """Open a link. Raises OpenError; never ends by itself for a device that never answers."""
        device = self._powered()
        async with self._connect_lock:  # a controller has one pending connection at most
            await self._follow_script(address)
            if self._attempt is not None:  # one that was given up, and the controller is slow
                await asyncio.wait({self._attempt}, timeout=CANCEL_TIMEOUT)
            peer = make_address(address, address_type)
            if self._device is not device:
                raise OpenError(ESP_GATT_CONN_CANCEL)
            self._attempt = attempt = self._tasks.start(self._open(device, peer), "connect")
            try:
                await asyncio.wait({attempt})
            except asyncio.CancelledError:
                clean_up = self._tasks.start(self._abandon(device, attempt), "give up")
                await asyncio.shield(clean_up)
                raise
            if attempt.cancelled() or self._device is not device:
                raise OpenError(ESP_GATT_CONN_CANCEL)
            return attempt.result()

    async def _follow_script(self, address: int) -> None:
        outcome = self._script(address)
        if outcome is None:
            return
        if outcome.after:
            await asyncio.sleep(outcome.after)
        if outcome.reason:
            raise OpenError(outcome.reason)

    async def remove_bond(self, address: int) -> bool:
        """Forget the bond; False if there was none."""
        for name in (str(make_address(address, kind)) for kind in (0, 1)):
            if await self._keys.get(name) is not None:
                await self._keys.delete(name)
                return True
        return False

    def _powered(self) -> Device:
        if self._device is None:
            raise RuntimeError("the radio is off")
        return self._device

    async def _apply_scan(self, device: Device) -> None:
        async with self._scan_lock:
            if self._scanning == self._wanted:
                return
            if self._scanning is not None:
                await device.stop_scanning()
            self._scanning = self._wanted
            if self._wanted is not None:
                await device.start_scanning(active=self._wanted)

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        if self._on_heard is not None:
            address = advertisement.address
            self._on_heard(
                Heard(
                    address=int.from_bytes(bytes(address), "little"),
                    address_type=address.address_type,
                    rssi=advertisement.rssi,
                    data=bytes(advertisement.data),
                )
            )

    async def _open(self, device: Device, peer: hci.Address) -> BumbleLink:
        try:
            connection = await device.connect_le(peer, timeout=None)
        except core.ConnectionError as error:
            raise OpenError(error.error_code or FAILED_TO_ESTABLISH) from error
        if device.lookup_connection(connection.handle) is not connection:
            raise OpenError(FAILED_TO_ESTABLISH)
        link = BumbleLink(connection, self._tasks)
        self._links.add(link)
        connection.on(Connection.EVENT_DISCONNECTION, lambda _: self._links.discard(link))
        return link

    async def _abandon(self, device: Device, attempt: asyncio.Task[BumbleLink]) -> None:
        """Take an attempt back, closing the link if it opened in the meantime."""
        if not attempt.done():
            # Command Disallowed: the link has just opened, and the attempt is about to say so.
            with suppress(hci.HCI_Error):
                await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            await asyncio.wait({attempt}, timeout=CANCEL_TIMEOUT)
        if attempt.done() and not attempt.cancelled() and attempt.exception() is None:
            await attempt.result().close()
