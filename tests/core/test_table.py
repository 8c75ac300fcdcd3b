"""What radios hear, merged: smoothing, rhythm, attribution, callbacks, and what is forgotten."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn import NO_RSSI_VALUE
from proxyconn.advertised.turns import MOST_TURNS
from proxyconn.advertisements.device_table import (
    KEPT_SIGHTINGS,
    MOST_SIGHTINGS,
    SWEEP_EVERY,
    SightingTable,
)
from proxyconn.advertisements.merged_device import (
    MISSED,
    RSSI_SMOOTHING,
    STALE_AFTER,
    STALE_AT_LEAST,
)

from .fake_radio import FakeReport

ONE = 0xC40000000001
ADDRESS = "C4:00:00:00:00:01"


class Source:
    """Enough of a radio to hear; names in small letters are shortened ones."""

    def __init__(self, name: str) -> None:
        self.name = name

    def has_shortened_name(self, payload: bytes) -> bool:
        """Whether there is no capital in it."""
        return payload == payload.lower()


class Scene:
    """A table, and a count of what was parsed."""

    def __init__(self) -> None:
        self.table = SightingTable(lambda address, type_: BLEDevice(address, None, {"type": type_}))
        self.parsed: list[bytes] = []
        self.kitchen: Any = Source("kitchen")
        self.attic: Any = Source("attic")

    def parse(self, payload: bytes) -> AdvertisementData:
        """Read `NAME/UUID:HEX of service data`; the UUID may be left out."""
        self.parsed.append(payload)
        name, _, data = payload.decode().partition("/")
        key, _, value = data.rpartition(":")
        service_data = {key or "0000fe00": value.encode()} if data else {}
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

    scene.table.callbacks.register(fail)
    scene.table.callbacks.register(lambda device, said: every.append(said.rssi))
    scene.table.change_callbacks.register(lambda device, said: changes.append(said.rssi))
    with caplog.at_level(logging.CRITICAL, "proxyconn.advertisements.hearing"):
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


@pytest.mark.parametrize("missing", [0, 1, 20, 127, 200, -128, -300])
def test_no_signal_is_no_signal(scene: Scene, missing: int) -> None:
    """A field that was missing, or no measurement, makes no radio loud; it was heard all the same.

    Listeners are told NO_RSSI_VALUE, the first measurement counts in full.
    """
    told: list[int] = []
    scene.table.callbacks.register(lambda device, said: told.append(said.rssi))
    scene.hear(scene.attic, missing, 0.0)
    scene.hear(scene.kitchen, -50, 0.0)
    for now in range(1, 9):
        scene.hear(scene.attic, missing, float(now))
    sighting = scene.table[ADDRESS]
    far = sighting.heard[scene.attic]
    assert (scene.source, far.rssi, far.last_rssi, far.at) == (
        "kitchen",
        NO_RSSI_VALUE,
        NO_RSSI_VALUE,
        8.0,
    )
    scene.hear(scene.attic, -90, 9.0)
    scene.hear(scene.attic, missing, 10.0)
    assert (far.rssi, far.last_rssi) == (-90.0, -90)
    assert sighting.last().rssi == -50
    assert told == [NO_RSSI_VALUE, -50, *[NO_RSSI_VALUE] * 8, -90, NO_RSSI_VALUE]


def test_a_shortened_name_does_not_replace_a_complete_one(scene: Scene) -> None:
    """Nor one that it does not begin, as long as the complete one is said; it is known all the
    same."""
    for now in range(0, 40, 2):
        scene.hear(scene.kitchen, -50, float(now), b"Kettle 2/01")
        scene.hear(scene.kitchen, -50, now + 1.0, b"ktl/02")
        assert scene.table[ADDRESS].device.name == "Kettle 2"
        assert set(scene.table[ADDRESS].names()) == {"Kettle 2", "ktl"}
        assert scene.table[ADDRESS].last().local_name == "Kettle 2"


def test_a_complete_name_replaces_any(scene: Scene) -> None:
    """A shortened one is only the best there is; a device may be renamed to less."""
    scene.hear(scene.kitchen, -50, 0.0, b"kett")
    assert scene.table[ADDRESS].device.name == "kett"
    scene.hear(scene.kitchen, -50, 1.0, b"kettle 2")
    assert scene.table[ADDRESS].device.name == "kettle 2"
    scene.hear(scene.kitchen, -50, 2.0, b"kettle")
    assert scene.table[ADDRESS].device.name == "kettle 2"
    scene.hear(scene.kitchen, -50, 3.0, b"Kettle")
    assert scene.table[ADDRESS].device.name == "Kettle"
    for now in range(4, 200):
        scene.hear(scene.kitchen, -50, float(now), b"oven/%d" % now)
    assert scene.table[ADDRESS].device.name == "oven"


def test_what_is_said_in_turns_is_known_together(scene: Scene) -> None:
    """By key, the newest value of each; a callback hears each packet as it was."""
    told: list[dict[str, bytes]] = []
    scene.table.callbacks.register(lambda device, said: told.append(said.service_data))
    for now in range(30):
        scene.hear(scene.kitchen, -60, float(now), b"Kettle/ec88:%d" % now)
        scene.hear(scene.attic, -50, now + 0.3, b"Kettle/004c:%d" % now)
        scene.hear(scene.kitchen, -60, now + 0.6, b"/aa:1")
    last = scene.table[ADDRESS].last()
    assert last.service_data == {"ec88": b"29", "004c": b"29", "aa": b"1"}
    assert (last.local_name, last.rssi) == ("Kettle", -50)
    assert [*map(list, told)] == [["ec88"], ["004c"], ["aa"]] * 30


def test_what_is_said_no_more_is_dropped(scene: Scene) -> None:
    """A device that speaks another format now does not show both for long."""
    for now in range(60):
        scene.hear(scene.kitchen, -50, float(now), b"Kettle/fe95:1")
    scene.hear(scene.kitchen, -50, 60.0, b"Kettle/fcd2:0")
    assert set(scene.table[ADDRESS].last().service_data) == {"fe95", "fcd2"}
    for now in range(61, 100):
        scene.hear(scene.kitchen, -50, float(now), b"Kettle/fcd2:1")
    assert set(scene.table[ADDRESS].last().service_data) == {"fcd2"}


def test_sorts_of_packets_are_bounded(scene: Scene) -> None:
    """A device that says something else each time keeps what it said last, and its name."""
    for number in range(1000):
        scene.hear(scene.kitchen, -50, number / 1000, b"/%d:1" % number)
    said = set(scene.table[ADDRESS].last().service_data)
    assert said == {str(number) for number in range(1000 - MOST_TURNS, 1000)}


def test_who_unsubscribes_in_a_batch_is_not_called_for_the_rest(scene: Scene) -> None:
    """Neither the one that does so nor one that is taken out by another."""
    calls: list[str] = []

    def leave(device: BLEDevice, said: AdvertisementData) -> None:
        calls.append("leave")
        for remove in removes:
            remove()

    removes = [
        scene.table.callbacks.register(leave),
        scene.table.callbacks.register(lambda device, said: calls.append("other")),
    ]
    reports = [FakeReport(ONE + number, 1, -50, b"kettle") for number in range(5)]
    scene.table.hear(scene.kitchen, reports, scene.parse, 0.0)
    assert calls == ["leave"]


@pytest.mark.parametrize("interval", [240.0, 600.0])
def test_slow_devices_are_remembered(scene: Scene, interval: float) -> None:
    """One that advertises once in ten minutes is not forgotten before its second time, nor later;
    a pair of packets at once is no faster rhythm."""
    lost: list[BLEDevice] = []
    scene.table.lost_callbacks.register(lost.append)
    for count in range(20):
        now = count * interval
        scene.table.sweep(now, keep=())
        for _ in range(3):
            scene.hear(scene.kitchen, -50, now)
        for later in range(60, int(interval), 60):
            scene.table.sweep(now + later, keep=())
    assert lost == []
    scene.table.sweep(20 * interval + STALE_AFTER, keep=())
    assert [device.address for device in lost] == [ADDRESS]


def test_a_device_is_lost_once_by_its_own_rhythm(scene: Scene) -> None:
    """Whether it went silent, or the only radio left that heard it; not while it is connected."""
    lost: list[str] = []
    scene.table.lost_callbacks.register(lambda device: lost.append(device.address))
    for now in range(100):
        scene.hear(scene.kitchen, -50, float(now))
        scene.hear(scene.kitchen, -50, float(now), number=ONE + 1)
    scene.hear(scene.kitchen, -50, 99.0, number=ONE + 2)
    scene.table.forget_silent(99.0 + STALE_AT_LEAST, keep=())
    assert lost == []
    scene.table.forget_silent(100.0 + STALE_AT_LEAST, keep=(ADDRESS,))
    assert lost == ["C4:00:00:00:00:02"]
    scene.table.forget_silent(101.0 + STALE_AT_LEAST, keep=())
    assert lost == ["C4:00:00:00:00:02", ADDRESS]
    scene.table.forget_radio(scene.kitchen)
    assert lost == ["C4:00:00:00:00:02", ADDRESS, "C4:00:00:00:00:03"]


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


def note(said: list[AdvertisementData], device: BLEDevice, data: AdvertisementData) -> None:
    """Take an advertisement."""
    said.append(data)


def test_a_batch_of_many_devices_is_heard_as_its_reports_one_by_one() -> None:
    """Known ones and new ones, twice in a batch too, when hundreds are known."""
    once, each = Scene(), Scene()
    told: list[list[AdvertisementData]] = [[], []]
    for scene, said in zip((once, each), told, strict=True):
        take = partial(note, said)
        scene.table.callbacks.register(take)
        scene.table.change_callbacks.register(take)
    for turn in range(4):
        numbers = [*range(400), *range(0, 400, 7), *range(400, 401 + turn // 2), 400]
        reports = [
            FakeReport(ONE + number, 1, -50 - place % 40, b"N/1:%d" % (number % 5 * turn))
            for place, number in enumerate(numbers)
        ]
        once.table.hear(once.kitchen, reports, once.parse, float(turn))
        for report in reports:
            each.table.hear(each.kitchen, (report,), each.parse, float(turn))
    assert told[0] == told[1]
    assert once.parsed == each.parsed
    for address, sighting in once.table.items():
        assert sighting.rssi() == each.table[address].rssi()
