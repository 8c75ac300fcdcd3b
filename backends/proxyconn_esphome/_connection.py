"""aioesphomeapi's connection to one proxy, which sets itself up again whenever it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aioesphomeapi.core import APIConnectionError
from aioesphomeapi.model import BluetoothProxyFeature, ConnectionClosedEvent, DeviceInfo
from aioesphomeapi.reconnect_logic import ReconnectLogic
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import Proxy

from ._identity import tidy
from ._wire import Wire, WireClient

CLIENT_INFO = "proxyconn"
"""What the proxy's log calls us."""

CLOSE_TIMEOUT = 2.0
"""Seconds for a proxy to answer our goodbye."""

SHORT_LIFE = 10.0
"""Seconds for which a connection must last to count as one."""

FLAPS_ALLOWED = 3
"""Short lives in a row before the next attempt waits: a reboot may cost one or two."""

LONGEST_REST = 60.0
"""Seconds that it waits at most."""

MOST_UNREAD = 1 << 20
"""Bytes written that a proxy may leave unread; it asks for a few thousand in its whole life."""

UNREAD_EVERY = 5.0
"""Seconds between two looks at them."""

_LOGGER = logging.getLogger(__name__)


class ConnectionOwner(Protocol):
    """Who is told how a connection fares."""

    def on_up(self, connection: Connection, info: DeviceInfo, wire: Wire) -> None:
        """The device has said who it is; nothing else has been said yet."""
        ...

    def on_lost(self, connection: Connection, why: str) -> None:
        """The connection was up and is not any more."""
        ...

    def on_failed(self, connection: Connection, error: Exception) -> None:
        """It did not come up; it is tried again."""
        ...


class Connection:
    """Keeps one address connected.

    Failed attempts are repeated after 1.8**n seconds, at most 60; after a refused key always 60. A
    connection that is lost soon after it came up, again and again, waits 2**n seconds, at most 60.

    Args:
        proxy: where the proxy is, and its key.
        owner: told how the connection fares.
        zeroconf: resolves `.local` names.
        expected_mac: 12 lower-case hex digits that an encrypting proxy must have, or None.
    """

    def __init__(
        self,
        proxy: Proxy,
        owner: ConnectionOwner,
        *,
        zeroconf: AsyncZeroconf | None = None,
        expected_mac: str | None = None,
    ) -> None:
        self._label = f"{proxy.host}:{proxy.port}"
        self._owner = owner
        self._paused: asyncio.Task[None] | None = None
        self._why: str | None = None
        self._up_at = 0.0
        self._unread_timer: asyncio.TimerHandle | None = None
        self._handled: list[Callable[[], None]] = []
        self._flaps = 0
        self._client = WireClient(
            proxy.host,
            proxy.port,
            client_info=CLIENT_INFO,
            noise_psk=proxy.noise_psk,
            expected_name=proxy.name,
            expected_mac=expected_mac,
            zeroconf_instance=zeroconf,
            provide_time=False,
        )
        self._client.add_connection_closed_callback(self._on_closed)
        self._reconnect = ReconnectLogic(
            client=self._client,
            on_connect=self._on_connect,
            on_disconnect=self._on_disconnect,
            on_connect_error=self._on_connect_error,
            zeroconf_wake=False,
        )

    async def start(self) -> None:
        """Begin to connect; waits for nothing, and goes on until `aclose()`."""
        await self._reconnect.start()

    async def aclose(self, why: str) -> None:
        """End the connection for good.

        Idempotent; takes CLOSE_TIMEOUT at most, and even a cancelled call ends the connection.
        """
        self._why = why
        if self._paused:
            self._paused.cancel()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.disconnect()
        except TimeoutError:
            _LOGGER.debug("%s: no answer to our goodbye", self._label)
        finally:
            # This also ends a handshake under way, which stop() would wait for.
            self._client.force_disconnect()
        await self._reconnect.stop()
        if self._paused:
            await asyncio.wait([self._paused])

    def wake(self) -> None:
        """Connect now rather than after the backoff: mDNS has just seen the proxy."""
        self._reconnect.notify_device_seen()

    def expect_mac(self, mac: str) -> None:
        """Refuse any other device from the next handshake on; 12 lower-case hex digits."""
        self._client.expect_mac(mac)

    def renew(self, why: str) -> None:
        """Say goodbye without waiting for an answer, and connect again after 5 s."""
        self._why = why
        self._client.force_disconnect()

    def pause(self, seconds: float) -> None:
        """Hang up, and do not call again for `seconds`."""
        if self._paused is None or self._paused.done():
            self._paused = asyncio.get_running_loop().create_task(self._pause(seconds))

    async def _pause(self, seconds: float) -> None:
        self._client.force_disconnect()
        await self._reconnect.stop()
        await asyncio.sleep(seconds)
        await self._reconnect.start()

    def features(self, info: DeviceInfo) -> BluetoothProxyFeature:
        """Return what a device can do as a proxy, as its API version says it."""
        version = self._client.api_version
        return BluetoothProxyFeature(
            info.bluetooth_proxy_feature_flags_compat(version) if version else 0
        )

    def handle(self, wire: Wire, handlers: Mapping[type[Any], Callable[[Any], None]]) -> None:
        """Call a handler for each message of its type, until the connection is lost.

        What has arrived with the last message is dropped then: it is about a session that is over.
        """
        self._handled += [
            wire.add_message_callback(handler, (type_,)) for type_, handler in handlers.items()
        ]

    async def _on_connect(self) -> None:
        self._up_at = asyncio.get_running_loop().time()
        self._client.take_small_bites()
        self._mind_unread()
        try:
            info = tidy(await self._client.device_info())
            wire = self._client.wire()
        except APIConnectionError as exc:
            _LOGGER.debug("%s: no device info: %r", self._label, exc)
            self._client.force_disconnect()
            return
        if info is None:
            _LOGGER.debug("%s: it does not say who it is", self._label)
            self._client.force_disconnect()
            return
        self._owner.on_up(self, info, wire)

    def _mind_unread(self) -> None:
        """End the connection if the proxy makes us write and does not read: it costs us memory."""
        self._unread_timer = asyncio.get_running_loop().call_later(UNREAD_EVERY, self._mind_unread)
        if (unread := self._client.unread()) > MOST_UNREAD:
            _LOGGER.warning("%s: it has not read %d bytes; hanging up", self._label, unread)
            self._client.abort()

    async def _on_disconnect(self, expected: bool) -> None:
        """Nothing: `_on_closed` has done it, at once and without waiting for a task."""

    def _on_closed(self, event: ConnectionClosedEvent) -> None:
        _LOGGER.debug("%s: connection closed: %r", self._label, event.error)
        if self._unread_timer:
            self._unread_timer.cancel()
        for unsubscribe in self._handled:
            unsubscribe()
        self._handled.clear()
        why, self._why = self._why, None
        if why is None:
            why = "the proxy asked for it" if event.expected_disconnect else "connection lost"
            self._mind_flapping()
        self._owner.on_lost(self, why)

    def _mind_flapping(self) -> None:
        lasted = asyncio.get_running_loop().time() - self._up_at
        self._flaps = self._flaps + 1 if lasted < SHORT_LIFE else 0
        if self._flaps > FLAPS_ALLOWED:
            rest = min(2.0 ** (self._flaps - FLAPS_ALLOWED), LONGEST_REST)
            _LOGGER.debug("%s: lost %d times in a row; waiting", self._label, self._flaps)
            self.pause(rest)

    async def _on_connect_error(self, error: Exception) -> None:
        self._owner.on_failed(self, error)
