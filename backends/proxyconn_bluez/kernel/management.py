"""Commands to the kernel's Bluetooth management interface, over one socket of one owner."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from proxyconn.radio import ConnectionParameters, ErrorKind, RadioError, UnsupportedError
from proxyconn_bluez.kernel.packets import (
    LOAD_CONNECTION_PARAMETERS,
    ManagementStatus,
    Reply,
    load_connection_parameters,
    parse_reply,
)
from proxyconn_bluez.kernel.socket import open_management_socket

REPLY_TIMEOUT = 5.0
"""Seconds for the kernel to answer: it does so at once, unless the controller is stuck."""

PACKET_SIZE = 65536 + 6
"""Bytes of the largest packet: a header and a length of 16 bits."""

NO_RIGHT = (
    "setting connection parameters needs the capability CAP_NET_ADMIN "
    "(run as root, `setcap cap_net_admin+ep` the interpreter, or give the container NET_ADMIN)"
)

_LOGGER = logging.getLogger(__name__)


class Management:
    """Sends commands, one at a time, and matches the kernel's replies to them.

    The socket is opened by the first command, and closed with `close`; a socket that failed is
    replaced by the next command.

    Args:
        open_socket: returns a connected, non-blocking socket to the kernel.
    """

    def __init__(self, open_socket: Callable[[], socket.socket] = open_management_socket) -> None:
        self._open_socket = open_socket
        self._socket: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._pending: tuple[tuple[int, int], asyncio.Future[Reply]] | None = None

    async def load_connection_parameters(
        self, adapter: str, address: str, random: bool, parameters: ConnectionParameters
    ) -> None:
        """Give a device its connection parameters.

        The kernel uses them from the next connection on; since Linux 6.11 for a present one, too.

        Args:
            adapter: name of the adapter (`hciN`).
            address: the device.
            random: whether that is a random address.
            parameters: what to load.

        Raises:
            UnsupportedError: we lack CAP_NET_ADMIN, or the kernel has no Bluetooth.
            RadioError: the kernel refused, or the socket failed.
            TimeoutError: no answer within REPLY_TIMEOUT s.
        """
        index = int(adapter.removeprefix("hci"))
        command = load_connection_parameters(index, address, random, parameters)
        async with self._turn:
            reply = await self._command(command, (LOAD_CONNECTION_PARAMETERS, index), adapter)
        if reply.status is ManagementStatus.PERMISSION_DENIED:
            raise UnsupportedError(f"{adapter} [{address}]: {NO_RIGHT}", source=adapter)
        if reply.status is not ManagementStatus.SUCCESS:
            raise RadioError(
                f"{adapter} [{address}]: the kernel refused the connection parameters: "
                f"{reply.status.name} ({reply.status:#04x})",
                code=reply.status,
                source=adapter,
            )

    async def _command(self, command: bytes, key: tuple[int, int], adapter: str) -> Reply:
        sock = self._opened(adapter)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending = (key, future)
        try:
            # A command is one packet: sent whole or not at all. Some kernels report 0 bytes sent.
            sock.send(command)
            async with asyncio.timeout(REPLY_TIMEOUT):
                return await future
        except BaseException as exc:
            # On a fresh socket no late reply can be taken for that of the next command.
            self.close()
            if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
                raise self._error(exc, adapter, ErrorKind.TRANSIENT) from exc
            raise
        finally:
            self._pending = None

    def _opened(self, adapter: str) -> socket.socket:
        if self._socket is None:
            try:
                sock = self._open_socket()
            except OSError as exc:
                raise self._error(exc, adapter, ErrorKind.UNSUPPORTED) from exc
            asyncio.get_running_loop().add_reader(sock, self._on_readable)
            self._socket = sock
        return self._socket

    def _error(self, exc: OSError, adapter: str, kind: ErrorKind) -> RadioError:
        if isinstance(exc, PermissionError):
            return UnsupportedError(f"{adapter}: {NO_RIGHT}: {exc}", source=adapter)
        return RadioError(
            f"{adapter}: the kernel's Bluetooth management socket failed: {exc}",
            kind=kind,
            source=adapter,
        )

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        try:
            packet = self._socket.recv(PACKET_SIZE)
        except BlockingIOError:
            return
        except OSError as exc:
            self._fail(exc)
            return
        if not packet:
            self._fail(OSError("closed by the kernel"))
            return
        reply = parse_reply(packet)
        if reply and self._pending:
            key, future = self._pending
            if key == (reply.opcode, reply.index) and not future.done():
                future.set_result(reply)

    def _fail(self, exc: OSError) -> None:
        _LOGGER.debug("management socket: %r", exc)
        self.close()
        if self._pending and not self._pending[1].done():
            self._pending[1].set_exception(exc)

    def close(self) -> None:
        """Close the socket; idempotent."""
        sock, self._socket = self._socket, None
        if sock:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
