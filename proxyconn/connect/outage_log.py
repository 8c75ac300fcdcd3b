"""Logs why a device is not connected: once at INFO, and at WARNING when it lasts."""

from __future__ import annotations

import asyncio
import logging

LASTS_AFTER = 60.0
"""Seconds without a connection that are worth a warning: longer than most devices and proxies take
to restart, and as long as the longest pause between two rounds of attempts."""

_LOGGER = logging.getLogger(__name__)


class OutageLog:
    """Tells of one outage after another, each at most twice, and of the end of those that last.

    Args:
        name: what to call the device.

    Attributes:
        reason: why the device is not connected, as far as it is known.
    """

    def __init__(self, name: str) -> None:
        self.reason = ""
        self._name = name
        self._since = 0.0
        self._told = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, reason: str | None = None) -> None:
        """The device is not connected from now on, because of `reason` if there is one."""
        loop = asyncio.get_running_loop()
        self.close()
        self.reason, self._told = "no attempt has ended so far", False
        self._since = loop.time()
        self._timer = loop.call_later(LASTS_AFTER, self._lasts)
        if reason:
            self.because(reason)

    def because(self, reason: str) -> None:
        """It is not connected because of `reason`; only the first reason is told now."""
        self.reason = reason
        level = logging.DEBUG if self._told else logging.INFO
        self._told = True
        _LOGGER.log(level, "%s: not connected, trying again: %s", self._name, reason)

    def end(self) -> None:
        """The device is connected."""
        lasted = self._timer is None
        self.close()
        seconds = asyncio.get_running_loop().time() - self._since
        level = logging.INFO if lasted else logging.DEBUG
        _LOGGER.log(level, "%s: connected after %.0f s", self._name, seconds)

    def close(self) -> None:
        """Nobody wants the device connected any more; idempotent."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _lasts(self) -> None:
        self._timer = None
        self._told = True
        _LOGGER.warning(
            "%s: not connected for %.0f s, still trying: %s", self._name, LASTS_AFTER, self.reason
        )
