"""Waiting until a proxy can be used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._listener import SessionListener

if TYPE_CHECKING:
    from ._session import ProxySession


class _ReadyWaiter(SessionListener):
    """Resolves a future once a session can be used, or cannot without somebody's help."""

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def session_changed(self, session: ProxySession) -> None:
        settled = session.is_usable or (session.problem and session.problem.lasting)
        if settled and not self.future.done():
            self.future.set_result(None)


async def until_ready(session: ProxySession, timeout: float) -> None:
    """Wait until a session can be used. Raises as `ProxySession.ready`."""
    waiter = _ReadyWaiter(asyncio.get_running_loop().create_future())
    remove = session.add_listener(waiter)
    try:
        waiter.session_changed(session)
        async with asyncio.timeout(timeout):
            await waiter.future
    except TimeoutError:
        raise session.unavailable() from None
    finally:
        remove()
    if not session.is_usable:
        raise session.unavailable()
