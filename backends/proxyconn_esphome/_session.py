"""One proxy's session: aioesphomeapi's connection, our subscriptions, its slots and its links."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from aioesphomeapi.core import APIConnectionError
from aioesphomeapi.model import BluetoothProxyFeature, ConnectionClosedEvent, DeviceInfo
from aioesphomeapi.reconnect_logic import ReconnectLogic
from bluetooth_data_tools import int_to_bluetooth_address
from google.protobuf.message import Message
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import (
    AllocationChangeEvent,
    Allocations,
    Proxy,
    RadioState,
    RadioUnavailableError,
    SlotLedger,
    SlotQueue,
    UnsupportedError,
)

from ._cache import GattCache
from ._dispatch import Dispatcher
from ._listener import SessionListener
from ._messages import (
    BluetoothConnectionsFreeResponse,
    BluetoothDeviceRequest,
    BluetoothDeviceRequestType,
    BluetoothLERawAdvertisementsResponse,
    BluetoothScannerStateResponse,
    SubscribeBluetoothConnectionsFreeRequest,
)
from ._outbox import Outbox
from ._problems import Problem, problem_of
from ._subscription import Subscription
from ._wire import WireClient

CLIENT_INFO = "proxyconn"
"""What the proxy's log calls us."""

CLOSE_TIMEOUT = 2.0
"""Seconds for a proxy to answer our goodbye."""

NOT_A_PROXY = Problem(RadioState.GONE, "it is an ESPHome device but no Bluetooth proxy", True)

CLOSED = Problem(RadioState.GONE, "the session was closed", True)

_LOGGER = logging.getLogger(__name__)


class _ReadyWaiter(SessionListener):
    """Resolves a future once a session is ready, or will not be without somebody's help."""

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def session_changed(self, session: ProxySession) -> None:
        settled = session.state is RadioState.READY or (session.problem and session.problem.lasting)
        if settled and not self.future.done():
            self.future.set_result(None)


