"""The address type of a device: what each radio reports of it, and what one is asked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import mac_to_int

from proxyconn import NO_RSSI_VALUE
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute

from .fake_radio import FakeRadio, FakeReport

ADDRESS = "C4:00:00:00:00:01"
KITCHEN, ATTIC, HALL, CELLAR = names = ("kitchen", "attic", "hall", "cellar")


class Scene:
    """A hub with four radios."""

    def __init__(self) -> None:
        self.hub = Hub(DeviceRoute, {})
        self.radios = {name: FakeRadio(self.hub, name) for name in names}

    def hear(self, name: str, address_type: int, rssi: int = -60) -> None:
        """Let a radio hear the device; what it says is always the same."""
        report = FakeReport(mac_to_int(ADDRESS), address_type, rssi, b"")
        self.hub.heard(self.radios[name], (report,), _parse)

    def asked_with(self, name: str) -> int:
        """Return the type that a radio would be asked with."""
        return self.hub.sightings[ADDRESS].address_type(self.radios[name])

    @property
    def shown(self) -> Any:
        """The type that users see."""
        return self.hub.sightings[ADDRESS].device.details["address_type"]


def _parse(payload: bytes) -> AdvertisementData:
    return AdvertisementData(None, {}, {}, [], None, NO_RSSI_VALUE, ())


@pytest.fixture
async def scene() -> Scene:
    """Return a fresh one."""
    return Scene()


async def test_each_radio_is_asked_with_what_it_reported(scene: Scene) -> None:
    """Whoever spoke first does not decide for the others; users see that of the best radio."""
    scene.hear(KITCHEN, 0, -70)
    scene.hear(ATTIC, 1, -50)
    assert (scene.asked_with(KITCHEN), scene.asked_with(ATTIC)) == (0, 1)
    assert scene.shown == 1


async def test_last_report_counts(scene: Scene) -> None:
    """Though the device says what it said before."""
    scene.hear(KITCHEN, 0)
    scene.hear(KITCHEN, 1)
    assert scene.asked_with(KITCHEN) == 1
    assert scene.shown == 1


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ({KITCHEN: 0, ATTIC: 1, HALL: 1}, 1),
        ({KITCHEN: 0, ATTIC: 0, HALL: 1}, 0),
        ({KITCHEN: 1, ATTIC: 0}, 1),
        ({KITCHEN: 0, ATTIC: 1}, 0),
    ],
)
async def test_radio_that_has_not_heard_it_gets_the_majority(
    scene: Scene, reports: Mapping[str, int], expected: int
) -> None:
    """Of as many, the best radio's: here the first one's."""
    for name, address_type in reports.items():
        scene.hear(name, address_type, -50 if name == KITCHEN else -70)
    assert scene.asked_with(CELLAR) == expected
