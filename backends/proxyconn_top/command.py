"""`proxyconn top`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxyconn.cli.errors import BAD_USAGE, fail, run
from proxyconn.cli.fleet_session import Settings, open_fleet
from proxyconn.cli.options import settings_command
from proxyconn.errors import RadioUnavailableError
from proxyconn.fleet.owner_socket import find_owner
from proxyconn_top.sources import FleetSource, OwnerSource, Source
from proxyconn_web.client import OwnerClient

NEEDS = "`proxyconn top` needs Textual; run: pip install 'proxyconn[top]'"
NO_TERMINAL = (
    "`proxyconn top` needs a terminal; for programs there are `proxyconn discover --json` and "
    "`proxyconn slots --watch --json`"
)


def _top(settings: Settings) -> None:
    """Show the fleet in the terminal, as it changes: radios, slots, devices, paths, log.

    It shows the fleet of `proxyconn serve` if that runs, and else one of its own, for which it
    needs the proxies for itself.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise fail(NO_TERMINAL, BAD_USAGE)
    try:
        import textual  # noqa: F401 - an extra that may be missing
    except ImportError:
        raise fail(NEEDS) from None
    run(_show(settings))


async def _show(settings: Settings) -> None:
    from proxyconn_top.app import Top

    async with _source(settings) as source:
        await Top(source).run_async()


@asynccontextmanager
async def _source(settings: Settings) -> AsyncIterator[Source]:
    socket = find_owner() if settings.owner is None else None
    if socket is not None:
        async with OwnerClient(socket) as owner:
            if await _answers(owner):
                yield OwnerSource(owner)
                return
    async with open_fleet(settings) as fleet:
        source = FleetSource(fleet)
        try:
            yield source
        finally:
            source.close()


async def _answers(owner: OwnerClient) -> bool:
    """Whether there is an owner: one that was killed leaves its socket behind."""
    try:
        await owner.snapshot()
    except RadioUnavailableError:
        return False
    return True


top = settings_command(_top, without=frozenset({"verbose"}))
