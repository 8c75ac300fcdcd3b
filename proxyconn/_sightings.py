"""What every radio hears of every device, merged. Knows no clock: the time is an argument."""

from __future__ import annotations

from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._models import NO_RSSI_VALUE, RSSI_SWITCH_THRESHOLD
from proxyconn.radio import Radio

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


Said = tuple[str | None, dict[int, bytes], dict[str, bytes], list[str], int | None]


class Heard:
    """What one radio hears of one device.

    Attributes:
        radio: who hears it.
        sighting: the device.
        rssi: signal strength in dBm, smoothed.
        last_rssi: that of the last advertisement.
        at: time of the last advertisement, in seconds.
        interval: seconds between two advertisements, smoothed.
    """

    __slots__ = ("at", "interval", "last_rssi", "radio", "rssi", "sighting")

    def __init__(self, radio: Radio, sighting: Sighting, rssi: int, at: float) -> None:
        self.radio = radio
        self.sighting = sighting
        self.rssi = float(rssi)
        self.last_rssi = rssi
        self.at = at
        self.interval = STALE_AFTER / MISSED

    @property
    def patience(self) -> float:
        """Seconds of silence after which the device is thought gone, by its own rhythm."""
        return min(max(MISSED * self.interval, STALE_AT_LEAST), STALE_AT_MOST)

    def is_stale(self, now: float) -> bool:
        """Whether the silence is longer than the device's rhythm explains."""
        return now - self.at > self.patience


class Sighting:
    """One device and everything that hears it.

    Attributes:
        device: the BLEDevice that users hold; its `details` follow the best radio.
        said: all of what it says but the RSSI, by whichever radio: the last of each field that had
            a value, in the order of bleak's AdvertisementData.
        platform_data: bleak's last field.
        payload: what was parsed last.
        heard: radio -> what it hears.
        best: what the radio hears that `device` is attributed to; None if no radio hears it.
    """

    __slots__ = ("best", "device", "heard", "payload", "platform_data", "said")

    def __init__(self, device: BLEDevice) -> None:
        self.device = device
        self.said: Said = (None, {}, {}, [], None)
        self.platform_data: tuple[Any, ...] = ()
        self.payload: object = None
        self.heard: dict[Radio, Heard] = {}
        self.best: Heard | None = None

    def take(self, fresh: AdvertisementData) -> None:
        """Take what was parsed; advertisement and scan response may come apart."""
        name, manufacturer_data, service_data, uuids, tx_power, _, self.platform_data = fresh
        old = self.said
        if name and name != old[0]:
            self.device.name = name
        self.said = (
            name or old[0],
            manufacturer_data or old[1],
            service_data or old[2],
            uuids or old[3],
            old[4] if tx_power is None else tx_power,
        )

    def report(self, rssi: int) -> AdvertisementData:
        """Return the advertisement as heard with `rssi` dBm."""
        return AdvertisementData(*self.said, rssi, self.platform_data)

    def last(self) -> AdvertisementData:
        """Return the advertisement as the last radio heard it."""
        heard = max(self.heard.values(), key=lambda heard: heard.at, default=None)
        return self.report(heard.last_rssi if heard else NO_RSSI_VALUE)

    def weigh(self, heard: Heard, now: float) -> None:
        """Attribute the device to a radio that hears it clearly better than the present one."""
        best = self.best
        if best is None or best.is_stale(now) or heard.rssi >= best.rssi + RSSI_SWITCH_THRESHOLD:
            self._attribute(heard)

    def attribute(self, radio: Radio) -> None:
        """Make `radio`, if it hears the device, the one that the device is attributed to."""
        if heard := self.heard.get(radio):
            self._attribute(heard)

    def _attribute(self, heard: Heard) -> None:
        self.best = heard
        self.device.details["source"] = heard.radio.name

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
        if self.best and self.best.radio is radio:
            self.best = None
            if self.heard:
                self._attribute(max(self.heard.values(), key=lambda heard: heard.rssi))

    def rssi(self) -> int:
        """Signal strength at the best radio in dBm, smoothed."""
        return round(self.best.rssi) if self.best else NO_RSSI_VALUE
