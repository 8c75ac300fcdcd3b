"""The listening socket of an API server, and its sessions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from proxyconn_native_api.host import SessionHost
from proxyconn_native_api.session import Session
from proxyconn_proto import bluetooth_proxy_pb2 as pb

_GOODBYE: Final = 1.0
"""Seconds for clients to leave."""


class ApiServer:
    """The listening socket of a proxy, and its sessions.

    Attributes:
        accepted: how many connections were accepted so far.
    """

    def __init__(self, host: SessionHost[Session]) -> None:
        self.accepted = 0
        self._host = host
        self._server: asyncio.Server | None = None
        self._sessions: set[Session] = set()

    @property
    def sessions(self) -> Sequence[Session]:
        """The open sessions."""
        return tuple(self._sessions)

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        # Started here it would wait with its socket open: whoever cancels that leaves it behind.
        self._server = server = await loop.create_server(
            self._accept, host, port, backlog=100, start_serving=False
        )
        if self._host.intake is not None:
            for listening in server.sockets:
                # What is accepted has the buffer of the socket that listens.
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._host.intake.buffer)
        bound: int = server.sockets[0].getsockname()[1]
        try:
            await server.start_serving()
        except BaseException:
            self._close_listener()
            raise
        return bound

    def _accept(self) -> Session:
        self.accepted += 1
        return Session(self._host, self._sessions)

    async def call(self, host: str, port: int, source: str) -> Session | None:
        """Connect to a client that listens, and greet it; None if there is no room for it.

        Args:
            host: its IP address.
            port: its TCP port.
            source: IP address to call from.

        Raises:
            OSError: it does not answer.
        """
        loop = asyncio.get_running_loop()
        _, session = await loop.create_connection(
            lambda: Session(self._host, self._sessions, greets_first=True),
            host,
            port,
            local_addr=(source, 0),
        )
        return None if session.refused else session

    async def stop(self) -> None:
        """Say goodbye to every client, and close; idempotent, and over though it is cancelled."""
        try:
            await self._listen_no_more()
            self.dismiss()
            await self._wait_closed(_GOODBYE)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Reset every connection, and close; idempotent."""
        try:
            await self._listen_no_more()
        finally:
            self.reset()
        await self._wait_closed(_GOODBYE)

    def dismiss(self) -> None:
        """Say goodbye to every client, and go on listening."""
        for session in self.sessions:
            if session.greeted:
                session.send(pb.DisconnectRequest())
            else:
                session.close()

    def reset(self) -> None:
        """Reset every connection, and go on listening."""
        for session in self.sessions:
            session.reset()

    def freeze(self) -> Callable[[], None]:
        """Let nothing pass on the present connections; return what ends that (idempotent)."""
        frozen = self.sessions
        for session in frozen:
            session.freeze()

        def thaw() -> None:
            for session in frozen:
                session.thaw()

        return thaw

    async def _listen_no_more(self) -> None:
        try:
            if self._server is not None:
                loop = asyncio.get_running_loop()
                for listening in self._server.sockets:
                    loop.remove_reader(listening)
                # What was accepted in this turn has its transport in the next one, and is told to
                # its session in the one after that. Where a server is closed before, asyncio of
                # Python 3.13 loses the socket, and nobody closes it.
                for _ in range(2):
                    await asyncio.sleep(0)
        finally:
            self._close_listener()

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _wait_closed(self, seconds: float) -> None:
        closed = [session.closed for session in self.sessions]
        if closed:
            await asyncio.wait(closed, timeout=seconds)
