"""What radios hear, merged: smoothing, rhythm, attribution, callbacks, and what is forgotten."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn import NO_RSSI_VALUE
from proxyconn._sightings import MISSED, RSSI_SMOOTHING, STALE_AFTER, STALE_AT_LEAST
from proxyconn._table import KEPT_SIGHTINGS, MOST_SIGHTINGS, SWEEP_EVERY, SightingTable

from .fake_radio import FakeReport

ONE = 0xC40000000001
ADDRESS = "C4:00:00:00:00:01"


class Source:
    """Enough of a radio to hear."""

    def __init__(self, name: str) -> None:
        self.name = name


class Scene:
    """A table, and a count of what was parsed."""

    def __init__(self) -> None:
        self.table = SightingTable(lambda address, type_: BLEDevice(address, None, {"type": type_}))
        self.parsed: list[bytes] = []
        self.kitchen: Any = Source("kitchen")
        self.attic: Any = Source("attic")

    def parse(self, payload: bytes) -> AdvertisementData:
        """Read `NAME/HEX of service data`."""
        self.parsed.append(payload)
        name, _, data = payload.decode().partition("/")
        service_data = {"0000fe00": data.encode()} if data else {}
        return AdvertisementData(name or None, {}, service_data, [], None, NO_RSSI_VALUE, ())

    def hear(
        self, radio: Any, rssi: int, now: float, data: bytes = b"kettle", number: int = ONE
    ) -> None:
        """Let a radio hear one advertisement."""
        self.table.hear(radio, (FakeReport(number, 1, rssi, data),), self.parse, now)

    @property
    def source(self) -> str:
        """The radio that the device is attributed to."""
        return str(self.table[ADDRESS].device.details["source"])


@pytest.fixture
def scene() -> Scene:
    """Return a fresh one."""
    return Scene()


def test_one_loud_advertisement_changes_little(scene: Scene) -> None:
    """The signal is smoothed, and with it the attribution."""
    scene.hear(scene.kitchen, -60, 0.0)
    scene.hear(scene.attic, -70, 0.0)
    scene.hear(scene.attic, -50, 1.0)
    assert scene.table[ADDRESS].heard[scene.attic].rssi == pytest.approx(-70 + RSSI_SMOOTHING * 20)
    assert scene.source == "kitchen"
    for now in range(2, 12):
        scene.hear(scene.attic, -50, float(now))
    assert scene.source == "attic"


def test_five_decibels_are_needed(scene: Scene) -> None:
    """Hysteresis: a radio that is a little louder does not take the device over."""
    scene.hear(scene.kitchen, -60, 0.0)
    scene.hear(scene.attic, -56, 0.0)
    assert scene.source == "kitchen"
    third = Source("hall")
    scene.hear(third, -55, 0.0)
    assert scene.source == "hall"


def test_a_silent_radio_loses_the_device(scene: Scene) -> None:
    """Silence is measured by the device's own rhythm."""
    for now in range(100):
        scene.hear(scene.kitchen, -50, float(now))
    scene.hear(scene.attic, -90, 99.0 + STALE_AT_LEAST)
    assert scene.source == "kitchen"
    scene.hear(scene.attic, -90, 100.0 + STALE_AT_LEAST)
    assert scene.source == "attic"


@pytest.mark.parametrize(
    ("interval", "patience"), [(1.0, STALE_AT_LEAST), (10.0, MISSED * 10.0), (300.0, 900.0)]
)
def test_patience_follows_the_rhythm(scene: Scene, interval: float, patience: float) -> None:
    """Twelve advertisements may be missed, within bounds; a rhythm not known yet has its own."""
    scene.hear(scene.kitchen, -50, 0.0)
    heard = scene.table[ADDRESS].heard[scene.kitchen]
    assert heard.patience == pytest.approx(STALE_AFTER)
    for count in range(1, 60):
        scene.hear(scene.kitchen, -50, count * interval)
    assert heard.patience == pytest.approx(patience, rel=0.01)


def test_a_payload_is_parsed_once(scene: Scene) -> None:
    """However often and by whomever it is heard."""
    for now in range(5):
        scene.hear(scene.kitchen, -50, float(now))
        scene.hear(scene.attic, -60, float(now))
    assert scene.parsed == [b"kettle"]


