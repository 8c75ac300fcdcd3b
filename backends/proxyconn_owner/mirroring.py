"""Serves every radio of our own by itself, as they come; one that cannot be holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxyconn.radio import OffersLinks, Radio, identity_of
from proxyconn.state.file import StateError
from proxyconn_owner.identity import Identity, with_places

RETRY_AFTER: Final = 10.0
"""Seconds until what could not be served is tried again."""

_LOGGER = logging.getLogger(__name__)


class Mirror:
    """The radios that are served one by one; other owners serve theirs.

    Args:
        radios: says which radios there are.
        named: names of the only ones to serve; none for all.
        identity: has the places of radios, which are kept.
        folder: where they are kept.
        serve: serves a radio at a place, from 1; raises OSError if that cannot be.
        retry_after: seconds until what could not be served is tried again.
    """

    def __init__(
        self,
        radios: Callable[[], list[Radio]],
        named: Collection[str],
        identity: Identity,
        folder: Path,
        serve: Callable[[Radio, int], Awaitable[None]],
        *,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self._radios = radios
        self._named = named
        self._identity = identity
        self._folder = folder
        self._serve = serve
        self._retry_after = retry_after
        self._served: set[str] = set()
        self._failed: dict[str, OSError | StateError] = {}
        self._told: dict[str, str] = {}
        self._changed = asyncio.Event()

    def radios_changed(self) -> None:
        """A radio has come, gone or changed."""
        self._changed.set()

    async def start(self) -> None:
        """Serve the radios that there are now, as far as that can be.

        Raises:
            OSError, StateError: not one of them could be served; this is why.
        """
        await self._look()
        if self._failed and not self._served:
            raise next(iter(self._failed.values()))
        self._tell()

    async def follow(self) -> None:
        """Serve those that come, and try again those that could not be served; never ends."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retry_after if self._failed else None):
                    await self._changed.wait()
            await self._look()
            self._tell()

    async def _look(self) -> None:
        self._changed.clear()
        self._failed = {}
        wanted = self._wanted()
        trouble: StateError | None = None
        try:
            await asyncio.to_thread(with_places, self._folder, self._identity, wanted)
        except StateError as exc:
            trouble = exc
        for name, radio in wanted.items():
            place = self._identity.places.get(name)
            if place is None:
                # It would be elsewhere after a restart.
                assert trouble is not None
                self._failed[name] = trouble
                continue
            try:
                await self._serve(radio, place)
            except OSError as exc:
                self._failed[name] = exc
            else:
                self._served.add(name)

    def _wanted(self) -> dict[str, Radio]:
        return {
            name: radio
            for radio in self._radios()
            if radio.state.is_usable
            and not isinstance(radio, OffersLinks)
            and (name := identity_of(radio)) not in self._served
            and (not self._named or radio.name in self._named)
        }

    def _tell(self) -> None:
        """Log what cannot be served, once for each reason."""
        for name, exc in self._failed.items():
            if self._told.get(name) != str(exc):
                _LOGGER.error(
                    "radio %s is not served: %s; tried again every %g s",
                    name,
                    exc,
                    self._retry_after,
                )
        self._told = {name: str(exc) for name, exc in self._failed.items()}
