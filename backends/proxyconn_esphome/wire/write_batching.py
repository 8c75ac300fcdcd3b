"""Messages on their way to a proxy: one write for all that are sent in one turn of the loop."""

from __future__ import annotations

import asyncio
import logging

from aioesphomeapi.core import APIConnectionError
from google.protobuf.message import Message

from proxyconn_esphome.wire.native_api import Wire

_LOGGER = logging.getLogger(__name__)


class WriteBatching:
    """Writes to a connection.

    A message goes out at once while nothing else is waited for, and otherwise with whatever the
    other links send in the same turn: a system call costs more than a message.

    Attributes:
        outstanding: requests whose replies are waited for.
    """

    def __init__(self, wire: Wire) -> None:
        self.outstanding = 0
        self._wire = wire
        self._messages: list[Message] = []
        self._loop = asyncio.get_running_loop()

    def send(self, message: Message) -> None:
        """Write a message, or hold it until the end of this turn. Raises APIConnectionError."""
        if self._messages:
            self._messages.append(message)
        elif self.outstanding:
            self._messages.append(message)
            self._loop.call_soon(self._flush)
        else:
            self._wire.send_message(message)

    def _flush(self) -> None:
        messages, self._messages = self._messages, []
        try:
            self._wire.send_messages(tuple(messages))
        except APIConnectionError as exc:
            # The connection reports its end by itself, and that fails all who wait for a reply.
            _LOGGER.debug("%d messages were not sent: %r", len(messages), exc)
