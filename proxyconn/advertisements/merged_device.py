"""What every radio hears of every device, merged. Knows no clock: the time is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn.advertised.fields import Fields, NameReader
from proxyconn.advertised.turns import KEPT_AT_LEAST, Turns
from proxyconn.models import NO_RSSI_VALUE, RSSI_SWITCH_THRESHOLD
from proxyconn.radio import Radio

RSSI_SMOOTHING = 0.3
"""Weight of the last advertisement in the smoothed signal strength."""

RHYTHM_SMOOTHING = 0.2
"""Weight of the last interval in the smoothed one."""

MISSED = 12
"""Advertisements in a row that a device may miss: radios share their time with other work, and an
ESP32 does not scan at all while it connects."""

STALE_AT_LEAST = 60.0
"""Seconds of silence that say nothing about the fastest device: a connect may take 20 s."""

STALE_AT_MOST = 900.0
"""Seconds of silence after which the slowest device is thought gone."""

STALE_AFTER = 900.0
"""Seconds of silence until a device's rhythm is known: sensors that save their battery advertise
once in 240 to 600 s."""


class Heard:
    """What one radio hears of one device.

    Attributes:
        radio: who hears it.
        sighting: the device.
        rssi: signal strength in dBm, smoothed; NO_RSSI_VALUE until one was measured.
        last_rssi: the one that was measured last; NO_RSSI_VALUE until one was.
        at: time of the last advertisement, in seconds.
        interval: seconds between two advertisements, smoothed; what comes at once counts once.
        address_type: of the device, as this radio reported it last; radios may differ in it.
    """

    __slots__ = ("address_type", "at", "interval", "last_rssi", "radio", "rssi", "sighting")

    def __init__(
        self, radio: Radio, sighting: Sighting, rssi: int, at: float, address_type: int
    ) -> None:
        self.radio = radio
        self.sighting = sighting
        self.rssi = float(rssi)
        self.last_rssi = rssi
        self.at = at
        self.interval = STALE_AFTER / MISSED
        self.address_type = address_type

    def hear_again(self, rssi: int, at: float) -> None:
        """Take another advertisement; the signal was not measured so far."""
        if at > self.at:
            self.interval += RHYTHM_SMOOTHING * (at - self.at - self.interval)
            self.at = at
        self.rssi = float(rssi)
        self.last_rssi = rssi

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
        said: what callbacks are told but for its RSSI, by whichever radio: the last packet, and of
            the fields that it has not, the last one of each. A tuple of no other class.
        payload: what was parsed last.
        turns: what it says in turns.
        heard: radio -> what it hears.
        best: what the radio hears that `device` is attributed to; None if no radio hears it.
    """

    __slots__ = ("best", "device", "heard", "payload", "said", "turns")

    def __init__(self, device: BLEDevice) -> None:
        self.device = device
        self.said: Fields = (None, {}, {}, [], None, NO_RSSI_VALUE, ())
        self.payload: object = None
        self.turns = Turns()
        self.heard: dict[Radio, Heard] = {}
        self.best: Heard | None = None

    def take(self, fresh: Fields, heard: Heard, earlier: float) -> None:
        """Take what was parsed of `payload`; advertisement and scan response may come apart.

        Args:
            fresh: what was parsed; its lists and dicts are left alone.
            heard: what the radio hears that has just heard it.
            earlier: when that radio had heard the device before, in seconds.
        """
        name, manufacturer_data, service_data, uuids, tx_power, rssi, platform_data = fresh
        if not (
            type(fresh) is tuple
            and type(manufacturer_data) is dict
            and type(service_data) is dict
            and type(uuids) is list
        ):
            # Those of a radio may be of classes of its own; compiled code copies only these.
            manufacturer_data, service_data = dict(manufacturer_data), dict(service_data)
            uuids = list(uuids)
            fresh = (name, manufacturer_data, service_data, uuids, tx_power, rssi, platform_data)
        latest = self.turns.latest
        if (
            len(manufacturer_data) + len(service_data) == 1
            and (latest.only in manufacturer_data or latest.only in service_data)
            and name == latest.name
            and (uuids is latest.uuids or uuids == latest.uuids)
        ):
            # As everything below would have it, for what nearly every advertisement is.
            latest.advertisement = self.said = fresh
            return
        if self.turns.repeats(fresh):
            latest.advertisement = fresh
            self._rename()
        else:
            self._take_turn(fresh, heard, earlier)
        old = self.said
        self.said = (
            name or self.device.name,
            manufacturer_data or old[1],
            service_data or old[2],
            uuids or old[3],
            old[4] if tx_power is None else tx_power,
            rssi,
            platform_data,
        )

    def _take_turn(self, fresh: Fields, heard: Heard, earlier: float) -> None:
        others = (other.at for other in self.heard.values() if other is not heard)
        name, radio = fresh[0], heard.radio
        shortened = (
            name is not None
            and isinstance(radio, NameReader)
            and radio.has_shortened_name(self.payload)
        )
        self.turns.change(fresh, max(earlier, max(others, default=earlier)), shortened)
        self._rename()

    def _rename(self) -> None:
        """Take the name that was said last, unless a better one is known."""
        if self.turns.renames(self.device.name, self._said_since()):
            self.device.name = self.turns.latest.advertisement[0]

    def _said_since(self) -> float:
        """Return the time since which what was said counts, by the device's own rhythm."""
        heard = max(self.heard.values(), key=lambda heard: heard.at, default=None)
        if heard is None:
            return 0.0
        return heard.at - min(max(MISSED * heard.interval, KEPT_AT_LEAST), STALE_AT_MOST)

    def names(self) -> Iterator[str]:
        """Yield every name that the device says, the one that it is called by first."""
        if self.device.name:
            yield self.device.name
        if self.turns.vary:
            yield from self.turns.names(self._said_since())

    def last(self) -> AdvertisementData:
        """Return all that the device says, in whatever turns, as the best radio hears it.

        The lists and dicts are the caller's own.
        """
        best = self.best
        rssi = best.last_rssi if best else NO_RSSI_VALUE
        return self.turns.together(self._said_since(), self.device.name, rssi)

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
        self.device.details["address_type"] = heard.address_type

    def correct(self, heard: Heard, address_type: int) -> None:
        """Take another address type from a radio than it reported before."""
        heard.address_type = address_type
        if heard is self.best:
            self.device.details["address_type"] = address_type

    def address_type(self, radio: Radio) -> int:
        """Return the type to ask a radio with: what it reported itself, else what most did."""
        if heard := self.heard.get(radio):
            return heard.address_type
        # Of types that as many radios reported, that of the best radio counts.
        present: int = self.device.details["address_type"]
        votes = Counter(heard.address_type for heard in self.heard.values())
        return max(votes, key=lambda kind: (votes[kind], kind == present), default=present)

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
