"""One proxy's session: its connection, its subscription, its slots and its links."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from aioesphomeapi.core import APIConnectionError, InvalidEncryptionKeyAPIError
from aioesphomeapi.model import BluetoothProxyFeature, DeviceInfo
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

from ._absence import Absence
from ._attempts import Attempts
from ._cache import GattCache
from ._connection import Connection
from ._diagnostics import diagnostics
from ._dispatch import Dispatcher
from ._identity import stranger
from ._inbox import Inbox
from ._link import Link
from ._listener import SessionListener
from ._messages import (
    BluetoothDeviceRequest,
    BluetoothDeviceRequestType,
    BluetoothLERawAdvertisementsResponse,
    SubscribeBluetoothConnectionsFreeRequest,
)
from ._outbox import Outbox
from ._problems import Problem, problem_of
from ._reach import Reach
from ._ready import until_ready
from ._subscription import Subscription
from ._upkeep import Upkeep
from ._wire import Wire

USABLE_STATES = frozenset({RadioState.READY, RadioState.SILENT})
"""States in which links can be opened: a proxy that hears nothing may well connect."""

OTHER_DEVICE_RETRY = 60.0
"""Seconds before an address is tried again at which another device has answered."""

NOT_A_PROXY = Problem(RadioState.GONE, "it is an ESPHome device but no Bluetooth proxy", True)

CLOSED = Problem(RadioState.GONE, "the session was closed", True)

Admit = Callable[["ProxySession", DeviceInfo], bool]
"""Says whether a session may go on with its device, before anything is asked of it."""

_LOGGER = logging.getLogger(__name__)


class ProxySession:
    """Keeps one proxy connected, and everything that goes over that connection.

    Args:
        proxy: where it is, and its key.
        cache: what is known of devices; shared between sessions.
        zeroconf: resolves `.local` names.
        expected_mac: 12 lower-case hex digits the proxy must have; None for those of the first
            device that answers.
        admit: asked about the device that answers, before it is asked for anything.

    Attributes:
        state: how it is doing.
        problem: why it is not ready; None if it is, or if that is no news yet.
        mac: 12 lower-case hex digits; None until they are known.
        said_mac: those that it says it has, though it could not prove it.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        cache: GattCache | None = None,
        zeroconf: AsyncZeroconf | None = None,
        expected_mac: str | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.state = RadioState.CONNECTING
        self.problem: Problem | None = None
        self.mac = expected_mac
        self.said_mac: str | None = None
        self.info: DeviceInfo | None = None
        self.features = BluetoothProxyFeature(0)
        self.cache = cache or GattCache()
        self._reach = Reach(proxy, self, zeroconf, expected_mac)
        self.ledger = SlotLedger(self.name)
        self.queue = SlotQueue(self.ledger)
        self.turn = asyncio.Lock()
        self.absence = Absence(self.update)
        self.attempts = Attempts(self)
        self.subscription = Subscription(self)
        self.upkeep = Upkeep(self)
        self._inbox = Inbox(self)
        self.dispatcher = Dispatcher(self.send_disconnect, self._inbox.on_notice)
        self._admit = admit
        self._listeners: list[SessionListener] = []
        self._outbox: Outbox | None = None

    def __repr__(self) -> str:
        return f"<ProxySession {self.name} at {self.proxy.host}:{self.proxy.port}: {self.state}>"

    @property
    def proxy(self) -> Proxy:
        """Where the proxy is now, and its key."""
        return self._reach.proxy

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

    @property
    def is_up(self) -> bool:
        """Whether there is a session, of whatever use."""
        return self._outbox is not None

    @property
    def is_usable(self) -> bool:
        """Whether the proxy does what it can do."""
        return self.state in USABLE_STATES

    @property
    def is_complete(self) -> bool:
        """Whether everything is known that a proxy says of itself."""
        return self.ledger.reported or not self.connectable

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
        await until_ready(self, timeout)

    async def start(self) -> None:
        """Begin to connect, and go on until `aclose()`."""
        await self._reach.connection.start()

    async def aclose(self) -> None:
        """End the session; the proxy drops every link it holds for us.

        Idempotent; takes a few seconds at most, and even a cancelled call ends the session.
        """
        try:
            await self._reach.aclose(CLOSED.text)
        finally:
            self._end(CLOSED.text)
            self.absence.failed(CLOSED)
            self.update()

    async def move(self, host: str, port: int) -> None:
        """Go on at another address, unless the session is up."""
        if not self.is_up:
            await self._reach.move(host, port, self.mac)

    def notify_seen(self) -> None:
        """Connect now rather than after the backoff: mDNS has just seen the proxy."""
        self._reach.connection.wake()

    def renew(self, why: str) -> None:
        """Begin a new session with the proxy, which ends every link."""
        self._reach.connection.renew(why)

    # What links and clients need

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError if there is no session."""
        if self._outbox is None:
            raise self.unavailable()
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
            RadioUnavailableError: there is no session, or it is of no use.
            UnsupportedError: the proxy only listens.
        """
        if not self.is_usable:
            raise self.unavailable()
        if not self.connectable:
            raise UnsupportedError(
                f"{self.name}: this proxy only listens; set `bluetooth_proxy: active: true` "
                "in its YAML",
                source=self.name,
            )

    def unavailable(self) -> RadioUnavailableError:
        """Return the error that says why the proxy cannot be used."""
        reason = self.problem.text if self.problem else f"it is {self.state}"
        return RadioUnavailableError(
            f"{self.name}: the proxy cannot be used: {reason}", source=self.name
        )

    # The life of the connection

    def on_up(self, connection: Connection, info: DeviceInfo, wire: Wire) -> None:
        """Take the device that answers, if it is the one."""
        if connection is not self._reach.connection:
            return
        if problem := stranger(info, self.proxy, self.mac):
            self._refuse(connection, problem)
            return
        self.mac, self.info = info.mac_address.replace(":", "").lower(), info
        connection.expect_mac(self.mac)
        self.ledger.name = info.name
        self.features = connection.features(info)
        if not self.features:
            self.absence.failed(NOT_A_PROXY)
            self.update()
        elif self._admit is None or self._admit(self, info):
            self._begin(connection, wire)

    def _refuse(self, connection: Connection, problem: Problem) -> None:
        _LOGGER.warning("%s: %s", self.name, problem.text)
        self.absence.failed(problem)
        self.update()
        connection.pause(OTHER_DEVICE_RETRY)

    def _begin(self, connection: Connection, wire: Wire) -> None:
        connection.handle(wire, self.dispatcher.handlers() | self._inbox.handlers())
        self._outbox = Outbox(wire)
        self.absence.over()
        self._tell_changed()
        self.upkeep.start()
        try:
            if self.connectable:
                self.request_slots()
            self.subscription.start()
        except RadioUnavailableError as exc:
            # The connection's own end is on its way, and starts everything anew.
            _LOGGER.debug("%s: lost again at once: %s", self.name, exc)

    def on_lost(self, connection: Connection, why: str) -> None:
        """End everything that went over the connection."""
        if connection is self._reach.connection:
            self._end(why)
            self.absence.lost(why)
            self.update()

    def on_failed(self, connection: Connection, error: Exception) -> None:
        """Say why there is no connection."""
        if connection is not self._reach.connection:
            return
        if isinstance(error, InvalidEncryptionKeyAPIError):
            self.said_mac = error.received_mac
        self.absence.failed(problem_of(error, self.mac))
        self.update()
        for listener in list(self._listeners):
            listener.session_failed(self)

    def _end(self, why: str) -> None:
        self._outbox = None
        self.upkeep.stop()
        self.subscription.stop()
        self.attempts.clear()
        text = f"the proxy's session has ended: {why}"
        self.queue.fail(f"{self.name}: {text}")
        self.dispatcher.end_all(self._lost_error(text))
        self.tell_slots(self.ledger.clear())

    def on_robbed(self, problem: Problem) -> None:
        """End every link: what is said about it goes to another client now.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        error = self._lost_error(problem.text)
        self.queue.fail(f"{self.name}: {problem.text}")
        held = list(self.dispatcher.links.values())
        for link in held:
            self.attempts.abandon(link.address)
        self.dispatcher.end_all(error)
        self.update()
        for link in held:
            self.send_disconnect(link.number)
        self.tell_slots(())

    def _lost_error(self, why: str) -> Callable[[Link], RadioUnavailableError]:
        return lambda link: RadioUnavailableError(
            f"{link.label}: Disconnected: {why}", source=self.name
        )

    # State

    def update(self) -> None:
        """Derive the state from what is known, and tell the listeners if it is another one."""
        state, problem = self._judge()
        if (state, problem) == (self.state, self.problem):
            return
        self.state, self.problem = state, problem
        _LOGGER.debug("%s: %s%s", self.name, state, f": {problem.text}" if problem else "")
        self._tell_changed()

    def _judge(self) -> tuple[RadioState, Problem | None]:
        if self._outbox is None:
            return self.absence.state, self.absence.problem
        problem = self.subscription.problem
        if problem is None and not (self.subscription.held and self.is_complete):
            return RadioState.CONNECTING, None
        problem = problem or self.attempts.problem or self.upkeep.problem
        return (problem.state, problem) if problem else (RadioState.READY, None)

    def _tell_changed(self) -> None:
        for listener in list(self._listeners):
            listener.session_changed(self)

    def tell_heard(self, message: BluetoothLERawAdvertisementsResponse) -> None:
        """Tell the listeners what the proxy has heard."""
        for listener in self._listeners:
            listener.session_heard(self, message)

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell the listeners that slots, or attempts to fill them, are other ones now."""
        for listener in list(self._listeners):
            listener.session_slots(self, events)

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the session as JSON-able values, without its key."""
        return diagnostics(self)
