"""Who has which device: one client of a program at a time, for as long as its link lasts.

A client whose link has ended holds nothing, though it may not have been told yet. One that is
letting go is waited for. Only one that is connected, or connecting, keeps others away.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Protocol

from proxyconn.errors import ErrorKind, LinkError
from proxyconn.radio import Radio


class Holder(Protocol):
    """A client that has asked for a device."""

    @property
    def has_ended(self) -> bool:
        """Whether its link is down, and it neither opens nor closes one."""
        ...

    @property
    def is_letting_go(self) -> bool:
        """Whether it is closing its link."""
        ...

    @property
    def whose(self) -> str:
        """How a person finds it in the program."""
        ...

    def let_go(self) -> None:
        """Give the device back, now that the link has ended."""
        ...


class Holders:
    """The clients that have a device.

    They are not kept alive by this: who has dropped a client has dropped its link.

    Attributes:
        links: address -> radio of every link and attempt; None for a client that waits for one.
    """

    def __init__(self) -> None:
        self.links: dict[str, Radio | None] = {}
        self._holders: dict[str, weakref.ref[Holder]] = {}
        self._awaited: dict[str, list[asyncio.Future[None]]] = {}

    def add(self, address: str, holder: Holder | None) -> None:
        """Let a client have a device that nobody has.

        Raises:
            LinkError: another client is connected to it, or connecting; says which.
        """
        present = self.present(address)
        if present and present.has_ended:
            present.let_go()
        if address in self.links:
            raise self._in_use(address)
        self.links[address] = None
        if holder:
            self._holders[address] = weakref.ref(holder)

    def replace(self, address: str, holder: Holder) -> None:
        """Let another one hold a device for the client that has dropped it."""
        self._holders[address] = weakref.ref(holder)

    def remove(self, address: str) -> Radio | None:
        """Nobody has the device any more; return the radio it was given."""
        self._holders.pop(address, None)
        for future in self._awaited.pop(address, ()):
            if not future.done():
                future.set_result(None)
        return self.links.pop(address, None)

    def leaving(self, address: str) -> asyncio.Future[None] | None:
        """Return what is resolved once a client that is letting go has done so; None if none is."""
        ref = self._holders.get(address)
        holder = ref() if ref else None
        # A client that was dropped is still to be closed.
        if ref is None or (holder and not holder.is_letting_go):
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(address, []).append(future)
        return future

    def present(self, address: str) -> Holder | None:
        """Return the client that has a device; None if nobody has it, or it was dropped."""
        ref = self._holders.get(address)
        return ref() if ref else None

    def _in_use(self, address: str) -> LinkError:
        radio, holder = self.links[address], self.present(address)
        return LinkError(
            f"{address}: another client of this program is "
            + (f"connected through {radio.name}" if radio else "about to connect")
            + (f": {holder.whose}" if holder else ""),
            kind=ErrorKind.IN_USE,
            source=radio.name if radio else None,
        )
