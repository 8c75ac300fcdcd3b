"""The other end of a management socket, in place of the kernel."""

from __future__ import annotations

import asyncio
import socket

from proxyconn_bluez.kernel.management import Management


def reply(opcode: int, index: int, status: int, event: int = 1) -> bytes:
    """Return Command Complete (event 1) or Command Status (event 2)."""
    body = opcode.to_bytes(2, "little") + bytes([status])
    return b"".join(n.to_bytes(2, "little") for n in (event, index, len(body))) + body


class FakeKernel:
    """Hears commands, and answers as the test says.

    Attributes:
        opened: our ends of the sockets that were opened.
        commands: what was heard while answering by itself.
        status: what it answers by itself.
    """

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []
        self.commands: list[bytes] = []
        self.status = 0
        self._answers = False
        self._first = asyncio.Event()
        self._another = asyncio.Event()

    def management(self) -> Management:
        """Return a management interface to this kernel."""
        return Management(self.open)

    def answer(self) -> None:
        """Answer every command on sockets opened from now on."""
        self._answers = True

    def open(self) -> socket.socket:
        """Open a socket to this kernel."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        theirs.setblocking(False)
        self.opened.append(theirs)
        self._first.set()
        if len(self.opened) > 1:
            self._another.set()
        if self._answers:
            asyncio.get_running_loop().add_reader(theirs, self._on_readable, theirs)
        return ours

    def _on_readable(self, sock: socket.socket) -> None:
        command = sock.recv(1000)
        if not command:
            asyncio.get_running_loop().remove_reader(sock)
            return
        self.commands.append(command)
        opcode, index = (int.from_bytes(command[at : at + 2], "little") for at in (0, 2))
        sock.send(reply(opcode, index, self.status))

    async def next_socket(self) -> None:
        """Wait until a second socket has been opened."""
        async with asyncio.timeout(10):
            await self._another.wait()

    async def command(self) -> bytes:
        """Wait for the next command; nothing once the socket is closed."""
        async with asyncio.timeout(10):
            await self._first.wait()
            return await asyncio.get_running_loop().sock_recv(self.opened[-1], 1000)

    def send(self, packet: bytes) -> None:
        """Send a packet on the newest socket."""
        self.opened[-1].send(packet)

    def close(self) -> None:
        """Close every socket."""
        for sock in self.opened:
            sock.close()
