"""The kernel's Bluetooth management interface, as far as these tests need it."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import NamedTuple

AF_BLUETOOTH = 31
"""In Python's socket module only where its build found the headers of BlueZ."""

BTPROTO_HCI = 1
HCI_DEV_NONE = 0xFFFF
HCI_CHANNEL_CONTROL = 3
LOAD_CONN_PARAM = 0x0035
COMMAND_COMPLETE = 0x0001
COMMAND_STATUS = 0x0002
LE_RANDOM = 2
HEADER = struct.Struct("<HHH")
TIMEOUT = 10.0


class LinkWishes(NamedTuple):
    """Connection parameters: intervals in 1.25 ms, latency in events, timeout in 10 ms."""

    min_interval: int
    max_interval: int
    latency: int
    timeout: int


def load_connection_parameters(index: int, address: str, wishes: LinkWishes) -> int:
    """Load the parameters of a device with a random address, and return the status (0: done)."""
    device = bytes.fromhex(address.replace(":", ""))[::-1]
    body = struct.pack("<H6sBHHHH", 1, device, LE_RANDOM, *wishes)
    with socket.socket(AF_BLUETOOTH, socket.SOCK_RAW | socket.SOCK_CLOEXEC, BTPROTO_HCI) as control:
        control.settimeout(TIMEOUT)
        bind_control(control)
        control.send(HEADER.pack(LOAD_CONN_PARAM, index, len(body)) + body)
        while True:
            packet = control.recv(512)
            event, _, _ = HEADER.unpack_from(packet)
            if event in {COMMAND_COMPLETE, COMMAND_STATUS}:
                opcode, status = struct.unpack_from("<HB", packet, HEADER.size)
                if opcode == LOAD_CONN_PARAM:
                    return int(status)


def bind_control(control: socket.socket) -> None:
    """Bind to the control channel, which Python's bind() cannot name. Raises OSError."""
    name = struct.pack("<HHH", AF_BLUETOOTH, HCI_DEV_NONE, HCI_CHANNEL_CONTROL)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(control.fileno(), name, len(name)):
        raise OSError(ctypes.get_errno(), "cannot bind to the Bluetooth control channel")
