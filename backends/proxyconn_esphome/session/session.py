"""One proxy's session: its connection, its subscription, its slots and its links."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from aioesphomeapi.core import APIConnectionError, InvalidEncryptionKeyAPIError
from aioesphomeapi.model import DeviceInfo
from google.protobuf.message import Message
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import (
    Allocations,
    HeldLinks,
    Proxy,
    RadioState,
    RadioUnavailableError,
    SlotLedger,
    SlotQueue,
    Subscribe,
)
from proxyconn_esphome.link.command_flow import CommandFlow
from proxyconn_esphome.link.dispatch import Dispatcher
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.services.gatt_cache import GattCache
from proxyconn_esphome.link.turn import Turn
from proxyconn_esphome.occupancy.left_links import LeftLinks
from proxyconn_esphome.occupancy.opening_attempts import Attempts
from proxyconn_esphome.session import readiness
from proxyconn_esphome.session.diagnostics import diagnostics
from proxyconn_esphome.session.listener import Listeners
from proxyconn_esphome.session.periodic_checks import PeriodicChecks
from proxyconn_esphome.session.proxy_reports import ProxyReports
from proxyconn_esphome.session.self_description import SelfDescription
from proxyconn_esphome.session.subscription.other_clients import OtherClients, only_looked_at
from proxyconn_esphome.session.subscription.subscription import Subscription
from proxyconn_esphome.session.unreachable import Unreachable
from proxyconn_esphome.wire.connection import Connection
from proxyconn_esphome.wire.identity import stranger
from proxyconn_esphome.wire.messages import (
    BluetoothDeviceRequest,
    BluetoothDeviceRequestType,
    SubscribeBluetoothConnectionsFreeRequest,
)
from proxyconn_esphome.wire.moving_connection import MovingConnection
from proxyconn_esphome.wire.native_api import Wire
from proxyconn_esphome.wire.problems import CLOSED, NOT_A_PROXY, Problem, problem_of
from proxyconn_esphome.wire.write_batching import WriteBatching

OTHER_DEVICE_RETRY = 60.0
"""Seconds before an address is tried again at which another device has answered."""

Admit = Callable[["ProxySession", DeviceInfo], bool]
"""Says whether a session may go on with its device, before anything is asked of it."""

_LOGGER = logging.getLogger(__name__)


class ProxySession(SelfDescription, Listeners):
    """Keeps one proxy connected, and everything that goes over that connection.

    Args:
        proxy: where it is, and its key.
        cache: what is known of devices; shared between sessions.
        zeroconf: resolves `.local` names.
        expected_mac: 12 lower-case hex digits the proxy must have; None for those of the first
            device that answers.
        others: other addresses at which it may be.
        announced_as: what to call it until it has said its name; None for host and port.
        admit: asked about the device that answers, before it is asked for anything.
        subscribe: whether to ask for its subscription; without it the session only looks.
        held: which links proxies hold for us; shared between sessions.

    Attributes:
        state: how it is doing.
        problem: why it is not ready; None if it is, or if that is no news yet.
        reach: its addresses, and the connection to one of them.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        cache: GattCache | None = None,
        zeroconf: AsyncZeroconf | None = None,
        expected_mac: str | None = None,
        others: Sequence[str] = (),
        announced_as: str | None = None,
        admit: Admit | None = None,
        subscribe: Subscribe = Subscribe.ALWAYS,
        held: HeldLinks | None = None,
    ) -> None:
        SelfDescription.__init__(self, expected_mac, announced_as)
        Listeners.__init__(self)
        self.state = RadioState.CONNECTING
        self.problem: Problem | None = None
        self.cache = cache or GattCache()
        self.reach = MovingConnection(proxy, self, zeroconf, expected_mac, others)
        self.ledger = SlotLedger(self.name)
        self.queue = SlotQueue(self.ledger)
        self.turn = Turn()
        self.commands = CommandFlow(self.send, lambda: self.name)
        self.unreachable = Unreachable(self.update)
        self.attempts = Attempts(self)
        self.left = LeftLinks(self, held or HeldLinks())
        self.subscription = Subscription(self, self.left.subscribers)
        self.other_clients = OtherClients(self, subscribe)
        self.periodic_checks = PeriodicChecks(self)
        self._reports = ProxyReports(self)
        self.dispatcher = Dispatcher(self.left.on_unwanted, self._reports.on_notice)
        self._admit = admit
        self._writes: WriteBatching | None = None

    def __repr__(self) -> str:
        return f"<ProxySession {self.name} at {self.proxy.host}:{self.proxy.port}: {self.state}>"

    @property
    def proxy(self) -> Proxy:
        """Where the proxy is now, and its key."""
        return self.reach.proxy

    def call(self, label: str) -> None:
        """Have the proxy called otherwise than by its node name."""
        super().call(label)
        self.ledger.name = label

    @property
    def is_up(self) -> bool:
        """Whether there is a session, of whatever use."""
        return self._writes is not None

    @property
    def is_usable(self) -> bool:
        """Whether the proxy does what it can do."""
        return self.state.is_usable

    @property
    def keeps_links(self) -> bool:
        """Whether its links outlive a change of subscriber, as far as is known."""
        return self.other_clients.newest_wins is not False

    @property
    def is_complete(self) -> bool:
        """Whether everything is known that a proxy says of itself."""
        return self.ledger.reported or not self.connectable

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
        await readiness.until_ready(self, timeout)

    async def start(self) -> None:
        """Begin to connect, and go on until `aclose()`."""
        await self.reach.connection.start()

    async def aclose(self) -> None:
        """End the session; the proxy drops every link it holds for us.

        Idempotent; takes a few seconds at most, and even a cancelled call ends the session.
        """
        self.periodic_checks.leave()
        try:
            await self.reach.aclose(CLOSED.text)
        finally:
            self._end(CLOSED.text)
            self.unreachable.failed(CLOSED)
            self.update()

    async def move(self, hosts: Sequence[str], port: int) -> None:
        """Go on at other addresses, unless the session is up."""
        if not self.is_up:
            await self.reach.move(hosts, port, self.mac)

    def notify_seen(self) -> None:
        """Connect now rather than after the backoff: mDNS has just seen the proxy."""
        self.reach.connection.wake()

    def renew(self, why: str) -> None:
        """Begin a new session with the proxy, which ends every link."""
        self.reach.connection.renew(why)

    # What links and clients need

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError if there is no session."""
        if self._writes is None:
            raise self.unavailable()
        try:
            self._writes.send(message)
        except APIConnectionError as exc:
            raise RadioUnavailableError(
                f"{self.name}: the session broke: {exc}", source=self.name
            ) from exc

    def count_outstanding(self, change: int) -> None:
        """Take note that a reply is waited for (1), or no more (-1)."""
        if self._writes:
            self._writes.outstanding += change

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

    def require_connectable(self) -> None:
        """Raise unless the proxy can be asked for a link now.

        Raises:
            RadioUnavailableError: there is no session, or it is of no use.
            UnsupportedError: the proxy only listens, or the session only looks.
        """
        if not self.is_usable:
            raise self.unavailable()
        if self.other_clients.only_looks:
            raise only_looked_at(self.name)
        if not self.connectable:
            raise readiness.only_listens(self.name)

    def unavailable(self) -> RadioUnavailableError:
        """Return the error that says why the proxy cannot be used."""
        reason = self.problem.text if self.problem else f"it is {self.state}"
        return RadioUnavailableError(
            f"{self.name}: the proxy cannot be used: {reason}", source=self.name
        )

    # The life of the connection

    def on_up(self, connection: Connection, info: DeviceInfo, wire: Wire) -> None:
        """Take the device that answers, if it is the one."""
        if connection is not self.reach.connection:
            return
        if problem := stranger(info, self.proxy, self.mac):
            self._refuse(connection, problem)
            return
        connection.expect_mac(self.has_said(info, connection.features(info)))
        self.reach.settle()
        self.ledger.name = self.name
        if not self.features:
            self.unreachable.failed(NOT_A_PROXY)
            self.update()
        elif self._admit is None or self._admit(self, info):
            self._begin(connection, wire)

    def _refuse(self, connection: Connection, problem: Problem) -> None:
        _LOGGER.warning("%s: %s", self.name, problem.text)
        self.unreachable.failed(problem)
        self.update()
        connection.not_at_peer()
        connection.pause(OTHER_DEVICE_RETRY)

    def _begin(self, connection: Connection, wire: Wire) -> None:
        for part in (self.dispatcher, self._reports, self.commands):
            connection.handle(wire, part.handlers())
        self._writes = WriteBatching(wire)
        self.unreachable.over()
        self.tell_changed()
        if not self.other_clients.only_looks:
            self.periodic_checks.start()
        try:
            self.other_clients.start()
        except RadioUnavailableError as exc:
            # The connection's own end is on its way, and starts everything anew.
            _LOGGER.debug("%s: lost again at once: %s", self.name, exc)

    def on_lost(self, connection: Connection, why: str) -> None:
        """End everything that went over the connection."""
        if connection is self.reach.connection:
            self._end(why)
            self.unreachable.lost(why)
            self.update()

    def on_failed(self, connection: Connection, error: Exception) -> None:
        """Say why there is no connection."""
        if connection is not self.reach.connection:
            return
        if isinstance(error, InvalidEncryptionKeyAPIError):
            self.said_mac = error.received_mac
        self.unreachable.failed(
            problem_of(error, self.mac, password_given=self.proxy.password is not None)
        )
        self.update()
        self.tell_failed()

    def _end(self, why: str) -> None:
        self._writes = None
        self.periodic_checks.stop()
        self.other_clients.stop()
        self.subscription.stop()
        self.attempts.clear()
        self.left.clear()
        self.commands.reset()
        text = f"the proxy's session has ended: {why}"
        self.queue.fail(f"{self.name}: {text}")
        self.dispatcher.end_all(self._lost_error(text))
        self.tell_slots(self.ledger.clear())

    def on_robbed(self, problem: Problem, *, gives_way: bool) -> None:
        """End every link, once: what is said about it goes to another client now.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        self.queue.fail(f"{self.name}: {problem.text}")
        held = list(self.dispatcher.links.values())
        for link in held:
            self.attempts.abandon(link.address)
        self.dispatcher.end_all(self._lost_error(problem.text))
        self.update()
        for link in held:
            self.send_disconnect(link.number)
        if gives_way:
            self.attempts.clear()
            self.left.clear()
        self.tell_slots(())

    def _lost_error(self, why: str) -> Callable[[Link], RadioUnavailableError]:
        return lambda link: RadioUnavailableError(
            f"{link.label}: Disconnected: {why}", source=self.name
        )

    # State

    def update(self) -> None:
        """Derive the state from what is known, and tell the listeners if it is another one."""
        state, problem = readiness.judge(self)
        if (state, problem) == (self.state, self.problem):
            return
        self.state, self.problem = state, problem
        _LOGGER.debug("%s: %s%s", self.name, state, f": {problem.text}" if problem else "")
        self.tell_changed()

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the session as JSON-able values, without its key."""
        return diagnostics(self)
