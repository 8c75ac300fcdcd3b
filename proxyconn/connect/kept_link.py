"""One link of a connection that is kept: opened, made ready, watched, and let go."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from proxyconn.connect.establish import DISCONNECT_TIMEOUT, establish_connection
from proxyconn.connect.kept_subscriptions import Subscriptions
from proxyconn.connect.link_loss import LinkLoss

_LOGGER = logging.getLogger(__name__)

ClientT = TypeVar("ClientT", bound=BleakClient)


@dataclass(frozen=True, slots=True)
class LinkWish(Generic[ClientT]):
    """What the caller wants of every link to the device.

    Attributes:
        client_class: class to instantiate.
        device: the device.
        name: what to call it in errors and logs.
        on_connected: awaited with the client before the notifications are restored.
        on_disconnected: called with the client when its link has ended.
        silence_timeout: seconds without a notification that end the link; None to trust it.
        deadline: seconds to make a link that has come up ready; None for no limit.
        connect: the other arguments of `establish_connection`.
    """

    client_class: type[ClientT]
    device: BLEDevice
    name: str
    on_connected: Callable[[ClientT], Awaitable[None]] | None
    on_disconnected: Callable[[ClientT], None] | None
    silence_timeout: float | None
    deadline: float | None
    connect: dict[str, Any]


class KeptLink(Generic[ClientT]):
    """One link, from its first attempt to its end.

    Args:
        wish: what the caller wants.
        subscriptions: what is subscribed to.
        reads_services: whether to read the services anew, whatever is known of them.
        on_disconnected: called in the event loop when the link has ended; sets `loss`.
        loss: the loss of this link.
    """

    def __init__(
        self,
        wish: LinkWish[ClientT],
        subscriptions: Subscriptions,
        *,
        reads_services: bool,
        on_disconnected: Callable[[], None],
        loss: LinkLoss,
    ) -> None:
        self._wish = wish
        self._subscriptions = subscriptions
        self._reads_services = reads_services
        self._on_disconnected = on_disconnected
        self._loss = loss
        self._client: ClientT | None = None

    async def open(self) -> ClientT:
        """Connect, make the link ready and return its client.

        Raises:
            Exception: what establish_connection, `on_connected` or a subscription raises.
            LinkError, BleakConnectionError: the link was lost meanwhile, or was not ready in time.
        """
        wish = self._wish
        connect = dict(wish.connect)
        if self._reads_services:
            connect.update(use_services_cache=False, cached_services=None)
        client = self._client = await establish_connection(
            wish.client_class,
            wish.device,
            wish.name,
            disconnected_callback=self._disconnected,
            **connect,
        )
        if self._loss.is_set() and client.is_connected:
            self._loss.clear()
        async with self._loss.interrupts(wish.name, wish.deadline):
            if wish.on_connected:
                await wish.on_connected(client)
            await self._subscriptions.restore(client)
        self._subscriptions.heard_at = asyncio.get_running_loop().time()
        return client

    def _disconnected(self, client: ClientT) -> None:
        self._on_disconnected()
        if self._wish.on_disconnected:
            self._wish.on_disconnected(client)

    async def until_lost(self) -> str:
        """Wait for the end of the link, or for a silence that stands for it; say which it was."""
        loop = asyncio.get_running_loop()
        silence = self._wish.silence_timeout
        while True:
            silent_at = None if silence is None else self._subscriptions.heard_at + silence
            if silent_at is not None and silent_at <= loop.time():
                return f"nothing was heard for {silence:g} s"
            try:
                async with asyncio.timeout_at(silent_at):
                    await self._loss.wait()
                    return self._loss.reason
            except TimeoutError:
                continue

    async def let_go(self, *, forget_services: bool) -> None:
        """Disconnect; what fails in it has no say in the next link."""
        client = self._client
        if client is None:
            return
        clear_cache = getattr(client, "clear_cache", None)
        if forget_services and inspect.iscoroutinefunction(clear_cache):
            await self._tidy(clear_cache)
        await self._tidy(client.disconnect)

    async def _tidy(self, step: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await step()
        except asyncio.CancelledError:
            if is_cancelled():
                raise
        except Exception:
            _LOGGER.debug("%s: %r failed", self._wish.name, step, exc_info=True)


def is_cancelled() -> bool:
    """Whether the present task is being cancelled, and not only something it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
