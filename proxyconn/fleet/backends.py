"""Brings the radios into a fleet: by the installed backends, or by an owner that has them.

Backends are found by entry point: the core knows none of them by name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconn.errors import RadioUnavailableError
from proxyconn.fleet.owner_socket import find_owner, owner_socket
from proxyconn.radio import (
    Backend,
    BackendFactory,
    FleetOptions,
    Neighbours,
    Proxy,
    RadioSink,
    UnsupportedError,
)

if TYPE_CHECKING:
    from proxyconn.fleet.owner_link import Lent, OwnerLink

BACKEND_GROUP = "proxyconn.backends"
"""Entry point group in which backends are found."""

Owner = bool | str | Path | None
"""Which owner to use: True for this user's, the path of its socket, False for none, None for this
user's if one is running."""

CLUSTER = "cluster"
"""Name of the backend that knows other fleets."""

NO_CLUSTER = "a cluster takes packages that are not here: pip install 'proxyconn[cluster]'"

_LOGGER = logging.getLogger(__name__)


def load_backends() -> dict[str, BackendFactory]:
    """Return the installed backends by name."""
    return {point.name: point.load() for point in entry_points(group=BACKEND_GROUP)}


class Backends:
    """The backends of one fleet.

    Args:
        options: what the fleet is made of.
        sink: told of every radio.
        owner: which owner to use.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink, owner: Owner) -> None:
        self._options = options
        self._sink = sink
        self._owner = owner
        self._link: OwnerLink | None = None
        self._lent: Lent | None = None
        self._factories: dict[str, BackendFactory] = {}
        self._running: dict[str, Backend] = {}

    async def start(self) -> None:
        """Begin to look for radios; waits for an owner at most, and for no radio.

        Raises:
            RadioUnavailableError: the owner that was asked for does not answer.
            UnsupportedError: local adapters were asked for where there can be none, or a cluster
            where nothing is installed for it.
        """
        # Entry points are read from files, and loading one imports its package.
        self._factories = await asyncio.to_thread(load_backends)
        socket = await asyncio.to_thread(self._socket)
        if self._options.cluster is not None and CLUSTER not in self._factories:
            raise UnsupportedError(NO_CLUSTER)
        if socket is None:
            await self._apply(self._options)
            return
        # It takes a web client, which nobody needs to load who has no owner.
        module = await asyncio.to_thread(import_module, "proxyconn.fleet.owner_link")
        self._link = module.OwnerLink(socket, self._sink, self._use)
        try:
            await self._link.start()
        except RadioUnavailableError as exc:
            self._link = None
            if self._owner is not None:
                raise
            _LOGGER.debug("going without an owner: %s", exc)
            await self._apply(self._options)

    def _socket(self) -> Path | None:
        if self._owner is None:
            return find_owner()
        if self._owner is False:
            return None
        if self._owner is not True:
            return Path(self._owner)
        try:
            return owner_socket()
        except OSError as exc:
            raise RadioUnavailableError(f"there is no place for an owner: {exc}") from exc

    @property
    def neighbours(self) -> Neighbours | None:
        """The backend that knows the fleets around this one; None if there are none."""
        for backend in self._running.values():
            if isinstance(backend, Neighbours):
                return backend
        return None

    async def reconfigure(self, options: FleetOptions) -> None:
        """Take other options; radios that both have stay as they are, links included."""
        self._options = options
        if self._link is None:
            await self._apply(options)
        elif self._lent:
            await self._use(self._lent)

    async def aclose(self) -> None:
        """Let every radio go; idempotent.

        One backend that fails, or is cancelled, keeps no other one from its end; what it raised is
        raised, and it is asked again by the next call.
        """
        try:
            if self._link:
                await self._link.aclose()
        finally:
            endings = [self._end(name, backend) for name, backend in self._running.items()]
            outcomes = await asyncio.gather(*endings, return_exceptions=True)
        errors = [one for one in outcomes if isinstance(one, BaseException)]
        for error in errors[1:]:
            _LOGGER.error("a backend was not closed", exc_info=error)
        if errors:
            raise errors[0]

    async def _end(self, name: str, backend: Backend) -> None:
        await backend.aclose()
        self._running.pop(name, None)

    async def _use(self, lent: Lent) -> None:
        """Use what an owner lends, and what the user named that it does not have."""
        self._lent = lent
        options = self._options
        others = tuple(one for one in options.proxies if not lent.has(one.host, one.port, one.name))
        await self._apply(
            dataclasses.replace(
                options,
                proxies=(*(_as_named(one, options.proxies) for one in lent.proxies), *others),
                discover=False,
                listen=None,
                local_adapters=False if lent.has_adapters else options.local_adapters,
            )
        )

    async def _apply(self, options: FleetOptions) -> None:
        for name, factory in self._factories.items():
            if backend := self._running.get(name):
                await backend.reconfigure(options)
            elif made := factory(options, self._sink):
                self._running[name] = made
                await made.start()


def _as_named(lent: Proxy, named: Iterable[Proxy]) -> Proxy:
    """Return a proxy that is lent with the scan mode that the user gave the proxy behind it."""
    for one in named:
        if one.scan and ((one.host, one.port) == lent.behind or one.name == lent.name is not None):
            return dataclasses.replace(lent, scan=one.scan)
    return lent
