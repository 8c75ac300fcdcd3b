"""A connection that comes back by itself, with its notifications, until it is left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from proxyconn.connect.kept_link import KeptLink, LinkWish, is_cancelled
from proxyconn.connect.kept_subscriptions import (
    CharacteristicId,
    CharacteristicSpecifier,
    Notified,
    Subscription,
    Subscriptions,
)
from proxyconn.connect.link_loss import LINK_LOST, LinkLoss
from proxyconn.connect.outage_log import OutageLog
from proxyconn.errors import BleakConnectionError, BleakNotFoundError, ErrorKind
from proxyconn.failures.keep_rules import ends_keeping, means_stale_services

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


class KeptConnection(Generic[ClientT]):
    """A device that is wanted connected; use it as an async context manager.

    It outlives whatever Bluetooth, a bus or a proxy does. A defect in the caller's code, such as a
    TypeError in `on_connected`, and the end of the fleet end it: that is logged as an error, and
    raised by every call from then on.

    Attributes:
        device: the device.
        client: the connected client, its notifications restored; None while there is none.
        connections: how many times the link has come up.
        last_error: what the last round of attempts ended with; None if none has failed since the
            link was up.
    """

    def __init__(
        self,
        client_class: type[ClientT],
        device: BLEDevice,
        name: str | None,
        *,
        on_connected: Callable[[ClientT], Awaitable[None]] | None,
        on_lost: Callable[[], None] | None,
        silence_timeout: float | None,
        connect: dict[str, Any],
    ) -> None:
        self.device = device
        self.client: ClientT | None = None
        self.connections = 0
        self.last_error: Exception | None = None
        name = name or device.address
        connect = {"deadline": ATTEMPT_DEADLINE, **connect}
        self._wish = LinkWish(
            client_class=client_class,
            device=device,
            name=name,
            on_connected=on_connected,
            on_disconnected=connect.pop("disconnected_callback", None),
            silence_timeout=silence_timeout,
            deadline=connect["deadline"],
            connect=connect,
        )
        self._on_lost = on_lost
        self._subscriptions = Subscriptions()
        self._outage = OutageLog(name)
        self._lost = LinkLoss()
        self._doubts_services = False
        self._has_read_services = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(
            self._keep(), name=f"keep {self._wish.name}"
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let the device go; idempotent."""
        if self._task is None:
            return
        # A second cancellation would cut the disconnect short that the first one led to.
        if not self._task.cancelling():
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # it has been logged

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
            pass
        # Not in the handler: that would put this timeout in the place of the error's own cause.
        raise self.last_error or BleakNotFoundError(
            f"{self._wish.name}: not connected within {timeout:g} s ({self._outage.reason}); "
            "it is still being tried",
            kind=ErrorKind.TIMEOUT,
        )

    def _raise_if_over(self) -> None:
        self._raise_if_failed()
        if self._task is None or self._task.cancelled():
            raise BleakConnectionError(
                f"{self._wish.name}: nobody keeps it connected; use `async with`",
                kind=ErrorKind.DISCONNECTED,
            )

    def _raise_if_failed(self) -> None:
        task = self._task
        if task and task.done() and not task.cancelled() and (error := task.exception()):
            raise error

    async def start_notify(
        self, characteristic: CharacteristicSpecifier, callback: Notified, **kwargs: Any
    ) -> None:
        """Subscribe, now if the link is up and again each time it comes back.

        If the link is up and lacks the characteristic, or refuses its handle, and the services were
        known from an earlier connection, the link is made anew and they are read again.

        Raises:
            BleakError: the link is up and the subscription failed; it is not kept then.
            Exception: what has ended the attempts for good.
        """
        self._raise_if_failed()
        subscription = Subscription(CharacteristicId.of(characteristic), callback, kwargs)
        if client := self.client:
            try:
                await self._subscriptions.begin(client, subscription)
            except Exception as exc:
                if self._has_read_services or not means_stale_services(exc):
                    raise
                client = await self._with_services_read_anew(client)
                await self._subscriptions.begin(client, subscription)
        self._subscriptions.add(subscription, self.client)

    async def stop_notify(self, characteristic: CharacteristicSpecifier) -> None:
        """End a subscription; harmless if there is none."""
        unwanted = CharacteristicId.of(characteristic)
        if self._subscriptions.remove(unwanted, self.client) and self.client:
            await self.client.stop_notify(unwanted.on(self.client))

    async def _with_services_read_anew(self, client: ClientT) -> ClientT:
        if self.client is client:
            self._doubts_services = True
            self._link_lost(self._lost, "its services are read anew")
        deadline = self._wish.deadline
        return await self.connected(ATTEMPT_DEADLINE if deadline is None else deadline)

    # The task

    async def _keep(self) -> None:
        pause = 0.0
        self._outage.begin()
        try:
            while True:
                settled = await self._one_connection()
                pause = 0.0 if settled else min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                await asyncio.sleep(pause)
        except Exception as exc:
            _LOGGER.error(
                "%s: not kept connected any longer: %r", self._wish.name, exc, exc_info=exc
            )
            raise
        finally:
            self._outage.close()
            self._changed.set()

    async def _one_connection(self) -> bool:
        """Hold one link from its first attempt to its end; say whether it lasted."""
        loop = asyncio.get_running_loop()
        loss = self._lost = LinkLoss()
        link = KeptLink(
            self._wish,
            self._subscriptions,
            reads_services=self._doubts_services,
            on_disconnected=lambda: self._link_lost(loss),
            loss=loss,
        )
        up_since: float | None = None
        lasted = 0.0
        try:
            client = await link.open()
            up_since = loop.time()
            self._came_up(client)
            reason = await link.until_lost()
            lasted = loop.time() - up_since
            self._outage.begin(reason)
        except asyncio.CancelledError as exc:
            if is_cancelled():
                raise
            # What the client or `on_connected` waited for was cancelled, not this.
            self._failed(exc)
        except Exception as exc:
            if ends_keeping(exc):
                raise
            self._failed(exc)
        finally:
            self.client = None
            await link.let_go(forget_services=self._doubts_services)
        if up_since is not None:
            self._tell_lost()
        return lasted >= SETTLED_AFTER

    def _came_up(self, client: ClientT) -> None:
        self._outage.end()
        self.last_error = None
        self.connections += 1
        self._has_read_services, self._doubts_services = self._doubts_services, False
        self.client = client
        self._changed.set()

    def _link_lost(self, loss: LinkLoss, reason: str = LINK_LOST) -> None:
        loss.set(reason)
        if loss is self._lost:
            # Whoever asks for a client from now on waits for the next one.
            self.client = None

    def _failed(self, exc: BaseException) -> None:
        if not isinstance(exc, Exception):
            exc = BleakConnectionError(f"{self._wish.name}: what it waited for was cancelled")
        self.last_error = exc
        if means_stale_services(exc):
            self._doubts_services = True
        self._outage.because(str(exc) or type(exc).__name__)
        _LOGGER.debug("%s: this round failed", self._wish.name, exc_info=exc)

    def _tell_lost(self) -> None:
        try:
            if self._on_lost:
                self._on_lost()
        except Exception:
            _LOGGER.exception("%s: on_lost failed", self._wish.name)


def keep_connected(
    client_class: type[ClientT],
    device: BLEDevice,
    name: str | None,
    *,
    on_connected: Callable[[ClientT], Awaitable[None]] | None = None,
    on_lost: Callable[[], None] | None = None,
    silence_timeout: float | None = None,
    **connect: Any,
) -> KeptConnection[ClientT]:
    """Return a connection that comes back by itself, on whichever path is best by then.

    Use it in `async with`: entering begins to connect and waits for nothing; leaving disconnects.
    A device that is lost is tried again at once, then after 1, 2, 4 … seconds, at most
    LONGEST_PAUSE apart. Why it is not connected is logged once at INFO, and at WARNING when it has
    lasted for a minute.

    Args:
        client_class: class to instantiate.
        device: the device.
        name: what to call it in errors and logs; its address if that is None or empty.
        on_connected: awaited with the client each time the link is up, before the notifications are
            restored: what must be written first. It is cancelled when the link is lost, or when
            both together take longer than `deadline`. An error of Bluetooth in it ends the link; a
            defect (DEFECTS of `failures/keep_rules.py`) ends it all.
        on_lost: called each time the link has ended; what it raises is logged.
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
