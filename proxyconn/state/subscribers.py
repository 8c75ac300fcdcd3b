"""Which run has asked each radio for its subscription last: runs may take it from each other."""

from __future__ import annotations

from typing import Final

from proxyconn.state.facts import Memory, NoMemory

SUBSCRIBED: Final = "subscribed"
"""Kind of fact: a radio was asked for its subscription, by which run."""


class Subscribers:
    """The runs that ask for subscriptions, as far as they share this state.

    Args:
        memory: what other runs put, too; None for nothing.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or NoMemory()

    def asked(self, radio: str) -> None:
        """Remember that this run asks a radio for its subscription."""
        # Another run may have put its own meanwhile, so what is known here may not be what is kept.
        self._memory.drop(SUBSCRIBED, radio)
        self._memory.put(SUBSCRIBED, radio, value={"run": self._memory.run}, soon=True)

    async def other(self, radio: str) -> str | None:
        """Return the number of the process that has asked since; None if it is not known."""
        run = await self._memory.other_run(SUBSCRIBED, radio)
        return run.partition("-")[0] if run else None
