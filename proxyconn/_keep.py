"""A connection that comes back by itself, with its notifications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice

from proxyconn._connect import DISCONNECT_TIMEOUT, establish_connection
from proxyconn._errors import BleakConnectionError, BleakNotFoundError, ErrorKind
from proxyconn._failures import BLEAK_RETRY_EXCEPTIONS, Counter, classify

ATTEMPT_DEADLINE = 120.0
"""Seconds for one round of attempts, the wait for a slot among them."""

FIRST_PAUSE = 1.0
"""Seconds between the first failed round and the second; doubled for each one that follows."""

LONGEST_PAUSE = 60.0
"""Seconds between two rounds at most."""

SETTLED_AFTER = 10.0
"""Seconds that a link must last to count as a success."""

_LOGGER = logging.getLogger(__name__)

ClientT = TypeVar("ClientT", bound=BleakClient)

CharacteristicSpecifier = BleakGATTCharacteristic | int | str
Notified = Callable[[BleakGATTCharacteristic, bytearray], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class _Subscription:
    callback: Notified
    kwargs: dict[str, Any]


class KeptConnection(Generic[ClientT]):
    """A device that is wanted connected; use it as an async context manager.

    Attributes:
        device: the device.
        client: the connected client, its notifications restored; None while there is none.
        connections: how many times the link has come up.
        last_error: what the last failed round of attempts ended with.
    """

    def __init__(
        self,
        client_class: type[ClientT],
        device: BLEDevice,
        name: str,
        *,
        on_connected: Callable[[ClientT], Awaitable[None]] | None,
        on_lost: Callable[[], None] | None,
        silence_timeout: float | None,
        connect: dict[str, Any],
    ) -> None:
        self.device = device
        self.client: ClientT | None = None
        self.connections = 0
        self.last_error: BaseException | None = None
        self._client_class = client_class
        self._name = name
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._silence_timeout = silence_timeout
        self._connect = {"deadline": ATTEMPT_DEADLINE, **connect}
        self._subscriptions: dict[CharacteristicSpecifier, _Subscription] = {}
        self._lost = asyncio.Event()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"keep {self._name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let the device go; idempotent."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def connected(self, timeout: float) -> ClientT:
        """Wait until the link is up and every notification restored; return the client.

        Raises:
            BleakNotFoundError, BleakOutOfConnectionSlotsError, BleakAbortedError,
                BleakConnectionError: it did not come up within `timeout` seconds; what the last
                round of attempts ended with.
            Exception: what has ended the attempts for good.
        """
        try:
            async with asyncio.timeout(timeout):
                while self.client is None:
                    self._raise_if_over()
                    self._changed.clear()
                    await self._changed.wait()
                return self.client
        except TimeoutError:
            if isinstance(self.last_error, Exception):
                raise self.last_error from None
            raise BleakNotFoundError(
                f"{self._name}: not connected within {timeout:g} s; it is still being tried",
                kind=ErrorKind.TIMEOUT,
            ) from None

    def _raise_if_over(self) -> None:
        if self._task is None or self._task.cancelled():
            raise BleakConnectionError(
                f"{self._name}: nobody keeps it connected; use `async with`",
                kind=ErrorKind.DISCONNECTED,
            )
        if self._task.done() and (error := self._task.exception()):
            raise error

    async def start_notify(
        self, characteristic: CharacteristicSpecifier, callback: Notified, **kwargs: Any
    ) -> None:
        """Subscribe, now if the link is up and again each time it comes back.

        Raises:
            BleakError: the link is up and the subscription failed; it is not kept then.
        """
        subscription = _Subscription(callback, kwargs)
        if self.client:
            await self._subscribe(self.client, characteristic, subscription)
        self._subscriptions[characteristic] = subscription

    async def stop_notify(self, characteristic: CharacteristicSpecifier) -> None:
        """End a subscription; harmless if there is none."""
        if self._subscriptions.pop(characteristic, None) and self.client:
            await self.client.stop_notify(characteristic)

    async def _subscribe(
        self, client: ClientT, characteristic: CharacteristicSpecifier, subscription: _Subscription
    ) -> None:
        loop = asyncio.get_running_loop()

        def heard(sender: BleakGATTCharacteristic, data: bytearray) -> Awaitable[None] | None:
            self._heard_at = loop.time()
            return subscription.callback(sender, data)

        async def heard_async(sender: BleakGATTCharacteristic, data: bytearray) -> None:
            if waiting := heard(sender, data):
                await waiting

        # bleak looks at the function itself to know whether it must be awaited.
        wrapper = heard_async if asyncio.iscoroutinefunction(subscription.callback) else heard
        await client.start_notify(characteristic, wrapper, **subscription.kwargs)

    # The task

    async def _keep(self) -> None:
        pause = 0.0
        try:
            while True:
                settled = await self._one_connection()
                pause = 0.0 if settled else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                await asyncio.sleep(pause)
        finally:
            self._changed.set()

    async def _one_connection(self) -> bool:
        """Hold one link from its first attempt to its end; say whether it lasted."""
        loop = asyncio.get_running_loop()
        client: ClientT | None = None
        self._lost.clear()
        up_since = loop.time()
        try:
            client = await establish_connection(
                self._client_class,
                self.device,
                self._name,
                disconnected_callback=lambda _: self._lost.set(),
                **self._connect,
            )
            await self._restore(client)
            up_since = self._heard_at = loop.time()
            self._set_client(client)
            self.connections += 1
            await self._until_lost()
        except BLEAK_RETRY_EXCEPTIONS as exc:
            failure = classify(exc)
            if failure and failure.rule.counter is Counter.FINAL:
                raise
            _LOGGER.debug("%s: not connected: %r", self._name, exc)
            self.last_error = exc
        finally:
            was_up = self.client is not None
            self._set_client(None)
            if client:
                await self._let_go(client)
        if was_up and self._on_lost:
            self._on_lost()
        return was_up and loop.time() - up_since >= SETTLED_AFTER

    async def _restore(self, client: ClientT) -> None:
        if self._on_connected:
            await self._on_connected(client)
        restored: set[CharacteristicSpecifier] = set()
        # Some may be added, or taken back, while the others are restored.
        while restored != self._subscriptions.keys():
            if ended := restored - self._subscriptions.keys():
                await client.stop_notify(one := ended.pop())
                restored.remove(one)
            else:
                one = next(key for key in self._subscriptions if key not in restored)
                await self._subscribe(client, one, self._subscriptions[one])
                restored.add(one)

    def _set_client(self, client: ClientT | None) -> None:
        self.client = client
        self._changed.set()

    async def _until_lost(self) -> None:
        """Wait for the end of the link, or for a silence that stands for it."""
        if self._silence_timeout is None:
            await self._lost.wait()
            return
        loop = asyncio.get_running_loop()
        while (silent_at := self._heard_at + self._silence_timeout) > loop.time():
            try:
                async with asyncio.timeout_at(silent_at):
                    await self._lost.wait()
                    return
            except TimeoutError:
                continue
        _LOGGER.debug("%s: silent for %g s", self._name, self._silence_timeout)

    async def _let_go(self, client: ClientT) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await client.disconnect()
        except BLEAK_RETRY_EXCEPTIONS as exc:
            _LOGGER.debug("%s: could not disconnect: %r", self._name, exc)


def keep_connected(
    client_class: type[ClientT],
    device: BLEDevice,
    name: str,
    *,
    on_connected: Callable[[ClientT], Awaitable[None]] | None = None,
    on_lost: Callable[[], None] | None = None,
    silence_timeout: float | None = None,
    **connect: Any,
) -> KeptConnection[ClientT]:
    """Return a connection that comes back by itself, on whichever path is best by then.

    Use it in `async with`: entering begins to connect and waits for nothing; leaving disconnects.
    A device that is lost is tried again at once, then after 1, 2, 4 … seconds, at most
    LONGEST_PAUSE apart.

    Args:
        client_class: class to instantiate.
        device: the device.
        name: what to call it in errors and logs.
        on_connected: awaited with the client each time the link is up, before the notifications are
            restored: what must be written first. An error of Bluetooth in it ends the link.
        on_lost: called each time the link has ended.
        silence_timeout: seconds without any notification after which the link is given up and made
            anew; None to trust the link.
        **connect: passed to `establish_connection`; `deadline` is ATTEMPT_DEADLINE unless given.
    """
    return KeptConnection(
        client_class,
        device,
        name,
        on_connected=on_connected,
        on_lost=on_lost,
        silence_timeout=silence_timeout,
        connect=connect,
    )
