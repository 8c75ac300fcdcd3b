"""What listeners are given is theirs: of bleak's and Python's own classes, and as it was heard."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn import NO_RSSI_VALUE
from proxyconn.advertised.memory import new_tuple

from .fake_radio import FakeReport
from .test_table import ADDRESS, ONE, Scene


@pytest.fixture
def scene() -> Scene:
    """Return a fresh one."""
    return Scene()


def test_what_a_listener_is_given_is_its_own(scene: Scene) -> None:
    """Whatever it does to it, another one hears what was said, now and later."""
    heard: list[AdvertisementData] = []

    def spoil(device: BLEDevice, said: AdvertisementData) -> None:
        said.service_data.clear()
        said.manufacturer_data[1] = b"spoilt"
        said.service_uuids.append("spoilt")

    scene.table.callbacks.register(spoil)
    scene.table.callbacks.register(lambda device, said: heard.append(said))
    scene.table.change_callbacks.register(spoil)
    for now in range(2):
        scene.hear(scene.kitchen, -50, float(now), b"kettle/aa")
        spoil(scene.table[ADDRESS].device, scene.table[ADDRESS].last())
        scene.hear(scene.kitchen, -50, now + 0.5, b"kettle/aa", number=ONE + 1)
    expected = AdvertisementData("kettle", {}, {"0000fe00": b"aa"}, [], None, -50, ())
    assert heard == [expected] * 4
    assert scene.table[ADDRESS].last() == expected


def test_what_a_listener_keeps_stays_as_it_was(scene: Scene) -> None:
    """It is bleak's, whatever is heard later, and whatever else is not kept."""
    kept: list[AdvertisementData] = []
    scene.table.callbacks.register(
        lambda device, said: kept.append(said) if said.rssi & 1 else None
    )
    for count in range(60):
        scene.hear(scene.kitchen, -99 + count, float(count), b"/%02d" % (count // 3))
    assert {type(said) for said in kept} == {AdvertisementData}
    assert [(said.rssi, said.service_data) for said in kept] == [
        (-99 + count, {"0000fe00": b"%02d" % (count // 3)}) for count in range(0, 60, 2)
    ]


def test_a_radio_may_have_classes_of_its_own(scene: Scene) -> None:
    """What callbacks are told is made of plain dicts and lists all the same."""

    class Uuids(list[str]):
        """A list of one's own."""

    def parse(payload: bytes) -> AdvertisementData:
        services = OrderedDict({"0000fe00": payload})
        return AdvertisementData(
            "kettle", OrderedDict({1: payload}), services, Uuids(["a"]), None, NO_RSSI_VALUE, ()
        )

    told: list[AdvertisementData] = []
    scene.table.callbacks.register(lambda device, said: told.append(said))
    for data in (b"1", b"2"):
        scene.table.hear(scene.kitchen, [FakeReport(ONE, 1, -50, data)], parse, 0.0)
    kinds = (dict, dict, list)
    assert [tuple(map(type, said[1:4])) for said in told] == [kinds, kinds]
    assert [said.manufacturer_data for said in told] == [{1: b"1"}, {1: b"2"}]


def test_a_class_with_attributes_of_its_own_has_room_for_them() -> None:
    """Bleak's class of advertisements may have some one day."""

    class WithAttributes(AdvertisementData):
        extra: int

    made = new_tuple(WithAttributes, ("kettle", {}, {}, [], None, -50, ()))
    made.extra = 1
    assert (type(made), made.rssi, made.extra) == (WithAttributes, -50, 1)