class ProxySession:
    """Keeps one proxy connected, and everything that goes over that connection.

    Args:
        proxy: where it is, and its key.
        cache: what is known of devices; shared between sessions.
        zeroconf: resolves `.local` names.
        expected_mac: 12 lower-case hex digits the proxy must have, or None.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        cache: GattCache | None = None,
        zeroconf: AsyncZeroconf | None = None,
        expected_mac: str | None = None,
    ) -> None:
        self.proxy = proxy
        self.state = RadioState.CONNECTING
        self.problem: Problem | None = None
        self.info: DeviceInfo | None = None
        self.features = BluetoothProxyFeature(0)
        self.cache = cache or GattCache()
        self.ledger = SlotLedger(self.name)
        self.queue = SlotQueue(self.ledger)
        self.dispatcher = Dispatcher(self.send_disconnect)
        self.turn = asyncio.Lock()
        self.opening: set[str] = set()
        self.abandoned: dict[str, bool] = {}
        self._listeners: list[SessionListener] = []
        self._outbox: Outbox | None = None
        self._subscription = Subscription(self)
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

    def __repr__(self) -> str:
        return f"<ProxySession {self.name} at {self.proxy.host}:{self.proxy.port}: {self.state}>"

    @property
    def name(self) -> str:
        """The proxy's node name; host and port until it is known."""
        if self.info:
            return self.info.name
        return self.proxy.name or f"{self.proxy.host}:{self.proxy.port}"

    @property
    def connectable(self) -> bool:
        """Whether the proxy opens links, as we need it: with remote caching (API 1.7, 2023.2)."""
        needed = BluetoothProxyFeature.ACTIVE_CONNECTIONS | BluetoothProxyFeature.REMOTE_CACHING
        return needed in self.features

    def add_listener(self, listener: SessionListener) -> Callable[[], None]:
        """Tell `listener` about every change; returns the unsubscribe."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def ready(self, timeout: float) -> None:
        """Wait until the proxy can be used.

        Raises:
            RadioUnavailableError: it was not ready within `timeout` seconds, or has a problem that
                lasts; the error says which.
        """
        waiter = _ReadyWaiter(asyncio.get_running_loop().create_future())
        remove = self.add_listener(waiter)
        try:
            waiter.session_changed(self)
            async with asyncio.timeout(timeout):
                await waiter.future
        except TimeoutError:
            raise RadioUnavailableError(self._unavailable(), source=self.name) from None
        finally:
            remove()
        if self.state is not RadioState.READY:
            raise RadioUnavailableError(self._unavailable(), source=self.name)

    async def start(self) -> None:
        """Begin to connect, and go on until `aclose()`."""
        await self._reconnect.start()

    async def aclose(self) -> None:
        """End the session; the proxy drops every link it holds for us.

        Idempotent; takes CLOSE_TIMEOUT at most, and even a cancelled call ends the session.
        """
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.disconnect()
        except TimeoutError:
            _LOGGER.debug("%s: no answer to our goodbye", self.name)
        finally:
            # This also ends a handshake under way, which stop() would wait for.
            self._client.force_disconnect()
            self._end(CLOSED.text)
            self.set_state(CLOSED.state, CLOSED)
        await self._reconnect.stop()

    def notify_seen(self) -> None:
        """Connect now rather than after the backoff: mDNS has just seen the proxy."""
        self._reconnect.notify_device_seen()

    # What links and clients need

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError if there is no session."""
        if self._outbox is None:
            raise RadioUnavailableError(self._unavailable(), source=self.name)
        try:
            self._outbox.send(message)
        except APIConnectionError as exc:
            raise RadioUnavailableError(
                f"{self.name}: the session broke: {exc}", source=self.name
            ) from exc

    def count_outstanding(self, change: int) -> None:
        """Take note that a reply is waited for (1), or no more (-1)."""
        if self._outbox:
            self._outbox.outstanding += change

    def send_disconnect(self, number: int) -> None:
        """Ask the proxy to drop whatever it holds for an address."""
        self.send(
            BluetoothDeviceRequest(
                address=number,
                request_type=BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT,
            )
        )

    def request_slots(self) -> None:
        """Ask for a slot report: those the proxy sends by itself can be lost."""
        self.send(SubscribeBluetoothConnectionsFreeRequest())

    def allocations(self) -> Allocations | None:
        """Return the last slot report; None before the first."""
        return self.ledger.allocations()

    def require(self, feature: BluetoothProxyFeature, what: str, since: str) -> None:
        """Raise UnsupportedError unless the proxy has `feature`, which came with `since`."""
        if feature not in self.features:
            version = self.info.esphome_version if self.info else "unknown"
            raise UnsupportedError(
                f"{self.name}: {what} needs ESPHome {since} or newer with `active: true`; "
                f"this proxy runs {version}",
                source=self.name,
            )

    def require_connectable(self) -> None:
        """Raise unless the proxy can be asked for a link now.

        Raises:
            RadioUnavailableError: there is no session, or another client holds the subscription.
            UnsupportedError: the proxy only listens.
        """
        if self.state is not RadioState.READY:
            raise RadioUnavailableError(self._unavailable(), source=self.name)
        if not self.connectable:
            raise UnsupportedError(
                f"{self.name}: this proxy only listens; set `bluetooth_proxy: active: true` "
                "in its YAML",
                source=self.name,
            )

    def _unavailable(self) -> str:
        reason = self.problem.text if self.problem else f"it is {self.state}"
        return f"{self.name}: the proxy cannot be used: {reason}"

    # The life of the connection

    async def _on_connect(self) -> None:
        try:
            info = await self._client.device_info()
            wire = self._client.wire()
        except APIConnectionError as exc:
            _LOGGER.debug("%s: no device info: %r", self.name, exc)
            self._client.force_disconnect()
            return
        self.info = info
        self.ledger.name = info.name
        version = self._client.api_version
        self.features = BluetoothProxyFeature(
            info.bluetooth_proxy_feature_flags_compat(version) if version else 0
        )
        if not self.features:
            self.set_state(NOT_A_PROXY.state, NOT_A_PROXY)
            return
        for listener in list(self._listeners):
            listener.session_changed(self)
        for type_, handler in self.dispatcher.handlers().items():
            wire.add_message_callback(handler, (type_,))
        wire.add_message_callback(self._on_slots, (BluetoothConnectionsFreeResponse,))
        wire.add_message_callback(self._on_heard, (BluetoothLERawAdvertisementsResponse,))
        wire.add_message_callback(self._on_scanner_state, (BluetoothScannerStateResponse,))
        self._outbox = Outbox(wire)
        try:
            if self.connectable:
                self.request_slots()
            self._subscription.start()
        except RadioUnavailableError as exc:
            # The connection's own end is on its way, and starts everything anew.
            _LOGGER.debug("%s: lost again at once: %s", self.name, exc)

    async def _on_disconnect(self, expected: bool) -> None:
        """Nothing: `_on_closed` has done it, at once and without waiting for a task."""

    def _on_closed(self, event: ConnectionClosedEvent) -> None:
        _LOGGER.debug("%s: session closed: %r", self.name, event.error)
        self._end("the proxy asked for it" if event.expected_disconnect else "connection lost")
        if self.problem is None or not self.problem.lasting:
            self.set_state(RadioState.CONNECTING)

    async def _on_connect_error(self, error: Exception) -> None:
        problem = problem_of(error)
        self.set_state(problem.state, problem)

    def _end(self, why: str) -> None:
        self._outbox = None
        self._subscription.stop()
        self.abandoned.clear()
        text = f"the proxy's session has ended: {why}"
        self.queue.fail(f"{self.name}: {text}")
        self.dispatcher.end_all(
            lambda link: RadioUnavailableError(
                f"{link.label}: Disconnected: {text}", source=self.name
            )
        )
        self.tell_slots(self.ledger.clear())

    def set_state(self, state: RadioState, problem: Problem | None = None) -> None:
        """Take another state, and tell the listener if it is one."""
        if (state, problem) == (self.state, self.problem):
            return
        self.state, self.problem = state, problem
        _LOGGER.debug("%s: %s%s", self.name, state, f": {problem.text}" if problem else "")
        for listener in list(self._listeners):
            listener.session_changed(self)

    # Messages of the proxy itself

    def _on_slots(self, message: BluetoothConnectionsFreeResponse) -> None:
        held = [int_to_bluetooth_address(number) for number in message.allocated if number]
        events = self.ledger.update(message.free, message.limit, held)
        self._note_abandoned()
        self.dispatcher.reconcile(self.ledger)
        self.queue.notify()
        self.tell_slots(events)
        self._subscription.check_ready()

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell the listeners that slots, or attempts to fill them, are other ones now."""
        for listener in self._listeners:
            listener.session_slots(self, events)

    def _note_abandoned(self) -> None:
        """Forget the attempts we gave up that were in the proxy's list and have left it."""
        for address, listed in list(self.abandoned.items()):
            if self.ledger.holds(address):
                self.abandoned[address] = True
            elif listed:
                del self.abandoned[address]

    def _on_heard(self, message: BluetoothLERawAdvertisementsResponse) -> None:
        self._subscription.prove()
        for listener in self._listeners:
            listener.session_heard(self, message)

    def _on_scanner_state(self, message: BluetoothScannerStateResponse) -> None:
        self._subscription.prove()

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the session as JSON-able values, without its key."""
        slots = self.ledger.allocations()
        return {
            "name": self.name,
            "host": self.proxy.host,
            "port": self.proxy.port,
            "encrypted": self.proxy.noise_psk is not None,
            "state": str(self.state),
            "problem": self.problem.text if self.problem else None,
            "mac": self.info.mac_address if self.info else None,
            "esphome_version": self.info.esphome_version if self.info else None,
            "features": [flag.name for flag in BluetoothProxyFeature if flag in self.features],
            "slots": None
            if slots is None
            else {"limit": slots.slots, "free": slots.free, "allocated": slots.allocated},
            "links": {link.address: link.state.name for link in self.dispatcher.links.values()},
            "waiting": self.queue.waiting,
        }
