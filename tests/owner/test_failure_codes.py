"""What a client is told of each failure: the number that makes it do the right thing."""

from __future__ import annotations

import pytest
from bleak.exc import BleakError, BleakGATTProtocolError

from proxyconn.errors import (
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    OutOfSlotsError,
    PairingError,
    RadioUnavailableError,
)
from proxyconn_esphome import ConnectionReason
from proxyconn_owner.serving.failure_codes import (
    ATT_UNLIKELY,
    BUSY,
    ESP_GATT_ERROR,
    NO_SLOT,
    NOT_CONNECTED,
    NOT_ESTABLISHED,
    PAIRING_FAILED,
    PEER_GONE,
    TIMEOUT,
    pairing_code_of,
    reason_of,
    status_of,
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfSlotsError("none"), NO_SLOT),
        (LinkError("another has it", kind=ErrorKind.IN_USE), BUSY),
        (LinkError("it connects", kind=ErrorKind.RADIO_BUSY), BUSY),
        (LinkError("it connects", kind=ErrorKind.CONTROLLER_BUSY), BUSY),
        (LinkError("too long", kind=ErrorKind.TIMEOUT), TIMEOUT),
        (LinkError("nobody hears it", kind=ErrorKind.DEVICE_NOT_FOUND), ESP_GATT_ERROR),
        (LinkError("it left", kind=ErrorKind.DISCONNECTED), PEER_GONE),
        (LinkError("in vain", kind=ErrorKind.TRANSIENT), NOT_ESTABLISHED),
        (LinkError("in vain", kind=ErrorKind.TRANSIENT, code=ConnectionReason(0x16)), 0x16),
        (RadioUnavailableError("it is gone"), ESP_GATT_ERROR),
        (TimeoutError(), TIMEOUT),
        (BleakError("whatever"), ESP_GATT_ERROR),
        (EOFError(), ESP_GATT_ERROR),
    ],
)
def test_an_attempt_that_failed(error: BaseException, reason: int) -> None:
    """The radio's own number counts; without one, that which stands for the kind of failure."""
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GATTError("not permitted", 0x02), 0x02),
        (NotConnectedError("no link"), NOT_CONNECTED),
        (BleakGATTProtocolError(0x0D), 0x0D),
        (BleakError("whatever"), ATT_UNLIKELY),
        (ValueError("too long"), ATT_UNLIKELY),
    ],
)
def test_an_operation_that_failed(error: BaseException, status: int) -> None:
    """The device's own number counts, and that there is no link."""
    assert status_of(error) == status


def test_a_pairing_that_failed() -> None:
    """Never as done, whatever is known of why."""
    assert pairing_code_of(PairingError("refused", code=ConnectionReason(82))) == 82
    assert pairing_code_of(PairingError("refused")) == PAIRING_FAILED
    assert pairing_code_of(TimeoutError()) == PAIRING_FAILED
