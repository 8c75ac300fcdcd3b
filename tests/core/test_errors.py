"""Errors: classification, words, advice, completeness of the table."""

from __future__ import annotations

import pytest
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from proxyconn import (
    BLEAK_RETRY_EXCEPTIONS,
    Allocations,
    BleakAbortedError,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    GATTError,
    OutOfSlotsError,
    calculate_backoff_time,
)
from proxyconn.errors import AttemptTimeoutError
from proxyconn.failures.advice import advise
from proxyconn.failures.rules import RULES, Failure, classify

from .failure_table import TABLE, Row


def test_every_kind_has_a_rule_and_a_true_sentence() -> None:
    """No kind falls through the table, and each has advice that is one or two sentences."""
    assert set(RULES) == set(ErrorKind)
    for kind in ErrorKind:
        assert advise(kind).endswith(".")


@pytest.mark.parametrize(
    "error",
    [
        BleakNotFoundError,
        BleakOutOfConnectionSlotsError,
        BleakAbortedError,
        BleakConnectionError,
    ],
)
def test_the_four_errors_are_bleak_errors_made_from_a_message(error: type[BleakError]) -> None:
    """Callers may raise them with just a message, as with bleak-retry-connector."""
    made = error("words")
    assert isinstance(made, BleakError)
    assert str(made) == "words"


def test_gatt_error_is_bleaks_own() -> None:
    """What catches bleak's protocol error by number catches ours."""
    with pytest.raises(BleakGATTProtocolError) as caught:
        raise GATTError("kitchen: handle 3: refused", 0x03)
    assert caught.value.code == 0x03
    assert str(caught.value) == "kitchen: handle 3: refused"


def test_words_do_not_outweigh_types() -> None:
    """A typed error keeps its kind whatever its text says."""
    worded = GATTError("no connection slot, ESP_GATT_ERROR, Disconnected", 0x85)
    failure = classify(worded)
    assert failure is not None
    assert failure.kind is ErrorKind.GATT
    missing = classify(BleakCharacteristicNotFoundError("2a00"))
    assert missing is not None
    assert missing.kind is ErrorKind.OTHER
    slow = classify(TimeoutError("Disconnected: ESP_GATT_ERROR, device not found"))
    assert slow is not None
    assert slow.kind is ErrorKind.TIMEOUT


def test_timeout_of_a_wait_for_a_slot_is_out_of_slots() -> None:
    """bleak-esphome reports full proxies as a TimeoutError, told apart only by its words."""
    full = classify(TimeoutError("No free BLE connection slot within 2 s"))
    assert full is not None
    assert full.kind is ErrorKind.OUT_OF_SLOTS
    named = classify(TimeoutError("connection slot kettle: no answer"), ["connection slot kettle"])
    assert named is not None
    assert named.kind is ErrorKind.TIMEOUT


def test_dbus_details_are_read_but_not_for_common_words() -> None:
    """'not found' in a D-Bus detail is BlueZ's answer, not a missing device."""
    failure = classify(BleakDBusError("org.bluez.Error.Failed", ["Not connected, not found"]))
    assert failure is not None
    assert failure.kind is ErrorKind.DBUS


def test_what_is_not_bluetooth_is_not_classified() -> None:
    """A defect is nobody's retry."""
    assert classify(ValueError("x")) is None
    assert classify(OSError("x")) is None
    assert calculate_backoff_time(ValueError("x")) == 0.1
    for exception in BLEAK_RETRY_EXCEPTIONS:
        assert issubclass(exception, Exception)


FULL = Allocations("kitchen", 3, 0, ["A", "B", "C"])
FREE = Allocations("kitchen", 3, 2, ["A"])


def test_advice_is_true_of_the_slots() -> None:
    """Full slots, free slots and a device that never answered are three different sentences."""
    assert "3 of 3 slots of kitchen are in use by A, B, C" in advise(ErrorKind.OUT_OF_SLOTS, FULL)
    assert "2 of 3 slots free again" in advise(ErrorKind.OUT_OF_SLOTS, FREE)
    cancelled = ErrorKind.CONNECT_CANCELLED
    assert "in use by A, B, C" in advise(cancelled, FULL, 0.1)
    assert "slots of kitchen were free: the controller rejected it" in advise(cancelled, FREE, 0.1)
    assert "gave up after 20 s without an answer" in advise(cancelled, FULL, 20.0)


def test_a_failure_names_kind_code_and_radio() -> None:
    """What is known of an error by its type is known of the failure."""
    full = OutOfSlotsError(
        "full", code=BleakGATTProtocolErrorCode.INSUFFICIENT_RESOURCE, source="kitchen"
    )
    assert classify(full) == Failure(
        ErrorKind.OUT_OF_SLOTS, BleakGATTProtocolErrorCode.INSUFFICIENT_RESOURCE, "kitchen"
    )
    slow = AttemptTimeoutError("too slow", "kitchen")
    assert classify(slow) == Failure(ErrorKind.TIMEOUT, source="kitchen")
    refused = BleakGATTProtocolError(BleakGATTProtocolErrorCode.READ_NOT_PERMITTED)
    assert classify(refused) == Failure(
        ErrorKind.GATT, BleakGATTProtocolErrorCode.READ_NOT_PERMITTED
    )
    assert classify(ValueError("no failure of Bluetooth")) is None


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_each_failure_of_the_contract_has_its_kind_and_wait(row: Row) -> None:
    """Whether by type, number or words."""
    failure = classify(row.error)
    assert failure is not None
    assert failure.kind is row.kind
    assert calculate_backoff_time(row.error) == row.wait


def test_a_name_in_the_words_of_an_error_is_none_of_them() -> None:
    """Whatever the device is called."""
    error = BleakError("connection slot: Disconnected")
    assert classify(error, ["connection slot"]) == Failure(ErrorKind.DISCONNECTED)
    assert classify(error) == Failure(ErrorKind.OUT_OF_SLOTS)
    assert classify(BleakError("whatever")) == Failure(ErrorKind.OTHER)


def test_words_of_dbus_errors_are_read_without_the_device_name() -> None:
    """BlueZ puts few words into an error; a name in them is none of them."""
    error = BleakDBusError("org.bluez.Error.Failed", ["connection slot: le-connection-abort"])
    assert classify(error, ["connection slot"]) == Failure(ErrorKind.DBUS)
    assert classify(error) == Failure(ErrorKind.OUT_OF_SLOTS)
    assert classify(BleakDBusError("org.bluez.Error.Failed", [])) == Failure(ErrorKind.DBUS)


@pytest.mark.parametrize(
    ("kinds", "blamed"),
    [
        (
            {
                ErrorKind.SERVICES_CHANGED,
                ErrorKind.SECURITY,
                ErrorKind.GATT,
                ErrorKind.RADIO_BUSY,
                ErrorKind.FLEET_CLOSED,
                ErrorKind.IN_USE,
                ErrorKind.OTHER,
            },
            False,
        ),
        ({ErrorKind.TIMEOUT, ErrorKind.OUT_OF_SLOTS, ErrorKind.RADIO_UNAVAILABLE}, True),
    ],
)
def test_which_failures_are_held_against_the_radio(kinds: set[ErrorKind], blamed: bool) -> None:
    """The device's refusals and the caller's mistakes are not."""
    for kind in kinds:
        assert Failure(kind).rule.path_failed is blamed


def test_only_a_full_proxy_is_waited_for_less_long() -> None:
    """After a cancelled connect its controller is cleaning up, and a report says nothing."""
    assert [kind for kind, rule in RULES.items() if rule.slot_may_end_wait] == [
        ErrorKind.OUT_OF_SLOTS
    ]
