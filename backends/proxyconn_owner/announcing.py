"""Decides what a served proxy is called in mDNS, and announces it there.

One that cannot be announced is served all the same, and that is logged.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Final

from proxyconn_native_api.mdns import EVERY_ADDRESS, Announced, AnnounceError, Announcer

MAX_NAME: Final = 31
"""Longest node name, characters (ESPHome core/config.py)."""

MAC_DIGITS: Final = 6
"""Digits of its MAC address that `name_add_mac_suffix` puts behind a node's name (ESPHome)."""

GOODBYE: Final = 5.0
"""Seconds for saying goodbye, which takes three packets in 0.25 s (RFC 6762 section 8.3)."""

_NOT_IN_A_NAME: Final = re.compile("[^a-z0-9-]")

_LOGGER = logging.getLogger(__name__)


def instance_of(name: str, mac: str) -> str:
    """Return what a proxy is called in mDNS: a node name, which is a label of DNS.

    A name that is none, or is too long, ends with digits of the MAC address, so that two of which
    the same is left stay apart.

    Args:
        name: what it is to be called.
        mac: six colon-separated hex octets.
    """
    node = _NOT_IN_A_NAME.sub("-", name.lower()).strip("-")
    if node == name and len(node) <= MAX_NAME:
        return node
    digits = mac.replace(":", "").lower()[-MAC_DIGITS:]
    return f"{node[: MAX_NAME - MAC_DIGITS - 1].rstrip('-')}-{digits}".lstrip("-")


class Announcements:
    """The proxies of an owner in mDNS.

    Args:
        host: IP address at which they listen.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._announcer: Announcer | None = None

    async def start(self) -> Announcer:
        """Begin to speak mDNS, if that is not begun. Raises AnnounceError."""
        if self._announcer is None:
            announcer = Announcer(None if self._host == EVERY_ADDRESS else self._host)
            await announcer.start(())
            self._announcer = announcer
        return self._announcer

    async def add(self, proxy: Announced, name: str) -> None:
        """Announce a proxy that is listening, by a name like `name`."""
        try:
            announcer = await self.start()
            await announcer.add(proxy, instance_of(name, proxy.mac))
        except AnnounceError as exc:
            _LOGGER.error(
                "%s is not announced by mDNS: %s; name it to its clients by its address, port %d",
                name,
                exc,
                proxy.port,
            )

    async def aclose(self) -> None:
        """Say goodbye, as far as that can be; idempotent, also after it was cancelled."""
        if self._announcer is None:
            return
        try:
            async with asyncio.timeout(GOODBYE):
                await self._announcer.stop()
        except (TimeoutError, AnnounceError) as exc:
            _LOGGER.warning("mDNS was not told goodbye: %s", exc or "it does not answer")
        self._announcer = None
