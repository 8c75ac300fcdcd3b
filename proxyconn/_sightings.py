"""What every radio hears of every device, merged. Knows no clock: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._models import NO_RSSI_VALUE, RSSI_SWITCH_THRESHOLD
from proxyconn._paths import FAILURE_FADES_AFTER, STALE_AFTER, Path
from proxyconn.radio import Radio


@dataclass(slots=True)
class Heard:
    """The last advertisement of a device through one radio."""

    rssi: int
    at: float


@dataclass(slots=True)
class Failures:
    """Failures of a device through one radio, in a row."""

    count: int
    at: float


@dataclass(slots=True)
class Sighting:
    """One device and everything that hears it.

    Attributes:
        device: the BLEDevice that users hold; its `details` follow the best radio.
        advertisement: the last one heard, by whichever radio.
        best: the radio that `device` is attributed to.
        heard: radio -> its last report.
        failures: radio -> failed attempts.
    """

    device: BLEDevice
    advertisement: AdvertisementData
    best: Radio
    heard: dict[Radio, Heard] = field(default_factory=dict)
    failures: dict[Radio, Failures] = field(default_factory=dict)

    def hear(self, radio: Radio, advertisement: AdvertisementData, now: float) -> None:
        """Take a report; change the best radio only for one that is clearly better."""
        self.heard[radio] = Heard(advertisement.rssi, now)
        self.advertisement = advertisement
        if advertisement.local_name:
            self.device.name = advertisement.local_name
        if radio is not self.best and self._is_better(advertisement.rssi, now):
            self.best = radio
        self.device.details["source"] = self.best.name

    def _is_better(self, rssi: int, now: float) -> bool:
        present = self.heard.get(self.best)
        if present is None or now - present.at > STALE_AFTER:
            return True
        return rssi >= present.rssi + RSSI_SWITCH_THRESHOLD

    def touch(self, radio: Radio, now: float) -> None:
        """Count the end of a link as a sign of life: a connected device does not advertise."""
        if heard := self.heard.get(radio):
            heard.at = now

    def is_stale(self, now: float) -> bool:
        """Whether no radio has heard the device for long."""
        return all(now - heard.at > STALE_AFTER for heard in self.heard.values())

    def lose(self, radio: Radio) -> None:
        """Forget a radio that has left the fleet."""
        self.heard.pop(radio, None)
        self.failures.pop(radio, None)
        if self.best is radio and self.heard:
            self.best = max(self.heard, key=lambda other: self.heard[other].rssi)
            self.device.details["source"] = self.best.name

    def fail(self, radio: Radio, now: float) -> None:
        """Count a failed attempt through `radio`."""
        self.failures[radio] = Failures(self._failures(radio, now) + 1, now)

    def succeed(self, radio: Radio) -> None:
        """Forget the failed attempts through `radio`."""
        self.failures.pop(radio, None)

    def _failures(self, radio: Radio, now: float) -> int:
        failures = self.failures.get(radio)
        if failures is None or now - failures.at > FAILURE_FADES_AFTER:
            return 0
        return failures.count

    def rssi(self) -> int:
        """Signal strength at the best radio in dBm."""
        heard = self.heard.get(self.best)
        return heard.rssi if heard else NO_RSSI_VALUE

    def path(self, radio: Radio, now: float) -> Path:
        """Return the path through `radio`, which must have heard the device."""
        heard = self.heard[radio]
        slots = radio.allocations()
        return Path(
            source=radio.name,
            rssi=heard.rssi,
            age=now - heard.at,
            state=radio.state,
            connectable=radio.connectable,
            slots=slots.slots if slots else None,
            free=radio.free_slots(),
            failures=self._failures(radio, now),
        )
