"""What every radio hears of every device, merged. Knows no clock: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._models import NO_RSSI_VALUE, RSSI_SWITCH_THRESHOLD
from proxyconn.radio import PayloadT, Radio

RSSI_SMOOTHING = 0.3
"""Weight of the last advertisement in the smoothed signal strength."""

RHYTHM_SMOOTHING = 0.2
"""Weight of the last interval in the smoothed one."""

MISSED = 12
"""Advertisements in a row that a device may miss: radios share their time with other work, and an
ESP32 does not scan at all while it connects."""

STALE_AFTER = 195.0
"""Seconds of silence until a device's rhythm is known (habluetooth's limit)."""

STALE_AT_LEAST = 60.0
"""Seconds of silence that say nothing about the fastest device: a connect may take 20 s."""

STALE_AT_MOST = 900.0
"""Seconds of silence after which the slowest device is thought gone."""


class Heard:
    """What one radio hears of one device.

    Attributes:
        rssi: signal strength in dBm, smoothed.
        last_rssi: that of the last advertisement.
        at: time of the last advertisement, in seconds.
        interval: seconds between two advertisements, smoothed; 0.0 until there were two.
    """

    __slots__ = ("at", "interval", "last_rssi", "rssi")

    def __init__(self, rssi: int, at: float) -> None:
        self.rssi = float(rssi)
        self.last_rssi = rssi
        self.at = at
        self.interval = 0.0

    @property
    def patience(self) -> float:
        """Seconds of silence after which the device is thought gone, by its own rhythm."""
        if not self.interval:
            return STALE_AFTER
        return min(max(MISSED * self.interval, STALE_AT_LEAST), STALE_AT_MOST)

    def is_stale(self, now: float) -> bool:
        """Whether the silence is longer than the device's rhythm explains."""
        return now - self.at > self.patience


@dataclass(slots=True, eq=False)
class Sighting:
    """One device and everything that hears it.

    Attributes:
        device: the BLEDevice that users hold; its `details` follow the best radio.
        advertisement: what it says, by whichever radio; the last of each field that had a value.
        best: the radio that `device` is attributed to.
        heard: radio -> what it hears.
        payload: what was parsed last.
    """

    device: BLEDevice
    advertisement: AdvertisementData
    best: Radio
    heard: dict[Radio, Heard] = field(default_factory=dict)
    payload: Any = None

    def hear(
        self,
        radio: Radio,
        rssi: int,
        payload: PayloadT,
        parse: Callable[[PayloadT], AdvertisementData],
        now: float,
    ) -> None:
        """Take a report; change the best radio only for one that is clearly better."""
        heard = self.heard.get(radio)
        if heard is None:
            heard = self.heard[radio] = Heard(rssi, now)
        else:
            gap = now - heard.at
            if gap > 0:
                interval = heard.interval
                heard.interval = interval + RHYTHM_SMOOTHING * (gap - interval) if interval else gap
            heard.rssi += RSSI_SMOOTHING * (rssi - heard.rssi)
            heard.last_rssi = rssi
            heard.at = now
        if payload != self.payload:
            self.payload = payload
            self._merge(parse(payload))
        if radio is not self.best and self._is_better(heard, now):
            self.attribute(radio)

    def _merge(self, fresh: AdvertisementData) -> None:
        """Keep what only one of advertisement and scan response says; they may come apart."""
        old = self.advertisement
        if fresh.local_name and fresh.local_name != old.local_name:
            self.device.name = fresh.local_name
        self.advertisement = AdvertisementData(
            fresh.local_name or old.local_name,
            fresh.manufacturer_data or old.manufacturer_data,
            fresh.service_data or old.service_data,
            fresh.service_uuids or old.service_uuids,
            old.tx_power if fresh.tx_power is None else fresh.tx_power,
            NO_RSSI_VALUE,
            fresh.platform_data,
        )

    def report(self, rssi: int) -> AdvertisementData:
        """Return the advertisement as heard with `rssi` dBm."""
        said = self.advertisement
        return AdvertisementData(
            said.local_name,
            said.manufacturer_data,
            said.service_data,
            said.service_uuids,
            said.tx_power,
            rssi,
            said.platform_data,
        )

    def last(self) -> AdvertisementData:
        """Return the advertisement as the last radio heard it."""
        heard = max(self.heard.values(), key=lambda heard: heard.at, default=None)
        return self.report(heard.last_rssi if heard else NO_RSSI_VALUE)

    def _is_better(self, heard: Heard, now: float) -> bool:
        present = self.heard.get(self.best)
        if present is None or present.is_stale(now):
            return True
        return heard.rssi >= present.rssi + RSSI_SWITCH_THRESHOLD

    def attribute(self, radio: Radio) -> None:
        """Make `radio` the one that the device is attributed to."""
        self.best = radio
        self.device.details["source"] = radio.name

    def touch(self, radio: Radio, now: float) -> None:
        """Count the end of a link as a sign of life: a connected device does not advertise."""
        if heard := self.heard.get(radio):
            heard.at = now

    def at(self) -> float:
        """Return the time at which any radio heard the device last."""
        return max((heard.at for heard in self.heard.values()), default=0.0)

    def is_stale(self, now: float) -> bool:
        """Whether no radio has heard the device for longer than its rhythm explains."""
        return all(heard.is_stale(now) for heard in self.heard.values())

    def lose(self, radio: Radio) -> None:
        """Forget a radio that has left the fleet."""
        self.heard.pop(radio, None)
        if self.best is radio and self.heard:
            self.attribute(max(self.heard, key=lambda other: self.heard[other].rssi))

    def rssi(self) -> int:
        """Signal strength at the best radio in dBm, smoothed."""
        heard = self.heard.get(self.best)
        return round(heard.rssi) if heard else NO_RSSI_VALUE
