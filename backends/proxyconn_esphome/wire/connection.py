"""aioesphomeapi's connection to one proxy, which sets itself up again whenever it was lost."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aioesphomeapi.core import APIConnectionError, InvalidAuthAPIError
from aioesphomeapi.model import BluetoothProxyFeature, ConnectionClosedEvent, DeviceInfo
from aioesphomeapi.reconnect_logic import ReconnectLogic
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import Proxy
from proxyconn_esphome.wire.addresses import Addresses
from proxyconn_esphome.wire.board_entities import press_restart, wifi_signal
from proxyconn_esphome.wire.identity import tidy
from proxyconn_esphome.wire.messages import BluetoothLERawAdvertisementsResponse
from proxyconn_esphome.wire.native_api import NotCalledError, Wire, WireClient
from proxyconn_esphome.wire.raw_connection import MaySend, take_batches

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

REFUSED_RETRY = 60.0
"""Seconds before a proxy is called again that has refused the password."""

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
    """Keeps one proxy connected, by whichever of its addresses answers first.

    Waits to be called from there if its port is 0.

    Failed attempts are repeated after 1.8**n seconds, at most 60; after a refused key or password
    always 60. A connection that is lost soon after it came up, again and again, waits 2**n seconds,
    at most 60.

    Args:
        proxy: where the proxy is, and its key.
        owner: told how the connection fares.
        zeroconf: resolves `.local` names.
        expected_mac: 12 lower-case hex digits that an encrypting proxy must have, or None.
        others: other addresses at which it may be; tried in parallel.

    Attributes:
        proxy: where the proxy is, and its key.
        up_at: when it last came up, in the loop's seconds.
        called_from: IP address that the proxy has called from; None if we have called it.
    """

    def __init__(
        self,
        proxy: Proxy,
        owner: ConnectionOwner,
        *,
        zeroconf: AsyncZeroconf | None = None,
        expected_mac: str | None = None,
        others: Iterable[str] = (),
    ) -> None:
        self._addresses = Addresses((proxy.host, *others))
        self._label = f"{proxy.host}:{proxy.port}"
        self.proxy = proxy
        self.called_from: str | None = None
        self._owner = owner
        self._paused: asyncio.Task[None] | None = None
        self._why: str | None = None
        self.up_at = 0.0
        self._unread_timer: asyncio.TimerHandle | None = None
        self._handled: list[Callable[[], None]] = []
        self._flaps = 0
        self._client = WireClient(
            proxy.host,
            proxy.port,
            addresses=list(self._addresses.hosts),
            client_info=CLIENT_INFO,
            noise_psk=proxy.noise_psk,
            password=proxy.password,
            expected_name=None if expected_mac else proxy.name,
            expected_mac=expected_mac,
            zeroconf_instance=zeroconf,
            provide_time=False,
        )
        self._client.waits = not proxy.port
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

    async def answer(self, sock: socket.socket, host: str) -> None:
        """Take the connected socket of a proxy that calls from `host`.

        Goes on as `start()` does. Returns once the owner was told how it went, at least.
        """
        waits, self._client.waits = self._client.waits, True
        self.called_from = host
        try:
            await self._reconnect.start()
            # The attempt that this begins fails at once, and only a first failure is a warning.
            await asyncio.sleep(0)
            await self._reconnect.async_adopt_connection(sock)
        finally:
            self._client.waits = waits

    def hand_over(self, owner: ConnectionOwner) -> None:
        """Tell somebody else from now on how the connection fares."""
        self._owner = owner

    def declare_target(self, declared: bool) -> None:
        """Say, from the next Hello on, whether the proxy may call us by itself."""
        self._client.declare_target(declared)

    def guard(self, may_send: MaySend) -> None:
        """Have everything that is sent from the next attempt on pass a guard."""
        self._client.may_send = may_send

    def cut(self, why: str) -> None:
        """End the connection at once and without a goodbye, until it is tried again."""
        self._why = why
        self._client.cut()

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

    @property
    def hosts(self) -> list[str]:
        """Its addresses, in the order in which they are tried."""
        return list(self._addresses.hosts)

    def be_at(self, hosts: Sequence[str]) -> None:
        """Try other addresses from the next attempt on."""
        self._addresses.replace(hosts)
        self._client.call_at(self._addresses.hosts)

    def not_at_peer(self) -> None:
        """Try the address last that took the last call."""
        self._addresses.failed(self._client.last_peer)
        self._client.call_at(self._addresses.hosts)

    def wake(self) -> None:
        """Connect now rather than after the backoff: mDNS has just seen the proxy."""
        self._reconnect.notify_device_seen()

    def expect_mac(self, mac: str) -> None:
        """Refuse any other device from the next handshake on; 12 lower-case hex digits.

        The one that has it may have another name by then.
        """
        self._client.expect_mac(mac)
        self._client.expected_name = None

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

    async def wifi_signal(self) -> float | None:
        """Return the signal of its Wi-Fi in dBm; None if it has no sensor of that, or says nothing.

        From then on it tells the states of all its sensors, until the connection ends.
        """
        return await wifi_signal(self._client)

    async def restart(self) -> bool:
        """Press the device's restart button; False if it has none.

        Raises:
            APIConnectionError, TimeoutError: it does not answer.
        """
        return await press_restart(self._client)

    def features(self, info: DeviceInfo) -> BluetoothProxyFeature:
        """Return what a device can do as a proxy, as its API version says it."""
        version = self._client.api_version
        return BluetoothProxyFeature(
            info.bluetooth_proxy_feature_flags_compat(version) if version else 0
        )

    def handle(self, wire: Wire, handlers: Mapping[type[Any], Callable[..., None]]) -> None:
        """Call a handler for each message of its type, until the connection is lost.

        That of advertisements is called with the reports in each batch, and the loop's time.
        What has arrived with the last message is dropped then: it is about a session that is over.
        """
        for type_, handler in handlers.items():
            if type_ is BluetoothLERawAdvertisementsResponse:
                self._handled.append(take_batches(wire, handler))
            else:
                self._handled.append(wire.add_message_callback(handler, (type_,)))

    async def _on_connect(self) -> None:
        self.up_at = asyncio.get_running_loop().time()
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
        self._addresses.worked(self._client.last_peer)
        self._client.call_at(self._addresses.hosts)
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
        self.called_from = None
        why, self._why = self._why, None
        if why is None:
            why = "the proxy asked for it" if event.expected_disconnect else "connection lost"
            if not isinstance(event.error, InvalidAuthAPIError):
                self._mind_flapping()
        self._owner.on_lost(self, why)
        if isinstance(event.error, InvalidAuthAPIError):
            # It greets everybody, and refuses the password only then.
            self._failed(event.error)

    def _mind_flapping(self) -> None:
        lasted = asyncio.get_running_loop().time() - self.up_at
        self._flaps = self._flaps + 1 if lasted < SHORT_LIFE else 0
        if self._flaps > FLAPS_ALLOWED:
            rest = min(2.0 ** (self._flaps - FLAPS_ALLOWED), LONGEST_REST)
            _LOGGER.debug("%s: lost %d times in a row; waiting", self._label, self._flaps)
            self.pause(rest)

    async def _on_connect_error(self, error: Exception) -> None:
        if not (self.called_from and isinstance(error, NotCalledError)):
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.not_at_peer()
        self._owner.on_failed(self, error)
        if isinstance(error, InvalidAuthAPIError):
            # Not even when mDNS sees the proxy: it will refuse us again.
            self.pause(REFUSED_RETRY)
