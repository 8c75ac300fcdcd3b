"""Retrying one Bluetooth operation."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from proxyconn.failures.rules import BLEAK_RETRY_EXCEPTIONS, calculate_backoff_time

DEFAULT_ATTEMPTS = 2

_LOGGER = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def retry_bluetooth_connection_error(
    attempts: int = DEFAULT_ATTEMPTS,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Make an async function try again when Bluetooth fails it.

    Args:
        attempts: how often to call the function, at least once.

    Raises:
        ValueError: `attempts` is less than 1.

    The decorated function waits `calculate_backoff_time()` between calls; what the last call
    raises propagates unchanged, and so does at once whatever is not in BLEAK_RETRY_EXCEPTIONS.
    """
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, not {attempts}")

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(function)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            for attempt in range(1, attempts):
                try:
                    return await function(*args, **kwargs)
                except BLEAK_RETRY_EXCEPTIONS as exc:
                    wait = calculate_backoff_time(exc)
                    _LOGGER.debug(
                        "%s failed (%d of %d), trying again in %g s: %r",
                        function.__qualname__,
                        attempt,
                        attempts,
                        wait,
                        exc,
                    )
                await asyncio.sleep(wait)
            return await function(*args, **kwargs)

        return retrying

    return decorate
