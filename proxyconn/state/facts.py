"""What a fact is, and what those who have some to keep ask of a memory. Knows no clock."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple, Protocol


class Key(NamedTuple):
    """What a fact is about.

    Attributes:
        kind: which sort of fact.
        radio: identity of the radio; empty if it is about none.
        device: address of the device; empty if it is about none.
    """

    kind: str
    radio: str = ""
    device: str = ""


class Fact(NamedTuple):
    """Something that is known.

    Attributes:
        value: what can be written as JSON.
        at: when it became known, in seconds since 1970.
    """

    value: Any
    at: float


class Memory(Protocol):
    """Remembers facts."""

    @property
    def run(self) -> str:
        """Name of this run, by which later ones know what it has put."""
        ...

    def silence(self, run: str) -> float | None:
        """Return for how many seconds a run has been dead at most; None while it lives.

        Infinite if nothing is known of it.
        """
        ...

    def get(self, kind: str, radio: str = "", device: str = "") -> Any:
        """Return what is known about something; None if nothing is."""
        ...

    def age(self, kind: str, radio: str = "", device: str = "") -> float:
        """Return how many seconds ago something was put; infinite if it is not known."""
        ...

    def facts(self, kind: str) -> Iterator[tuple[Key, Any, float]]:
        """Yield every fact of a kind: key, value, and how many seconds old it is."""
        ...

    def put(
        self,
        kind: str,
        radio: str = "",
        device: str = "",
        *,
        value: Any = True,
        soon: bool = False,
    ) -> None:
        """Remember something.

        Args:
            kind: which sort of fact.
            radio: identity of the radio that it is about.
            device: address of the device that it is about.
            value: what can be written as JSON.
            soon: whether it matters enough to be written within a fraction of a second.
        """

    def drop(self, kind: str, radio: str = "", device: str = "", *, soon: bool = False) -> None:
        """Forget something; harmless if it is not known."""

    async def other_run(self, kind: str, radio: str = "", device: str = "") -> str | None:
        """Return the run that the value names, as it is kept now, if it is another that lives.

        Args:
            kind: which sort of fact; its value is an object with a `run`.
            radio: identity of the radio that it is about.
            device: address of the device that it is about.
        """
        ...

    async def saved(self) -> None:
        """Wait until what is known now outlives this process, or cannot be made to."""


class NoMemory:
    """Remembers nothing."""

    run = ""

    def silence(self, run: str) -> float | None:
        """Return infinity: nothing is known of any run."""
        return inf

    def get(self, kind: str, radio: str = "", device: str = "") -> Any:
        """Return None."""
        return None

    def age(self, kind: str, radio: str = "", device: str = "") -> float:
        """Return infinity."""
        return inf

    def facts(self, kind: str) -> Iterator[tuple[Key, Any, float]]:
        """Yield nothing."""
        yield from ()

    def put(
        self,
        kind: str,
        radio: str = "",
        device: str = "",
        *,
        value: Any = True,
        soon: bool = False,
    ) -> None:
        """Forget it at once."""

    def drop(self, kind: str, radio: str = "", device: str = "", *, soon: bool = False) -> None:
        """There is nothing to forget."""

    async def other_run(self, kind: str, radio: str = "", device: str = "") -> str | None:
        """Return None."""
        return None

    async def saved(self) -> None:
        """There is nothing to wait for."""
