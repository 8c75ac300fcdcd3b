"""What advertisements change: the devices, and how each radio hears them.

Only what was heard since the last look is looked at, and no more of it than a reader can follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.advertisements.merged_device import Heard, Sighting
from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.models import NO_RSSI_VALUE
from proxyconn.radio import Radio, Report
from proxyconn.watch.changes import Table, row_changes
from proxyconn.watch.clock import WallClock
from proxyconn.watch.rows import Row, said_row

MOST_CELLS = 2000
"""Devices by radios that one look takes; the rest waits for the next one."""

GONE_EVERY = 4
"""Looks between two for devices that are no more: those have been silent for long already."""

MOST_SAID = 100
"""Characters of a device's name that are shown."""


class Devices:
    """The devices of a fleet, and how each radio hears them, as tables.

    Args:
        inspection: the inside of the fleet.
        clock: makes times of the loop's seconds.

    Attributes:
        devices: address -> what the device says, and which radio is the best for it.
        heard: address -> radio -> how it hears the device.
    """

    def __init__(self, inspection: Inspection, clock: WallClock) -> None:
        self._inspection = inspection
        self._clock = clock
        self.devices: Table = {}
        self.heard: Table = {}
        self._payloads: dict[str, object] = {}
        self._dirty: dict[tuple[Radio, int], None] = {}
        self._looks = 0

    def take(self, radio: Radio, reports: Iterable[Report[Any]]) -> None:
        """Take note of what a radio has heard; this runs for every advertisement."""
        dirty = self._dirty
        for report in reports:
            dirty[radio, report.address] = None

    def begin(self) -> None:
        """Look at everything."""
        self._dirty.clear()
        self.devices, self.heard = {}, {}
        for address, sighting in self._inspection.sightings.items():
            self._payloads[address] = sighting.payload
            self.devices[address] = self._device(sighting)
            self.heard[address] = {
                radio.name: self._cell(heard) for radio, heard in sighting.heard.items()
            }

    def end(self) -> None:
        """Forget everything."""
        self._dirty.clear()
        self._payloads.clear()
        self.devices, self.heard = {}, {}

    def changes(self) -> dict[str, dict[str, Row | None]]:
        """Look at what was heard since the last look; return what has changed by table and key."""
        sightings = self._inspection.sightings
        devices: dict[str, Row | None] = {}
        cells: dict[str, Row | None] = {}
        names = {radio: radio.name for radio in self._inspection.radios}
        for number, radios in self._next().items():
            address = int_to_bluetooth_address(number)
            if sighting := sightings.get(address):
                if row := self._cells(address, sighting, radios, names):
                    cells[address] = row
                self._look(address, sighting, devices)
        self._looks += 1
        gone = self._looks % GONE_EVERY == 0
        for address in self.devices.keys() - set(sightings) if gone else ():
            self._payloads.pop(address, None)
            del self.devices[address]
            self.heard.pop(address, None)
            devices[address] = cells[address] = None
        return {"devices": devices, "heard": cells}

    def _next(self) -> dict[int, list[Radio]]:
        """Return the devices to be looked at now, and who has heard them; the rest waits."""
        taken = list(islice(self._dirty, MOST_CELLS))
        if len(taken) == len(self._dirty):
            self._dirty.clear()
        else:
            for one in taken:
                del self._dirty[one]
        devices: dict[int, list[Radio]] = {}
        for radio, number in taken:
            devices.setdefault(number, []).append(radio)
        return devices

    def _cells(
        self,
        address: str,
        sighting: Sighting,
        radios: Iterable[Radio],
        names: Mapping[Radio, str],
    ) -> Row:
        """Look at how radios hear a device; return what has changed by their names."""
        known = self.heard.setdefault(address, {})
        row: Row = {}
        for radio in radios:
            name, heard = names.get(radio), sighting.heard.get(radio)
            if name and heard:
                cell = self._cell(heard)
                if known.get(name) != cell:
                    known[name] = row[name] = cell
        return row

    def radios_changed(self) -> dict[str, dict[str, Row | None]]:
        """A radio has come, gone or been renamed: return what has changed by table and key."""
        cells: dict[str, Row | None] = {}
        devices: dict[str, Row | None] = {}
        for address, sighting in self._inspection.sightings.items():
            before = self.heard.get(address, {})
            after = {radio.name: self._cell(heard) for radio, heard in sighting.heard.items()}
            if before.keys() != after.keys():
                self.heard[address] = after
                cells[address] = row_changes(before, after)
            if address in self.devices:
                self._look(address, sighting, devices)
        return {"devices": devices, "heard": cells}

    def _look(self, address: str, sighting: Sighting, into: dict[str, Row | None]) -> None:
        before = self.devices.get(address)
        if before is None or self._payloads.get(address) is not sighting.payload:
            self._payloads[address] = sighting.payload
            changed = row_changes(before or {}, self._device(sighting))
        else:
            now = {**self._best(sighting), "name": _name(sighting)}
            changed = {name: value for name, value in now.items() if before[name] != value}
        if changed:
            self.devices[address] = {**(before or {}), **changed}
            into[address] = changed

    def _device(self, sighting: Sighting) -> Row:
        return {
            "name": _name(sighting),
            **self._best(sighting),
            **said_row(sighting.last()),
        }

    def _best(self, sighting: Sighting) -> Row:
        best = sighting.best
        rssi = sighting.rssi()
        return {
            "source": best.radio.name if best else None,
            "rssi": None if rssi == NO_RSSI_VALUE else rssi,
            "address_type": sighting.device.details.get("address_type"),
        }

    def _cell(self, heard: Heard) -> Row:
        rssi = round(heard.rssi)
        return {
            "rssi": None if rssi == NO_RSSI_VALUE else rssi,
            "at": self._clock.tenths(heard.at),
            "interval": int(heard.interval * 100 + 0.5) / 100,
        }


def _name(sighting: Sighting) -> str | None:
    name = sighting.device.name
    return name[:MOST_SAID] if name else None
