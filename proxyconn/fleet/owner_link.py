"""Uses a running owner (`proxyconn serve`) instead of the proxies that it holds.

The owner of this user says on a Unix socket which radios it has, how each is doing, and where it
lends it. Those are used like proxies; what cannot be used is shown as what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from proxyconn.errors import RadioUnavailableError
from proxyconn.fleet.owner_socket import OWNER_PATH, OwnerSays
from proxyconn.models import RadioState
from proxyconn.radio import AbsentRadio, Proxy, Radio, RadioSink

TELL_AT_LEAST = 10.0
"""Seconds after which the owner says that nothing has changed."""

SILENCE = 2.5 * TELL_AT_LEAST
"""Seconds of silence after which the owner is taken for gone."""

ANSWER_TIMEOUT = 5.0
"""Seconds for it to answer on its socket."""

RETRY_AFTER = 1.0
"""Seconds until an owner that has gone is looked for again."""

MOST_LINE = 1 << 20
"""Bytes of one line: some thousand radios."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lent:
    """What an owner lends at one moment.

    Attributes:
        pid: number of the owner's process.
        proxies: its radios that can be used, as proxies.
        absent: those that cannot.
        has_adapters: whether any of its radios is a local adapter, usable or not.
    """

    pid: int
    proxies: tuple[Proxy, ...]
    absent: tuple[AbsentRadio, ...]
    has_adapters: bool = False

    def has(self, host: str, port: int, name: str | None) -> bool:
        """Whether the owner has the proxy at this address, or of this name."""
        places = {
            *(proxy.behind for proxy in self.proxies),
            *((radio.host, radio.port) for radio in self.absent),
        }
        names = {*(proxy.name for proxy in self.proxies), *(radio.name for radio in self.absent)}
        return (host, port) in places or (name is not None and name in names)


_radio_fits: type[Radio] = AbsentRadio


class _NoAnswerError(Exception):
    """No owner answers; the cause says why."""


class _UnusableError(Exception):
    """What an owner lends cannot be used here; the cause says why."""


class OwnerLink:
    """Follows one owner.

    Args:
        socket: its Unix socket.
        sink: told of radios that cannot be used.
        use: makes the fleet use what is lent now, and nothing else of the owner.
    """

    def __init__(
        self,
        socket: Path,
        sink: RadioSink,
        use: Callable[[Lent], Awaitable[None]],
    ) -> None:
        self.pid = 0
        self._socket = socket
        self._sink = sink
        self._use = use
        self._absent: dict[str, AbsentRadio] = {}
        self._has_complained = False
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Begin to follow the owner, once it has said what it has.

        Raises:
            RadioUnavailableError: it does not answer.
            Exception: what it lends cannot be used; what `use` has raised.
        """
        self._task = asyncio.get_running_loop().create_task(self._follow())
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await asyncio.shield(self._first)
        except Exception as exc:
            await self.aclose()
            if not isinstance(exc, (TimeoutError, _NoAnswerError)):
                raise
            raise RadioUnavailableError(
                f"no owner answers at {self._socket}; start `proxyconn serve`, or go without one "
                "(owner=False, --no-owner)"
            ) from exc

    async def aclose(self) -> None:
        """Let go of the owner; idempotent."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen()
            except _UnusableError as exc:
                if not self._first.done():
                    self._first.set_exception(exc.__cause__ or exc)
                    return
                self._complain(exc.__cause__)
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError, RecursionError) as exc:
                _LOGGER.debug("owner at %s: %s", self._socket, exc)
                if not self._first.done():
                    self._first.set_exception(_NoAnswerError(str(exc)))
                    return
            await asyncio.sleep(RETRY_AFTER)

    def _complain(self, why: BaseException | None) -> None:
        """Say once that what is lent cannot be used, until it can be."""
        level = logging.DEBUG if self._has_complained else logging.WARNING
        self._has_complained = True
        _LOGGER.log(level, "what the owner lends now cannot be used, and is tried again: %s", why)

    async def _listen(self) -> None:
        connector = aiohttp.UnixConnector(str(self._socket))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_TIMEOUT, sock_read=SILENCE)
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, read_bufsize=MOST_LINE
            ) as session,
            session.get(f"http://owner{OWNER_PATH}") as response,
        ):
            response.raise_for_status()
            async for line in response.content:
                if line.strip():
                    await self._take(parse_lent(json.loads(line)))

    async def _take(self, lent: Lent) -> None:
        self.pid = lent.pid
        try:
            await self._use(lent)
        except Exception as exc:
            raise _UnusableError from exc
        self._has_complained = False
        wanted = {radio.name: radio for radio in lent.absent}
        for name, radio in list(self._absent.items()):
            if name not in wanted:
                del self._absent[name]
                self._sink.radio_removed(radio)
        for name, radio in wanted.items():
            if known := self._absent.get(name):
                known.state, known.problem = radio.state, radio.problem
                self._sink.state_changed(known)
            else:
                self._absent[name] = radio
                self._sink.radio_added(radio)
        if not self._first.done():
            _LOGGER.info("using the owner in process %d", lent.pid)
            self._first.set_result(None)


def parse_lent(told: Any) -> Lent:
    """Return what an owner's line lends. Raises ValueError if it is none."""
    said = OwnerSays.of_row(told)
    proxies: list[Proxy] = []
    absent: list[AbsentRadio] = []
    for radio in said.radios:
        host, port = radio.behind
        if at := radio.place:
            proxies.append(
                Proxy(
                    at.host,
                    at.port,
                    noise_psk=at.key,
                    name=radio.name,
                    behind=None if host is None or port is None else (host, port),
                )
            )
        else:
            with contextlib.suppress(ValueError):
                state = RadioState(radio.state)
                absent.append(
                    AbsentRadio(radio.name, state, radio.problem, radio.connectable, host, port)
                )
    has_adapters = any(radio.adapter for radio in said.radios)
    return Lent(said.pid, tuple(proxies), tuple(absent), has_adapters)
