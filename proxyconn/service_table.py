"""A device's services, in which a characteristic is found by its UUID in one look."""

from __future__ import annotations

from uuid import UUID

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.service import BleakGATTServiceCollection


class ServiceTable(BleakGATTServiceCollection):
    """bleak's own table, which is gone through from end to end for each UUID that is looked up.

    A program that names what it reads by UUID has that looked up for each read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_uuid: dict[str, BleakGATTCharacteristic | None] = {}

    def add_characteristic(self, characteristic: BleakGATTCharacteristic) -> None:
        """Add a characteristic, whose service is there."""
        super().add_characteristic(characteristic)
        is_second = characteristic.uuid in self._by_uuid
        self._by_uuid[characteristic.uuid] = None if is_second else characteristic

    def get_characteristic(self, specifier: int | str | UUID) -> BleakGATTCharacteristic | None:
        """Return a characteristic by handle or UUID; None if there is none.

        Raises:
            BleakError: several have this UUID.
        """
        found = None if isinstance(specifier, int) else self._by_uuid.get(str(specifier))
        # Short forms and capitals of a UUID, and what is not there, are bleak's to make out.
        return super().get_characteristic(specifier) if found is None else found
