"""Opening the kernel's Bluetooth management socket.

Python's own `socket.bind` cannot name the control channel (bpo-36132), so that one call goes to the
C library. The btsocket package does the same, but loses `errno`, which tells a missing right from a
missing kernel module, leaves the socket open when binding fails, and raises BaseException.
"""

from __future__ import annotations

import ctypes
import os
import socket

AF_BLUETOOTH = 31
BTPROTO_HCI = 1
HCI_DEV_NONE = 0xFFFF
HCI_CHANNEL_CONTROL = 3


class _SocketAddress(ctypes.Structure):
    """struct sockaddr_hci of the kernel's include/net/bluetooth/hci_sock.h."""

    _fields_ = (
        ("hci_family", ctypes.c_ushort),
        ("hci_dev", ctypes.c_ushort),
        ("hci_channel", ctypes.c_ushort),
    )


def open_management_socket() -> socket.socket:
    """Return a bound management socket, non-blocking.

    Raises:
        OSError: the kernel has no Bluetooth (EAFNOSUPPORT), or does not let us (EPERM, EACCES).
    """
    # The numbers, because not every build of Python knows the names.
    sock = socket.socket(AF_BLUETOOTH, socket.SOCK_RAW | socket.SOCK_NONBLOCK, BTPROTO_HCI)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        address = _SocketAddress(AF_BLUETOOTH, HCI_DEV_NONE, HCI_CHANNEL_CONTROL)
        if libc.bind(sock.fileno(), ctypes.byref(address), ctypes.sizeof(address)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock
