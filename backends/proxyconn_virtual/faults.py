"""Hooks that change what a virtual proxy hears, says and notices.

An `Injector` in `VirtualProxy.injectors` is consulted for every connection, for every message in
both directions, and for every attempt, link and event of the radio. Injectors work in list order:
each sees what those before it let through. The faults that are known by name are in
`fault_catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import Message

from proxyconn_virtual.peripheral import Outcome


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message that goes out, or is handled, `seconds` later."""

    message: Message
    seconds: float


Passed = Sequence[Message | Delayed]
"""What goes on in place of one message."""


class RadioEvent(Enum):
    """Events of the radio stack that can get lost between the stack and the proxy."""

    OPEN = "open"
    """OPEN_EVT, good or bad; lost, the slot stays CONNECTING for ever."""
    OPEN_CALL = "open call"
    """The open call itself; lost, it fails at once, and until 2026.7 the slot keeps its address."""
    CANCEL_CALL = "cancel call"
    """The call that cancels an open; lost, the stack refuses it and the open goes on (2026.10)."""
    CANCEL = "cancel"
    """The event of a cancelled open; lost, the slot is freed by the 10 s timer (2026.10)."""
    WALK = "walk"
    """The walk over what discovery found; lost, it fails and the link is ended (2026.8)."""
    MTU = "mtu"
    """The MTU result; lost, an uncached connect never reports connected=true."""
    SEARCH = "search"
    """The end of discovery; lost, likewise."""
    DISCONNECT = "disconnect"
    """DISCONNECT_EVT of a link that dropped."""
    CLOSE = "close"
    """CLOSE_EVT; lost, the slot is freed by the 10 s timer."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A link drops `after` seconds, for an HCI `reason`."""

    after: float
    reason: int


class Injector:
    """Lets everything through; override what should not be."""

    def outgoing(self, message: Message) -> Passed:
        """Return what the proxy sends instead of `message`."""
        return (message,)

    def incoming(self, message: Message) -> Passed:
        """Return what the proxy handles instead of `message`."""
        return (message,)

    def keeps(self, event: RadioEvent, address: int) -> bool:
        """Whether the proxy notices the radio event of the device with the 48-bit address."""
        return True

    def late(self, event: RadioEvent, address: int) -> float:
        """Return how many seconds late the proxy notices OPEN, CANCEL, DISCONNECT or CLOSE."""
        return 0.0

    def outcome(self, address: int) -> Outcome | None:
        """Return what an attempt to open a link does; None for what the radio makes of it.

        Its `after` is not cut short by the proxy's own limit; with reason 0 the radio begins after
        it.
        """
        return None

    def loss(self, address: int, *, discovering: bool) -> Loss | None:
        """Return how a link drops that is up, or that is up and has its services; None if not."""
        return None

    def accepts(self) -> bool:
        """Whether a new connection is served; if not, it is closed without a word."""
        return True

    def key(self, key: bytes | None) -> bytes | None:
        """Return the Noise key of a new connection, None for plaintext."""
        return key


Matches = Callable[[Message], bool]


@dataclass
class _Matching(Injector):
    """Changes the first `count` messages (None: all) of a class, in one direction.

    Attributes:
        message_class: class to look for.
        where: what else must hold of the message.
        count: how many messages are left to change; counts down.
    """

    message_class: type[Message]
    where: Matches = lambda message: True
    count: int | None = None

    def _change(self, message: Message) -> Passed:
        raise NotImplementedError

    def _apply(self, message: Message) -> Passed:
        if self.count == 0 or not isinstance(message, self.message_class):
            return (message,)
        if not self.where(message):
            return (message,)
        if self.count is not None:
            self.count -= 1
        return self._change(message)

    def outgoing(self, message: Message) -> Passed:
        """Change an outgoing message; the class decides the direction by itself."""
        return self._apply(message)

    def incoming(self, message: Message) -> Passed:
        """Change an incoming message."""
        return self._apply(message)


@dataclass
class Drop(_Matching):
    """Loses matching messages."""

    def _change(self, message: Message) -> Passed:
        return ()


@dataclass
class Delay(_Matching):
    """Holds matching messages back for `seconds`; later messages overtake them."""

    seconds: float = 1.0

    def _change(self, message: Message) -> Passed:
        return (Delayed(message, self.seconds),)


@dataclass
class Duplicate(_Matching):
    """Passes matching messages twice."""

    def _change(self, message: Message) -> Passed:
        return (message, message)


@dataclass
class Replace(_Matching):
    """Passes what `by` makes of matching messages."""

    by: Callable[[Message], Passed] = lambda message: (message,)

    def _change(self, message: Message) -> Passed:
        return self.by(message)


@dataclass
class Lose(Injector):
    """Loses radio events.

    Attributes:
        event: which kind.
        address: 48-bit device address; None for any.
        count: how many are left to lose (None: all); counts down.
    """

    event: RadioEvent
    address: int | None = None
    count: int | None = 1

    def keeps(self, event: RadioEvent, address: int) -> bool:
        """Whether the event gets through."""
        if event is not self.event or self.count == 0 or self.address not in (None, address):
            return True
        if self.count is not None:
            self.count -= 1
        return False


class Injectors(list[Injector]):
    """Injectors, asked one after another."""

    def keeps(self, event: RadioEvent, address: int) -> bool:
        """Whether every one lets a radio event through."""
        return all(injector.keeps(event, address) for injector in self)

    def late(self, event: RadioEvent, address: int) -> float:
        """Return how many seconds late a radio event is noticed."""
        return sum(injector.late(event, address) for injector in self)

    def outcome(self, address: int) -> Outcome | None:
        """Return the first outcome that one has for an attempt."""
        return next((o for i in self if (o := i.outcome(address)) is not None), None)

    def loss(self, address: int, *, discovering: bool) -> Loss | None:
        """Return the first loss that one has for a link."""
        found = (injector.loss(address, discovering=discovering) for injector in self)
        return next((loss for loss in found if loss is not None), None)

    def accepts(self) -> bool:
        """Whether every one lets a new connection in."""
        return all(injector.accepts() for injector in self)

    def passed(self, message: Message, *, outgoing: bool) -> Iterator[tuple[Message, float]]:
        """Yield what all together make of a message, each with its delay in seconds."""
        for item in pass_on(self, message, outgoing=outgoing):
            if isinstance(item, Delayed):
                yield item.message, item.seconds
            else:
                yield item, 0.0

    def key(self, key: bytes | None) -> bytes | None:
        """Return the key of a new connection."""
        for injector in self:
            key = injector.key(key)
        return key


def pass_on(
    injectors: Sequence[Injector], message: Message, *, outgoing: bool
) -> list[Message | Delayed]:
    """Return what all injectors together make of a message."""
    passed: list[Message | Delayed] = [message]
    for injector in injectors:
        hook = injector.outgoing if outgoing else injector.incoming
        after: list[Message | Delayed] = []
        for item in passed:
            if isinstance(item, Delayed):
                after += (
                    Delayed(inner.message, item.seconds + inner.seconds)
                    if isinstance(inner, Delayed)
                    else Delayed(inner, item.seconds)
                    for inner in hook(item.message)
                )
            else:
                after += hook(item)
        passed = after
    return passed