def test_what_was_said_is_kept(scene: Scene) -> None:
    """A packet without the name does not take it away, nor one without the data."""
    scene.hear(scene.kitchen, -50, 0.0, b"kettle")
    scene.hear(scene.kitchen, -51, 1.0, b"/aa")
    sighting = scene.table[ADDRESS]
    assert sighting.device.name == "kettle"
    assert sighting.last() == AdvertisementData(
        "kettle", {}, {"0000fe00": b"aa"}, [], None, -51, ()
    )


def test_callbacks_hear_all_or_only_changes(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Those who asked for changes get no repetition; one that fails does not deafen the others."""
    every: list[int] = []
    changes: list[int] = []

    def fail(device: BLEDevice, advertisement: AdvertisementData) -> None:
        raise RuntimeError("defect")

    scene.table.callbacks += [fail, lambda device, said: every.append(said.rssi)]
    scene.table.change_callbacks.append(lambda device, said: changes.append(said.rssi))
    with caplog.at_level(logging.CRITICAL, "proxyconn._table"):
        scene.hear(scene.kitchen, -50, 0.0)
        scene.hear(scene.kitchen, -51, 1.0)
        scene.hear(scene.attic, -52, 1.0)
        scene.hear(scene.kitchen, -53, 2.0, b"kettle/01")
    assert every == [-50, -51, -52, -53]
    assert changes == [-50, -53]


def test_a_radio_that_leaves_takes_along_what_only_it_heard(scene: Scene) -> None:
    """What others hear is attributed to the loudest of them."""
    scene.hear(scene.kitchen, -50, 0.0)
    scene.hear(scene.attic, -60, 0.0)
    scene.hear(scene.kitchen, -50, 0.0, number=ONE + 1)
    scene.table.forget_radio(scene.kitchen)
    assert list(scene.table) == [ADDRESS]
    assert scene.source == "attic"


def test_a_radio_that_cannot_be_used_keeps_no_device(scene: Scene) -> None:
    """Its devices are attributed to the loudest of those that can, until it is heard from again."""
    scene.hear(scene.kitchen, -50, 0.0)
    scene.hear(scene.attic, -60, 0.0)
    scene.table.leave_radio(scene.kitchen, {scene.attic})
    assert scene.source == "attic"
    scene.hear(scene.kitchen, -50, 1.0)
    assert scene.source == "kitchen"


def test_a_signal_that_is_not_known_changes_nothing(scene: Scene) -> None:
    """BlueZ tells none of a device that is connected."""
    scene.hear(scene.kitchen, -50, 0.0)
    scene.hear(scene.kitchen, NO_RSSI_VALUE, 1.0)
    assert scene.table[ADDRESS].heard[scene.kitchen].rssi == -50
    assert scene.table[ADDRESS].last().rssi == -50
    assert scene.table[ADDRESS].heard[scene.kitchen].at == 1.0


def test_silent_devices_are_forgotten(scene: Scene) -> None:
    """But not those that are linked, and not too often."""
    scene.hear(scene.kitchen, -50, 0.0)
    scene.hear(scene.kitchen, -50, 0.0, number=ONE + 1)
    late = STALE_AFTER + SWEEP_EVERY
    assert not scene.table.sweep(SWEEP_EVERY / 2, keep=())
    assert scene.table.sweep(late, keep=("C4:00:00:00:00:02",))
    assert list(scene.table) == ["C4:00:00:00:00:02"]
    scene.hear(scene.kitchen, -50, late)
    assert len(scene.table) == 2


def test_memory_is_bounded_whatever_changes_its_address(scene: Scene) -> None:
    """The devices heard longest ago make room, long before they are stale."""
    for number in range(MOST_SIGHTINGS + 1):
        now = number / 1000
        scene.table.sweep(now, keep=())
        scene.hear(scene.kitchen, -50, now, number=ONE + number)
    assert len(scene.table) <= KEPT_SIGHTINGS + 2
    newest = f"C4:00:00:00:{(MOST_SIGHTINGS + 1) >> 8:02X}:{(MOST_SIGHTINGS + 1) & 0xFF:02X}"
    assert newest in scene.table
    assert ADDRESS not in scene.table
