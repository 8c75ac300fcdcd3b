"""Makes one connection of nats-py, or says why there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client

from proxyconn_cluster.bus.closing import close_client
from proxyconn_cluster.bus.credentials import identification
from proxyconn_cluster.bus.encrypted import EncryptedClient
from proxyconn_cluster.bus.errors import (
    ClusterError,
    is_definite,
    is_refusal,
    why_not_connected,
)
from proxyconn_cluster.settings import ClusterSettings

CONNECT_TIMEOUT: Final = 5.0
"""Seconds within which the first connection is made."""

RECONNECT_WAIT: Final = 0.25
"""Seconds between two attempts at one server: a lease runs while nobody answers."""

PING_INTERVAL: Final = 2
MOST_PINGS: Final = 2
"""Seconds between two pings, and how many may be unanswered: a silent server is left in 6 s."""

MOST_TOLD: Final = 16
"""Refusals of one server that are told, each once: one that comes again says nothing new."""

_LOGGER = logging.getLogger(__name__)

Callback = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told what becomes of a connection: lost, there again, given up for good."""

    lost: Callback
    back: Callback
    closed: Callback


async def dial(settings: ClusterSettings, name: str, watcher: Watcher) -> Client:
    """Return a new client of nats-py, connected; credentials are read anew.

    Args:
        settings: where, and as whom.
        name: who we are, shown by the server.
        watcher: told what becomes of it.

    Raises:
        ClusterError: there is no server, or it does not want us.
    """
    return await _Dialling(settings, name, watcher).done()


class _Dialling:
    """One attempt, and what the server has said in it."""

    def __init__(self, settings: ClusterSettings, name: str, watcher: Watcher) -> None:
        self._settings = settings
        self._name = name
        self._watcher = watcher
        self._servers = ", ".join(settings.servers)
        self._error: BaseException | None = None
        self._definite = asyncio.Event()
        self._is_connected = False
        self._told: set[str] = set()

    async def done(self) -> Client:
        options = await asyncio.to_thread(identification, self._settings)
        client = EncryptedClient() if self._settings.uses_tls else Client()
        try:
            await self._dial(client, options)
        except BaseException:
            await close_client(client)
            raise
        self._is_connected = True
        return client

    async def _dial(self, client: Client, options: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        connecting = loop.create_task(self._connect(client, options))
        refused = loop.create_task(self._definite.wait())
        try:
            await asyncio.wait(
                (connecting, refused), timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (connecting, refused):
                if not task.done():
                    task.cancel()
            await asyncio.gather(connecting, refused, return_exceptions=True)
        if connecting.cancelled() or connecting.exception():
            raise ClusterError(why_not_connected(self._error, self._servers))

    async def _connect(self, client: Client, options: dict[str, Any]) -> None:
        await client.connect(
            servers=list(self._settings.servers),
            name=self._name,
            connect_timeout=int(CONNECT_TIMEOUT),
            # nats-py's own annotation says int; it only ever sleeps for it.
            reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]
            max_reconnect_attempts=-1,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=MOST_PINGS,
            error_cb=self._on_error,
            disconnected_cb=self._watcher.lost,
            reconnected_cb=self._watcher.back,
            closed_cb=self._watcher.closed,
            **options,
        )

    async def _on_error(self, error: Exception) -> None:
        if not self._definite.is_set():
            self._error = error
        # The text of an error of nats-py may name a subject, never who we are by what secret.
        _LOGGER.debug("%s: %s: %s", self._servers, type(error).__name__, error)
        if is_definite(error):
            self._definite.set()
        if self._is_connected and is_refusal(error):
            self._tell_once(str(error))

    def _tell_once(self, refusal: str) -> None:
        """Say what a server does not let us do: whoever waits for an answer only sees none."""
        if refusal not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(refusal)
            _LOGGER.warning(
                "%s: %s; give this user that right, or name another one's credentials: "
                "`proxyconn doctor` says what is missing",
                self._servers,
                refusal,
            )
