"""A simulated peripheral on the air: what it says, under which address, and who has its link."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from dataclasses import dataclass

from proxyconn_virtual.advertising import Advertisement, Advertising, said
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.radios.advertising_data import advertising_of
from proxyconn_virtual.radios.attributes import AttributeTable, attribute_table
from proxyconn_virtual.radios.simulated_link import SimulatedLink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """One advertisement as radios report it: heard passively, or with its scan response."""

    data: bytes
    with_response: bytes
    extended: bool


class SimulatedDevice:
    """A peripheral on the air.

    Args:
        peripheral: what it is.
        rng: of its private addresses.

    Attributes:
        peripheral: what it is at present.
        link: its link, if it has one.
        freed: set whenever a link is gone.
    """

    def __init__(self, peripheral: Peripheral, rng: random.Random) -> None:
        self.link: SimulatedLink | None = None
        self.freed = asyncio.Event()
        self._rng = rng
        self.become(peripheral)

    def become(self, peripheral: Peripheral) -> None:
        """Be another peripheral with the same address. Raises ValueError."""
        advertising = advertising_of(peripheral)
        self.peripheral = peripheral
        self._address = peripheral.address_int
        self._address_until = math.inf if peripheral.private_address is None else -math.inf
        self._table: AttributeTable | None = None
        self.advertise(advertising)

    def advertise(self, advertising: Advertising) -> None:
        """Say something else from now on."""
        self._advertising = advertising
        self._times = 0
        # Most say always the same, and there are thousands of them.
        self._always = _as_heard(advertising) if isinstance(advertising, Advertisement) else None

    def says(self) -> Said | None:
        """Return what it says this time; None if its own code failed, which is logged."""
        if self._always is not None:
            return self._always
        number, self._times = self._times, self._times + 1
        try:
            return _as_heard(said(self._advertising, number))
        except Exception:
            logger.exception("what %s advertises cannot be told", self.peripheral.name)
            return None

    def address_at(self, now: float) -> int:
        """Return the address by which it is heard at a time of the loop's clock."""
        private = self.peripheral.private_address
        if private is not None and now >= self._address_until:
            self._address = private.next_address(self._rng)
            self._address_until = now + private.every
        return self._address

    @property
    def table(self) -> AttributeTable:
        """Its GATT table."""
        if self._table is None:
            self._table = attribute_table(self.peripheral)
        return self._table


def _as_heard(advertisement: Advertisement) -> Said:
    data = advertisement.data
    return Said(data, data + advertisement.scan_response, advertisement.extended)
