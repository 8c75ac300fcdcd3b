"""Closes a client of nats-py, whatever has become of its connection."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that saying goodbye may take."""

_TASKS: Final = ("_reconnection_task", "_reading_task", "_ping_interval_task", "_flusher_task")
"""Tasks of a client, which begin anew with each connection that it makes."""


async def close_client(client: Client) -> None:
    """Say goodbye if there is a way, and leave no task and no transport behind."""
    subscriptions: dict[int, Subscription] = vars(client)["_subs"]
    try:
        # asyncio's errors from Python 3.12 on where nats-py writes to a transport that has ended.
        broken = (nats.errors.Error, TimeoutError, OSError, TypeError, AttributeError)
        with contextlib.suppress(*broken):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await client.close()
    finally:
        # Where the server goes or comes in this moment nats-py stops halfway, and these would stay.
        for task in filter(None, map(vars(client).get, _TASKS)):
            task.cancel()
        for one in subscriptions.values():
            one._stop_processing()  # noqa: SLF001 - its own end does so
        if transport := vars(client)["_transport"]:
            transport.close()
