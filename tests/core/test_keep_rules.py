"""What an error means to a connection that is kept."""

from __future__ import annotations

import pytest
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from proxyconn import BleakConnectionError, ErrorKind, GATTError, InvalidKeyError
from proxyconn.failures.keep_rules import ends_keeping, means_stale_services


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (AttributeError("services"), True),
        (KeyError("word"), True),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), True),
        (ZeroDivisionError(), True),
        (BleakConnectionError("closed", kind=ErrorKind.FLEET_CLOSED), True),
        (ExceptionGroup("both", [BleakError(), ExceptionGroup("one", [NameError()])]), True),
        (ExceptionGroup("both", [BleakError(), TimeoutError()]), False),
        (InvalidKeyError("not a key"), False),
        (BleakConnectionError("held", kind=ErrorKind.IN_USE), False),
        (BleakConnectionError("passive", kind=ErrorKind.UNSUPPORTED), False),
        (ConnectionResetError(), False),
        (RuntimeError(), False),
    ],
)
def test_only_what_no_other_try_can_help_ends_it(error: Exception, ends: bool) -> None:
    """Defects of the code and the end of the fleet do, also in a group; Bluetooth never does."""
    assert ends_keeping(error) is ends


@pytest.mark.parametrize(
    ("error", "stale"),
    [
        (BleakCharacteristicNotFoundError("2a19"), True),
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode.INVALID_HANDLE), True),
        (GATTError("kitchen: handle 3", 0x01), True),
        (GATTError("kitchen: handle 3", 0x03), True),
        (GATTError("kitchen: handle 3", 0x0A), True),
        (GATTError("kitchen: handle 3", 0x05, kind=ErrorKind.SECURITY), False),
        (GATTError("kitchen: handle 3", 0x85), False),
        (ExceptionGroup("both", [TimeoutError(), GATTError("kitchen: handle 3", 0x01)]), True),
        (BleakError("Characteristic 2a19 was not found!"), False),
    ],
)
def test_a_missing_characteristic_or_handle_is_a_stale_table(error: Exception, stale: bool) -> None:
    """By type and number, never by words."""
    assert means_stale_services(error) is stale
