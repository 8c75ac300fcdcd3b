"""The kernel's Bluetooth management interface as bytes (BlueZ doc/mgmt-api.txt; little endian)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from proxyconn.radio import ConnectionParameters

LOAD_CONNECTION_PARAMETERS = 0x0035
"""Command "Load Connection Parameters"."""

COMMAND_COMPLETE = 0x0001
COMMAND_STATUS = 0x0002

LE_PUBLIC = 1
LE_RANDOM = 2

_HEADER = Struct("<HHH")  # opcode or event, controller index, length of what follows
_REPLY = Struct("<HB")  # opcode, status
_PARAMETERS = Struct("<H6sBHHHH")  # count, address, its type, min, max, latency, timeout


class ManagementStatus(IntEnum):
    """Status of a command (mgmt-api.txt, "Error Codes")."""

    SUCCESS = 0x00
    UNKNOWN_COMMAND = 0x01
    NOT_CONNECTED = 0x02
    FAILED = 0x03
    CONNECT_FAILED = 0x04
    AUTHENTICATION_FAILED = 0x05
    NOT_PAIRED = 0x06
    NO_RESOURCES = 0x07
    TIMEOUT = 0x08
    ALREADY_CONNECTED = 0x09
    BUSY = 0x0A
    REJECTED = 0x0B
    NOT_SUPPORTED = 0x0C
    INVALID_PARAMETERS = 0x0D
    DISCONNECTED = 0x0E
    NOT_POWERED = 0x0F
    CANCELLED = 0x10
    INVALID_INDEX = 0x11
    RFKILLED = 0x12
    ALREADY_PAIRED = 0x13
    PERMISSION_DENIED = 0x14
    UNKNOWN = 0xFF
    """A status that this table does not know."""

    @classmethod
    def _missing_(cls, value: object) -> ManagementStatus:
        return cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a command: which one, on which controller, and how it went."""

    opcode: int
    index: int
    status: ManagementStatus


def load_connection_parameters(
    index: int, address: str, random: bool, parameters: ConnectionParameters
) -> bytes:
    """Return the command that gives one device its connection parameters.

    Args:
        index: number of the controller (`hciN`).
        address: the device, `AA:BB:CC:DD:EE:FF`.
        random: whether that is a random address.
        parameters: what to load.
    """
    body = _PARAMETERS.pack(
        1,
        bytes.fromhex(address.replace(":", ""))[::-1],
        LE_RANDOM if random else LE_PUBLIC,
        parameters.min_interval,
        parameters.max_interval,
        parameters.latency,
        parameters.timeout,
    )
    return _HEADER.pack(LOAD_CONNECTION_PARAMETERS, index, len(body)) + body


def parse_reply(packet: bytes) -> Reply | None:
    """Return what a packet of the kernel says of a command; None for any other event."""
    if len(packet) < _HEADER.size + _REPLY.size:
        return None
    event, index, _ = _HEADER.unpack_from(packet)
    if event not in (COMMAND_COMPLETE, COMMAND_STATUS):
        return None
    opcode, status = _REPLY.unpack_from(packet, _HEADER.size)
    return Reply(opcode, index, ManagementStatus(status))
