"""A fleet in a thread of its own, for programs that come with event loops of theirs.

The fleet does not live in the program's loop: a program may run several loops, one after another or
in several threads, block them for minutes, or stop them between two calls. A proxy serves one
subscriber, and drops its links when that does not answer. So there is one fleet to a process, and
its loop never stops before the process does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable

from proxyconn import Fleet, RadioUnavailableError, install
from proxyconn.cli.fleet_session import Settings, any_ready, open_fleet
from proxyconn.programs.install import close_links

CLOSE_TIMEOUT = 6.0
"""Seconds for closing links and sessions; a proxy drops the links of one that is cut off, too."""


class BackgroundFleet:
    """A fleet that is installed for the whole process.

    Args:
        settings: what the fleet is to be.
        on_none_ready: called once, in the fleet's thread, when no radio can be expected to become
            ready; its argument says why.

    Attributes:
        needed: whether the main thread of the program still runs; set by whoever runs it.
    """

    def __init__(self, settings: Settings, on_none_ready: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_none_ready = on_none_ready
        self.needed = True
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        # The interpreter waits for threads that are no daemons before it lets anybody close this.
        self._thread = threading.Thread(target=self._run, name="proxyconn", daemon=True)

    def open(self) -> None:
        """Open and install the fleet; waits for no radio.

        Raises:
            BleakError, OSError: it cannot be opened.
        """
        self._thread.start()
        self._opened.result()

    def close(self) -> None:
        """Close every session; the proxies free what they held. Programs are told if they go on."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(CLOSE_TIMEOUT)

    def _run(self) -> None:
        # Not asyncio.run(): it ends with a new thread, which a process that ends refuses.
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            async with open_fleet(self._settings) as fleet:
                install(fleet, ready=lambda: any_ready(fleet, self._settings))
                self._opened.set_result(None)
                async with asyncio.TaskGroup() as tasks:
                    warning = tasks.create_task(self._warn(fleet))
                    await self._closing.wait()
                    warning.cancel()
                await close_links()
        except BaseException as exc:
            if self._opened.done():
                raise
            # It is raised where the fleet is waited for.
            self._opened.set_exception(exc)

    async def _warn(self, fleet: Fleet) -> None:
        try:
            await any_ready(fleet, self._settings)
        except RadioUnavailableError as exc:
            # A process that ends takes away what a proxy is joined with.
            if self.needed:
                self._on_none_ready(str(exc))
