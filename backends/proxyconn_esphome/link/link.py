"""One link to one device through one proxy: its state, its request in flight, its subscriptions.

Replies carry only an address and a handle, so a link has one request in flight at a time: what the
stack on the proxy does anyway. The turn to send belongs to the request until it is settled, even if
its caller has gone, so that a late reply never answers another request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from google.protobuf.message import Message

from proxyconn.radio import (
    Allocations,
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    RadioError,
)
from proxyconn_esphome.codes import NOT_ATT_STATUSES, GattStatus, kind_of_status
from proxyconn_esphome.link.command_flow import CommandFlow
from proxyconn_esphome.link.commands import STRAY_REPLY_TIME as STRAY_REPLY_TIME
from proxyconn_esphome.link.commands import Commands
from proxyconn_esphome.link.sender import Sender
from proxyconn_esphome.link.states import LinkEvent, LinkState, next_state
from proxyconn_esphome.wire.messages import (
    BluetoothDeviceRequest,
    BluetoothDeviceRequestType,
    BluetoothGATTErrorResponse,
    BluetoothGATTNotifyResponse,
    BluetoothGATTWriteResponse,
)

REQUEST_TIMEOUT = 30.0
"""Seconds: the ATT transaction timeout (Core Specification vol 3 F 3.3.3)."""

LINK_DOUBTED = frozenset({GattStatus.PROXY_NOT_CONNECTED, GattStatus.ESP_ERR_INVALID_STATE})
"""Statuses of a link that is gone, or congested, or still being set up."""

MOST_PART_BYTES = 65536
"""Bytes of all parts of one reply: the services of a device with 500 characteristics."""

PART_COST = 64
"""Bytes that a part counts at least: an empty one takes memory too."""

DISCONNECT = BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT

CONGESTION_WAITS = (0.1, 0.4, 1.5)
"""Seconds before a request is sent again that found the link congested."""

STRAY_REPLIES = frozenset({BluetoothGATTWriteResponse, BluetoothGATTNotifyResponse})
"""Replies that the firmware gives, too, where none is waited for."""

_LOGGER = logging.getLogger(__name__)

NotifyCallback = Callable[[bytearray], None]
Future = asyncio.Future[Any]


class Link:
    """A link, from its connect request to its end; not used twice.

    Attributes:
        mtu: ATT MTU in bytes; None if it is not known.
        inherited: whether the proxy had it before it was asked for.
        unreported: whether it was up before its slot was reported: the proxy may have had it.
    """

    def __init__(
        self,
        sender: Sender,
        address: str,
        number: int,
        on_down: Callable[[RadioError], None],
        flow: CommandFlow | None = None,
    ) -> None:
        self.address = address
        self.number = number
        self.state = LinkState.IDLE
        self.subscriptions: dict[int, NotifyCallback] = {}
        self.opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.listed = self.inherited = self.unreported = False
        self.mtu: int | None = None
        self.asked_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._on_down = on_down
        self._turn = asyncio.Lock()
        self._expected: type[Message] | None = None
        self._handle = 0
        self._reply: Future | None = None
        self._sent = ""
        self._timeout = REQUEST_TIMEOUT
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._parts: list[Any] = []
        self._parts_until: type[Message] | None = None
        self._parts_room = 0
        self._commands = Commands(self._turn, flow)

    def __repr__(self) -> str:
        return f"<Link {self.address} via {self._sender.name}: {self.state.name}>"

    @property
    def label(self) -> str:
        """Proxy and address, to begin a message with."""
        return f"{self._sender.name} [{self.address}]"

    @property
    def source(self) -> str:
        """Name of the proxy."""
        return self._sender.name

    def elapsed(self) -> float | None:
        """Seconds since the connect request; None if there was none."""
        return None if self.asked_at is None else self._loop.time() - self.asked_at

    def allocations(self) -> Allocations | None:
        """Return the proxy's last slot report."""
        return self._sender.allocations()

    @property
    def is_up(self) -> bool:
        """Whether requests may be sent."""
        return self.state is LinkState.READY or self.state is LinkState.OPEN

    def move(self, event: LinkEvent) -> None:
        """Take `event`. Raises LinkMoveError if the state does not allow it."""
        state = next_state(self.state, event)
        if state is not self.state and _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug("%s: %s -> %s", self.label, self.state.name, state.name)
        self.state = state

    # Requests

    async def request(
        self,
        message: Message,
        reply: type[Message],
        handle: int = 0,
        timeout: float = REQUEST_TIMEOUT,
        *,
        needs_link: bool = True,
        tries: int = 0,
    ) -> Any:
        """Send `message` and return the reply of type `reply` that carries `handle`.

        `needs_link` is False for what a proxy answers for a device it is not connected to. What
        found the link congested, and so was not sent on, is sent again after CONGESTION_WAITS.

        Raises:
            NotConnectedError: there is no link.
            LinkError: the link went down meanwhile.
            GATTError: the proxy answered with an error for this handle.
            TimeoutError: no reply within `timeout` seconds.

            A cancelled request may still have reached the device; the next one waits for its reply.
        """
        if self._turn.locked() or self._commands.line.waiting:
            await self._wait_for_turn(handle)
        else:
            await self._turn.acquire()
        self._handle = handle
        try:
            if handle in self._commands.strays and reply in STRAY_REPLIES:
                await self._commands.strays_over(handle)
            if needs_link:
                self.require_up()
            self._sender.send(message)
        except BaseException:
            self._turn.release()
            raise
        self._sender.count_outstanding(1)
        future: Future = self._loop.create_future()
        self._expected, self._reply = reply, future
        self._sent, self._timeout = type(message).__name__, timeout
        self._due = self._loop.time() + timeout
        if self._timer is None or self._timer.when() > self._due:
            self._arm()
        try:
            return await future
        except LinkError as exc:
            if exc.code != GattStatus.PROXY_NOT_CONNECTED or tries == len(CONGESTION_WAITS):
                raise
            await self._be_patient(exc, CONGESTION_WAITS[tries])
        return await self.request(
            message, reply, handle, timeout, needs_link=needs_link, tries=tries + 1
        )

    async def _wait_for_turn(self, handle: int) -> None:
        """Wait until what was asked for before is settled, and commands before it are sent."""
        await self._commands.line.empty()
        self._commands.asked[handle] += 1
        try:
            await self._turn.acquire()
        finally:
            self._commands.asked[handle] -= 1

    async def _be_patient(self, error: LinkError, wait: float) -> None:
        """Wait until a congested link may have recovered. Raises LinkError if it is gone.

        A slot report is on its way, and tells the one from the other.
        """
        closing = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait([closing], timeout=wait)
        finally:
            closing.cancel()
        if not self.is_up:
            raise LinkError(
                f"{error}; the link is gone",
                kind=ErrorKind.DISCONNECTED,
                code=error.code,
                source=self.source,
            ) from error

    async def collect(self, message: Message, reply: type[Message], timeout: float) -> list[Any]:
        """Send `message`; return what came in parts until `reply` ended it.

        Raises:
            LinkError: the parts come to more than MOST_PART_BYTES; and as `request`.
        """
        self._parts, self._parts_room, self._parts_until = [], MOST_PART_BYTES, reply
        try:
            await self.request(message, reply, 0, timeout)
            return self._parts
        finally:
            self._parts, self._parts_until = [], None

    def command(self, message: Message, handle: int) -> None:
        """Send at once what no reply is waited for.

        Raises:
            NotConnectedError, RadioUnavailableError: it cannot be sent.
        """
        self.require_up()
        self._sender.send(message)
        self._commands.note(handle)

    async def command_in_turn(self, message: Message, handle: int) -> None:
        """Send what no reply is waited for when the proxy has read what was sent before.

        Raises:
            NotConnectedError, LinkError, RadioUnavailableError: it was not sent.
            TimeoutError: it was not sent, for the proxy reads nothing.
        """
        self.require_up()
        busy = self._turn.locked() and self._handle == handle
        await self._commands.send(
            partial(self.command, message, handle),
            is_asked_about=busy or self._commands.asked[handle] > 0,
        )

    def require_up(self) -> None:
        """Raise NotConnectedError unless the link is up."""
        if not self.is_up:
            raise NotConnectedError(f"{self.label}: not connected", source=self.source)

    @property
    def is_waited_for(self) -> bool:
        """Whether a request is in flight, or waits for its turn."""
        return self._turn.locked()

    def _settle(self) -> Future | None:
        """End the request in flight; return its future if somebody still waits for it."""
        future = self._reply
        if future is None:
            return None
        self._reply = self._expected = None
        self._turn.release()
        self._sender.count_outstanding(-1)
        return None if future.done() else future

    def _arm(self) -> None:
        """Look at the request in flight when its time is up.

        One timer serves many requests: most are settled long before, and making and cancelling a
        timer for each costs more than finding, now and then, that a later one is not due yet.
        """
        self.stop_timer()
        self._timer = self._loop.call_at(self._due, self._expire)

    def stop_timer(self) -> None:
        """Make sure that nothing of this link is left in the event loop."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self._reply is None:
            return
        if self._loop.time() < self._due:
            self._arm()
        elif future := self._settle():
            future.set_exception(
                TimeoutError(f"{self.label}: no answer to {self._sent} within {self._timeout:g} s")
            )

    # What the proxy reports

    def on_reply(self, message: Any, kind: type[Message], handle: int) -> bool:
        """Take a reply; return whether it was the one that is waited for."""
        if self._expected is not kind or self._handle != handle:
            return False
        if future := self._settle():
            future.set_result(message)
        return True

    def on_part(self, message: Any) -> None:
        """Take one part of a reply that comes in several, if such a one is waited for."""
        if self._parts_until is None or self._expected is not self._parts_until:
            return
        self._parts_room -= message.ByteSize() + PART_COST
        if self._parts_room >= 0:
            self._parts.append(message)
        elif future := self._settle():
            future.set_exception(
                LinkError(
                    f"{self.label}: the answer to {self._sent} has no end",
                    kind=ErrorKind.TRANSIENT,
                    source=self.source,
                )
            )

    def on_gatt_error(self, message: BluetoothGATTErrorResponse) -> None:
        """Fail the request in flight, if the error is about its handle."""
        if self._reply is None or self._handle != message.handle:
            _LOGGER.debug(
                "%s: error %d for handle %d, which nobody waits for",
                self.label,
                message.error,
                message.handle,
            )
            return
        status = GattStatus(message.error)
        if future := self._settle():
            future.set_exception(self._gatt_error(status, message.handle))
        if status in LINK_DOUBTED:
            # The link may be gone and its notices lost: the slot report tells.
            self._sender.request_slots()

    def _gatt_error(self, status: GattStatus, handle: int) -> LinkError | GATTError:
        kind = kind_of_status(status)
        text = f"{self.label}: handle {handle}: {status}"
        if status in NOT_ATT_STATUSES:
            return LinkError(text, kind=kind, code=status, source=self.source)
        return GATTError(text, status, kind=kind, source=self.source)

    def on_up(self, mtu: int) -> None:
        """Take connected=true."""
        if self.state is LinkState.CLOSING:
            _LOGGER.debug("%s: came up after it was given up; dropping it", self.label)
            self.send_disconnect()
            return
        self.move(LinkEvent.UP)
        if not self.opened.done():
            self.unreported = not self.listed
            self.opened.set_result(mtu)

    def give_up(self, error: RadioError) -> None:
        """End an attempt that has not been sent yet; whoever waits for it gets `error`."""
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()

    def down(self, error: RadioError) -> None:
        """End the link: fail whatever waits on it, and tell its owner if it was ready."""
        was_ready = self.state is LinkState.READY
        self.move(LinkEvent.DOWN)
        self.subscriptions.clear()
        if not self.opened.done():
            self.opened.set_exception(error)
            # The opener may have gone; an unread exception is not news then.
            self.opened.exception()
        if was_ready:
            # First, so that nobody who connects anew when a request fails finds an old link.
            self._on_down(error)
        if future := self._settle():
            future.set_exception(error)
        self._commands.end(error)
        self.stop_timer()
        self.closed.set()

    def send_disconnect(self) -> None:
        """Ask the proxy to drop the link, without waiting. Raises RadioUnavailableError."""
        if self.state is not LinkState.IDLE:
            self.move(LinkEvent.DISCONNECT_SENT)
        self._sender.send(BluetoothDeviceRequest(address=self.number, request_type=DISCONNECT))
