"""The table of services finds what bleak's own finds, and does not go through it for that."""

from __future__ import annotations

from uuid import UUID

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from proxyconn.service_table import ServiceTable

BATTERY, MODEL, TWICE = (
    f"0000{short}-0000-1000-8000-00805f9b34fb" for short in ("2a19", "2a24", "2a37")
)


def filled(table: BleakGATTServiceCollection) -> BleakGATTServiceCollection:
    """Return a table with three UUIDs, one of them twice."""
    service = BleakGATTService(None, 1, "0000180f-0000-1000-8000-00805f9b34fb")
    table.add_service(service)
    for handle, uuid in ((3, BATTERY), (5, MODEL), (7, TWICE), (9, TWICE)):
        table.add_characteristic(
            BleakGATTCharacteristic(None, handle, uuid, ["read"], lambda: 20, service)
        )
    return table


@pytest.fixture
def ours() -> BleakGATTServiceCollection:
    """Return our table."""
    return filled(ServiceTable())


@pytest.mark.parametrize(
    "specifier",
    [3, 5, 7, 9, 4, BATTERY, BATTERY.upper(), UUID(BATTERY), "2a19", "2A24", MODEL, "2a00"],
    ids=str,
)
def test_what_is_found(ours: BleakGATTServiceCollection, specifier: int | str | UUID) -> None:
    """By handle and by any form of a UUID it is what bleak finds, or None as there."""
    theirs = filled(BleakGATTServiceCollection()).get_characteristic(specifier)
    found = ours.get_characteristic(specifier)
    assert (found and found.handle) == (theirs and theirs.handle)


@pytest.mark.parametrize("specifier", [TWICE, UUID(TWICE), "2a37"], ids=str)
def test_a_uuid_that_several_have(ours: BleakGATTServiceCollection, specifier: str | UUID) -> None:
    """Which one is meant cannot be known, and bleak's own error says what to do."""
    with pytest.raises(BleakError, match="Multiple Characteristics"):
        ours.get_characteristic(specifier)


def test_the_table_is_not_gone_through(
    ours: BleakGATTServiceCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A UUID in full is found without a look at the others."""

    def gone_through(self: BleakGATTServiceCollection) -> None:
        pytest.fail("the whole table was looked at")

    monkeypatch.setattr(BleakGATTServiceCollection, "characteristics", property(gone_through))
    for specifier in (BATTERY, UUID(MODEL)):
        assert ours.get_characteristic(specifier) is not None
