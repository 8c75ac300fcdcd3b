"""Has leases looked at before anything else, whenever the loop has slept.

A process may be stopped for longer than its leases last, by SIGSTOP, by a debugger, with the whole
machine. When it goes on, whatever it meant to send is ready to be sent, what waits in buffers of
asyncio included. So the loop looks at the leases as soon as it wakes, and cuts off what is lost,
before it runs what is due. What begins to be sent later in the same turn passes a guard of its own
(`Tenure.holds`, in the connection to the proxy).
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable


class FencedSelector(selectors.DefaultSelector):
    """A selector that calls `check()` each time it has waited.

    Attributes:
        check: what to call; must not raise, nor wait. None for nothing.
    """

    check: Callable[[], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as any selector does, then check."""
        events = super().select(timeout)
        if self.check is not None:
            self.check()
        return events


class FencedLoop(asyncio.SelectorEventLoop):
    """An event loop with a fence.

    Attributes:
        fence: its selector.
    """

    def __init__(self) -> None:
        self.fence = FencedSelector()
        super().__init__(self.fence)


def put_up(check: Callable[[], None] | None) -> None:
    """Have `check` called by the running loop's fence, if it has one; None for no more."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, FencedLoop):
        loop.fence.check = check
