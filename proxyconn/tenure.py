"""Which proxies are a program's to use, where several share them out among themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proxy that could be used.

    Attributes:
        name: its node name.
        named: whether the user named it, and mDNS did not just find it.
    """

    name: str
    named: bool = False


class Tenure(Protocol):
    """Shares proxies out; each is known by its MAC address, 12 lower-case hex digits."""

    def offer(self, candidates: Mapping[str, Candidate]) -> None:
        """Take note of every proxy that could be used; a later call replaces an earlier one."""
        ...

    def wanted(self, mac: str) -> bool:
        """Whether a proxy is to be used now: it is ours, and nobody waits for it to be let go."""
        ...

    def holds(self, mac: str) -> bool:
        """Whether a proxy is ours at this very moment, by the clock; cheap.

        Nothing may be sent to one that is not. It may turn false at any time.
        """
        ...

    def had_owner(self, mac: str) -> bool:
        """Whether somebody else used a proxy before it became ours, whose links it may have."""
        ...

    def let_go(self, mac: str) -> None:
        """Take note that nothing is used of a proxy any more: somebody else may have it."""
        ...

    def register(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` whenever something is wanted that was not, or not any more.

        What is not held any more is to be cut off before the callback returns: without a goodbye.
        """
        ...
