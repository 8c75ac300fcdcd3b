"""What a BLEDevice tells about its source."""

from __future__ import annotations

import pytest
from bleak.backends.device import BLEDevice

from proxyconn import ble_device_description, device_source


@pytest.mark.parametrize(
    ("device", "description", "source"),
    [
        (BLEDevice("AA", "Kettle", {"source": "kitchen"}), "AA - Kettle -> kitchen", "kitchen"),
        (
            BLEDevice("AA", "Kettle", {"path": "/org/bluez/hci2/dev_AA"}),
            "AA - Kettle -> /org/bluez/hci2",
            None,
        ),
        (BLEDevice("AA", "AA", {}), "AA", None),
        (BLEDevice("AA", None, None), "AA - None", None),
    ],
)
def test_description_and_source(device: BLEDevice, description: str, source: str | None) -> None:
    """Address, name where it differs, then BlueZ path or source."""
    assert ble_device_description(device) == description
    assert device_source(device) == source
