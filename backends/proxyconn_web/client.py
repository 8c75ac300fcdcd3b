"""Reads the state of a fleet from its owner, over the owner's Unix socket."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from proxyconn.errors import RadioUnavailableError
from proxyconn.watch.changes import Table, apply_changes
from proxyconn.watch.rows import Row
from proxyconn_web.routes import ACTION_TIMEOUT, PATH

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the owner to answer."""

SILENCE: Final = 40.0
"""Seconds of silence after which the owner is taken for gone: it says something every 15 s."""

MOST_LINE: Final = 64 << 20
"""Bytes of one event: a snapshot of some ten thousand devices."""

TABLES: Final = (
    "radios",
    "devices",
    "heard",
    "links",
    "queue",
    "connects",
    "failures",
    "bonds",
    "alarms",
    "clients",
    "latency",
    "cluster",
    "owners",
)

LOG_KEPT: Final = 500
"""Entries of the log that are kept, as many as the owner keeps."""


class ActionError(Exception):
    """The owner has not done what it was asked for; the text says why."""


@dataclass(slots=True)
class View:
    """The state of a fleet, as of the last event.

    Attributes:
        tables: name -> key -> row, as docs/api.md has them.
        log: entries of the log, the oldest first.
        about: what the owner says of itself.
        time: when this was so, in Unix seconds by the owner's clock.
    """

    tables: dict[str, Table] = field(default_factory=lambda: {name: {} for name in TABLES})
    log: list[Row] = field(default_factory=list)
    about: Row = field(default_factory=dict)
    time: float = 0.0

    def take_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says."""
        self.tables = {name: dict(snapshot.get(name, {})) for name in TABLES}
        self.log = list(snapshot["log"])
        self.about, self.time = dict(snapshot["about"]), snapshot["time"]

    def take_event(self, event: Mapping[str, Any]) -> None:
        """Take the changes of an event."""
        for name, changes in event["changes"].items():
            apply_changes(self.tables.setdefault(name, {}), changes)
        self.log = [*self.log, *event["log"]][-LOG_KEPT:]
        self.time = event["time"]


class OwnerClient:
    """Speaks with one owner.

    Args:
        socket: its Unix socket; `proxyconn.fleet.owner_socket.find_owner()` returns this user's.

    Use it as an async context manager:

    ```python
    async with OwnerClient(socket) as owner:
        async for view in owner.views():
            print(len(view.tables["devices"]), "devices")
    ```
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_TIMEOUT, sock_read=SILENCE)
        self._session = aiohttp.ClientSession(
            "http://owner",
            connector=aiohttp.UnixConnector(str(self._socket)),
            timeout=timeout,
            read_bufsize=MOST_LINE,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def snapshot(self) -> View:
        """Return the state of the fleet. Raises RadioUnavailableError if no owner answers."""
        view = View()
        view.take_snapshot(await self._get("/snapshot"))
        return view

    async def device(self, address: str) -> Row | None:
        """Return all that is known of one device; None if nothing is.

        Raises:
            RadioUnavailableError: no owner answers.
        """
        try:
            return await self._get(f"/devices/{address}")
        except LookupError:
            return None

    async def act(self, name: str, **arguments: str) -> Row:
        """Have something done.

        Args:
            name: of the action.
            arguments: its arguments, as docs/api.md has them.

        Raises:
            ActionError: it was not done; the text says why.
            RadioUnavailableError: no owner answers.
        """
        timeout = aiohttp.ClientTimeout(total=ACTION_TIMEOUT + ANSWER_TIMEOUT)
        try:
            async with self._open.post(
                f"{PATH}/actions/{name}", json=arguments, timeout=timeout
            ) as response:
                result: Row = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise self._unavailable(exc) from exc
        if response.status != 200:
            raise ActionError(str(result.get("error", response.reason)))
        return result

    async def views(self) -> AsyncGenerator[View, None]:
        """Yield the state whenever it has changed; the same object, changed in place.

        It ends when the owner does. What was missed meanwhile comes with the next view.

        Raises:
            RadioUnavailableError: no owner answers, or it is silent.
        """
        view = View()
        async with aclosing(self._messages()) as messages:
            async for kind, data in messages:
                if kind == "snapshot":
                    view.take_snapshot(data)
                elif kind == "change":
                    view.take_event(data)
                else:
                    continue
                yield view

    async def _messages(self) -> AsyncGenerator[tuple[str, Any], None]:
        kind = ""
        try:
            async with self._open.get(f"{PATH}/events") as response:
                response.raise_for_status()
                async for line in response.content:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data":
                        yield kind, json.loads(value)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise self._unavailable(exc) from exc

    async def _get(self, path: str) -> Row:
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
        try:
            async with self._open.get(PATH + path, timeout=timeout) as response:
                if response.status == 404:
                    raise LookupError(path)
                response.raise_for_status()
                found: Row = await response.json()
                return found
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise self._unavailable(exc) from exc

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use OwnerClient in `async with`")
        return self._session

    def _unavailable(self, error: Exception) -> RadioUnavailableError:
        return RadioUnavailableError(
            f"no owner answers at {self._socket} ({error or type(error).__name__}); "
            "start `proxyconn serve`"
        )
