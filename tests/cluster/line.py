"""A line between an owner and the broker, which can be cut, or can carry nothing without a word."""

from __future__ import annotations

import asyncio
from contextlib import suppress

LOOPBACK = "127.0.0.1"


class Line:
    """Carries bytes to a port of this machine.

    Args:
        port: TCP port of the far end.

    Attributes:
        port: that of the near end.
    """

    def __init__(self, port: int) -> None:
        self._far = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._carries = asyncio.Event()
        self._carries.set()
        self.port = 0

    @property
    def url(self) -> str:
        """The near end, for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    async def open(self) -> None:
        """Listen at the near end."""
        self._server = await asyncio.start_server(self._taken, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection, and take no more; idempotent."""
        server, self._server = self._server, None
        if server:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Carry nothing, and end nothing: what is sent arrives when the line is mended."""
        self._carries.clear()

    async def mend(self) -> None:
        """Carry again."""
        self._carries.set()
        if self._server is None:
            await self.open()

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before it begins has nothing that ends in it.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_writer = None
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._far)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        except OSError:
            pass
        finally:
            for end in (writer, far_writer):
                if end:
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._carries.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
