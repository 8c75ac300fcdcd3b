"""Radios that refused a device a slot which they had reported free.

Their report is wrong, or was on its way; asked again they refuse again, as fast as they are asked.
Knows no clock: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxyconn.errors import ErrorKind
from proxyconn.failures.rules import RULES
from proxyconn.radio import Radio

REST = RULES[ErrorKind.OUT_OF_SLOTS].wait
"""Seconds for which a radio is not asked again, unless it reports one more free slot."""


@dataclass(slots=True)
class _Refusal:
    until: float
    free: int


@dataclass(slots=True)
class Refusals:
    """Which radio has refused which device lately."""

    _by_radio: dict[Radio, dict[str, _Refusal]] = field(default_factory=dict)

    def add(self, address: str, radio: Radio, now: float) -> None:
        """A radio has refused a device."""
        others = self._by_radio.get(radio, {})
        lasting = {key: refusal for key, refusal in others.items() if refusal.until > now}
        self._by_radio[radio] = {**lasting, address: _Refusal(now + REST, _free(radio))}

    def reported(self, radio: Radio) -> None:
        """Look at what a radio reports; more free slots than before end its refusals."""
        refusals = self._by_radio.get(radio)
        if not refusals:
            return
        free = _free(radio)
        for address, refusal in list(refusals.items()):
            if free > refusal.free:
                del refusals[address]
            refusal.free = free

    def forget(self, radio: Radio) -> None:
        """The radio has left."""
        self._by_radio.pop(radio, None)

    def stands(self, address: str, radio: Radio, now: float) -> bool:
        """Whether a radio is not to be asked for a slot for a device."""
        refusal = self._by_radio.get(radio, {}).get(address)
        return refusal is not None and now < refusal.until


def _free(radio: Radio) -> int:
    slots = radio.allocations()
    return slots.free if slots else 0
