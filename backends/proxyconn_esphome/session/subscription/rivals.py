"""Who has a proxy's subscription instead of us, as far as that can be known.

No message of the firmware says it. Other programs of the same user write down that they ask for it,
before they do; of everybody else, such as Home Assistant, nothing is known.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol

from proxyconn.radio import Subscribers

SOMEBODY: Final = "another client (Home Assistant, say)"

TAKEN_OVER_SINCE: Final = (2026, 7)
"""First release in which the newest client takes the subscription over."""

_VERSION: Final = re.compile(r"([0-9]{4})\.([0-9]{1,2})(?![0-9])")


def version_of(text: str) -> tuple[int, ...]:
    """Return year and month of an ESPHome version such as 2026.7.0-dev; () for any other text."""
    match = _VERSION.match(text)
    return tuple(map(int, match.groups())) if match else ()


class SoughtProxy(Protocol):
    """The proxy that grants the subscription."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def mac(self) -> str | None:
        """12 lower-case hex digits; None until they are known."""
        ...

    @property
    def keeps_links(self) -> bool:
        """Whether the newest client takes the subscription over, as far as is known."""
        ...


class Rivals:
    """Finds out who has the subscription of one proxy.

    Attributes:
        name: who, in words; None for nobody that is known.
    """

    def __init__(self, proxy: SoughtProxy, subscribers: Subscribers) -> None:
        self._proxy = proxy
        self._subscribers = subscribers
        self._task: asyncio.Task[None] | None = None
        self.name: str | None = None

    @property
    def is_looking(self) -> bool:
        """Whether it is being found out."""
        return self._task is not None and not self._task.done()

    def asking(self) -> None:
        """Take note that the subscription is asked for, before it is."""
        self.stop()
        if self._proxy.keeps_links:
            self._subscribers.asked(self._radio)

    def look(self, then: Callable[[], None] | None = None) -> None:
        """Find out who has it; what is known is known in a moment, and `then` is called."""
        if not self.is_looking:
            self._task = asyncio.get_running_loop().create_task(self._look(then))

    def stop(self) -> None:
        """Have nobody in mind any more."""
        self.name = None
        if self._task:
            self._task.cancel()
            self._task = None

    async def _look(self, then: Callable[[], None] | None) -> None:
        process = await self._subscribers.other(self._radio)
        self.name = f"another program of this user (process {process})" if process else None
        self._task = None
        if then:
            then()

    @property
    def _radio(self) -> str:
        return self._proxy.mac or self._proxy.name
