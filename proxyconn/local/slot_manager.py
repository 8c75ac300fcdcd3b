"""The connection slots of local adapters, for programs that schedule their own connections."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from bleak.backends.device import BLEDevice

from proxyconn.callbacks import Callbacks
from proxyconn.device import device_path
from proxyconn.local.stack import LocalWatch, local_stack
from proxyconn.models import AllocationChange, AllocationChangeEvent, Allocations
from proxyconn.object_paths import split_device_path

_LOGGER = logging.getLogger(__name__)

AllocationCallback = Callable[[AllocationChangeEvent], None]


class BleakSlotManager:
    """Counts the connection slots of BlueZ adapters.

    BlueZ does not say how many links a controller can hold: the caller does, when it registers an
    adapter. A slot is held by every device that is connected, by whichever program, and by every
    device that `allocate_slot` was called for, until its link drops or `release_slot` is called.
    """

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._held: dict[str, dict[str, bool]] = {}  # adapter -> object path -> whether connected
        self._watch: LocalWatch | None = None
        self._callbacks = Callbacks[AllocationChangeEvent]("a slot manager")

    def __repr__(self) -> str:
        used = ", ".join(
            f"{name} {len(self._held[name])}/{slots}" for name, slots in self._slots.items()
        )
        return f"<BleakSlotManager {used or 'without adapters'}>"

    async def async_setup(self) -> None:
        """Begin to follow the links of BlueZ; without BlueZ on this machine, do nothing.

        A bluetoothd that is not running, or is restarted, is followed as soon as it is there.
        """
        if self._watch or not (stack := await local_stack()):
            return
        self._watch = stack.watch()
        self._watch.on_links_changed(self._refresh)
        await self._watch.start()
        self._refresh()

    async def aclose(self) -> None:
        """Stop following and close the connection to BlueZ; idempotent, however often cancelled."""
        if self._watch:
            await self._watch.aclose()
            self._watch = None

    def register_adapter(self, adapter: str, slots: int) -> None:
        """Count the slots of an adapter (`hciN`) that has `slots`; connected devices hold theirs.

        An adapter that is registered again keeps who holds its slots.
        """
        self._slots[adapter] = slots
        self._held.setdefault(adapter, {})
        self._refresh()

    def remove_adapter(self, adapter: str) -> None:
        """Forget an adapter and who holds its slots; harmless for one that is not registered."""
        self._slots.pop(adapter, None)
        self._held.pop(adapter, None)

    def get_allocations(self, adapter: str) -> Allocations:
        """Return who holds the slots of an adapter; no slots for one that is not registered."""
        slots = self._slots.get(adapter, 0)
        held = [self._address(path) for path in self._held.get(adapter, ())]
        return Allocations(adapter, slots, max(slots - len(held), 0), held)

    def allocate_slot(self, device: BLEDevice) -> bool:
        """Hold a slot for a device that is about to be connected.

        Returns:
            False if every slot of its adapter is taken. True if it has one now, and also if it
            is not on an adapter that this manager counts.
        """
        path = device_path(device)
        parts = split_device_path(path) if path else None
        if self._watch is None or path is None or parts is None or parts[0] not in self._slots:
            return True
        adapter = parts[0]
        held = self._held[adapter]
        if path in held:
            return True
        if len(held) >= self._slots[adapter]:
            _LOGGER.debug("%s: every slot of %s is taken: %s", path, adapter, list(held))
            return False
        held[path] = False
        self._tell(AllocationChange.ALLOCATED, path)
        return True

    def release_slot(self, device: BLEDevice) -> None:
        """Give the slot of a device back, unless it is connected: then its link holds it."""
        path = device_path(device)
        parts = split_device_path(path) if path else None
        if path is None or parts is None or self._watch is None or path in self._watch.connected():
            return
        if self._held.get(parts[0], {}).pop(path, None) is not None:
            self._tell(AllocationChange.RELEASED, path)

    def register_allocation_callback(self, callback: AllocationCallback) -> Callable[[], None]:
        """Call `callback(event)` whenever a slot is taken or given back; returns unsubscribe."""
        return self._callbacks.register(callback)

    def diagnostics(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        return {
            "manager": self._watch is not None and self._watch.present,
            "adapter_slots": dict(self._slots),
            "allocations_by_adapter": {name: list(held) for name, held in self._held.items()},
        }

    def _refresh(self) -> None:
        if self._watch is None:
            return
        connected = self._watch.connected()
        for held in self._held.values():
            for path in [path for path, up in held.items() if up and path not in connected]:
                del held[path]
                self._tell(AllocationChange.RELEASED, path)
        for path in connected:
            parts = split_device_path(path)
            if parts is None or parts[0] not in self._held:
                continue
            held = self._held[parts[0]]
            is_new = path not in held
            held[path] = True
            if is_new:
                self._tell(AllocationChange.ALLOCATED, path)

    def _tell(self, change: AllocationChange, path: str) -> None:
        adapter, address = split_device_path(path) or ("", "")
        event = AllocationChangeEvent(change, path, adapter, address)
        self._callbacks(event)

    def _address(self, path: str) -> str:
        parts = split_device_path(path)
        return parts[1] if parts else path
