"""Every number of the firmware has a name and a kind, and unknown ones are kept."""

from __future__ import annotations

import pytest
from aioesphomeapi.ble_defs import BLEConnectionError

from proxyconn import ErrorKind
from proxyconn_esphome import ConnectionReason, GattStatus, PairingStatus
from proxyconn_esphome.codes import (
    KIND_OF_REASON,
    kind_of_pairing,
    kind_of_reason,
    kind_of_status,
)
from proxyconn_esphome.link.states import MOVES, LinkEvent, LinkMoveError, LinkState, next_state


def test_reasons_agree_with_aioesphomeapi() -> None:
    """Where aioesphomeapi names a reason, ours has the same name and number."""
    for theirs in BLEConnectionError:
        assert ConnectionReason(theirs.value).name == theirs.name


def test_every_reason_has_a_kind() -> None:
    """The table is complete; a number without a name is OTHER and keeps its number."""
    assert set(KIND_OF_REASON) == set(ConnectionReason)
    unknown = ConnectionReason(0x77)
    assert kind_of_reason(unknown) is ErrorKind.OTHER
    assert str(unknown) == "ConnectionReason_119 (0x77)"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (-2, ErrorKind.TRANSIENT),
        (-1, ErrorKind.TRANSIENT),
        (1, ErrorKind.GATT),
        (5, ErrorKind.SECURITY),
        (8, ErrorKind.SECURITY),
        (12, ErrorKind.SECURITY),
        (15, ErrorKind.SECURITY),
        (132, ErrorKind.TRANSIENT),
        (133, ErrorKind.GATT),
        (137, ErrorKind.SECURITY),
        (141, ErrorKind.SECURITY),
        (142, ErrorKind.SECURITY),
        (143, ErrorKind.TRANSIENT),
        (146, ErrorKind.TRANSIENT),
        (254, ErrorKind.TRANSIENT),
        (257, ErrorKind.TRANSIENT),
        (258, ErrorKind.GATT),
        (259, ErrorKind.DISCONNECTED),
        (199, ErrorKind.GATT),
    ],
)
def test_statuses_have_their_kinds(status: int, kind: ErrorKind) -> None:
    """Statuses are classed as the firmware's meaning of them demands."""
    assert kind_of_status(GattStatus(status)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (-1, ErrorKind.DISCONNECTED),
        (82, ErrorKind.SECURITY),
        (96, ErrorKind.TRANSIENT),
        (97, ErrorKind.SECURITY),
        (99, ErrorKind.LINK_TIMEOUT),
        (100, ErrorKind.SECURITY),
        (102, ErrorKind.DISCONNECTED),
        (4711, ErrorKind.SECURITY),
    ],
)
def test_a_pairing_that_nobody_refused_is_none_of_security(status: int, kind: ErrorKind) -> None:
    """The bond of a device goes by that."""
    assert kind_of_pairing(PairingStatus(status)) is kind


def test_codes_print_name_and_number() -> None:
    """Callers that match text find the name."""
    assert str(ConnectionReason(0x3E)) == "ESP_GATT_CONN_FAIL_ESTABLISH (0x3e)"
    assert str(GattStatus(5)) == "ESP_GATT_INSUF_AUTHENTICATION (0x05)"
    assert str(PairingStatus(82)) == "ESP_AUTH_SMP_PAIR_NOT_SUPPORT (0x52)"


def test_every_link_can_be_ended_and_no_move_is_invented() -> None:
    """DOWN is possible from every state; a move that is not in the table changes nothing."""
    assert set(MOVES) == set(LinkState)
    for state in LinkState:
        assert next_state(state, LinkEvent.DOWN) is LinkState.IDLE
    with pytest.raises(LinkMoveError, match="READY cannot take CONNECT_SENT"):
        next_state(LinkState.READY, LinkEvent.CONNECT_SENT)
