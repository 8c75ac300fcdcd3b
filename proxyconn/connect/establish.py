"""establish_connection: attempts, waits and path changes of one connection."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.device import (
    ble_device_description,
    device_path,
    device_rssi,
    device_source,
    same_path,
)
from proxyconn.errors import BleakNotFoundError, ErrorKind, ProxyconnError
from proxyconn.failures.advice import NO_ATTEMPT_ENDED, advise
from proxyconn.failures.retry_budget import MAX_CONNECT_ATTEMPTS, RetryBudget
from proxyconn.failures.rules import BLEAK_RETRY_EXCEPTIONS, Failure, classify
from proxyconn.local.stack import LocalLink, local_link
from proxyconn.models import RSSI_SWITCH_THRESHOLD
from proxyconn.radio import route_of

CONNECT_TIMEOUT = 20.0
"""Seconds for one `client.connect()`, as bleak-retry-connector gives it."""

LAST_WORD = 0.05
"""Seconds before the deadline at which an attempt ends by itself, so that it can say why."""

NO_MORE_ATTEMPTS = 0.1
"""Seconds before the deadline from which on none begins: it would have no time."""

SAFETY_TIMEOUT = 60.0
"""Seconds after which an attempt ends even if its backend ignores its own timeout."""

DISCONNECT_TIMEOUT = 5.0
"""Seconds for a disconnect between two attempts."""

WAITS_FOR_CONTROLLER = frozenset(
    {ErrorKind.OUT_OF_SLOTS, ErrorKind.CONNECT_CANCELLED, ErrorKind.CONTROLLER_BUSY}
)
"""Failures after which a controller needs its time, whatever the local stack knows of the link."""

WAITS_FOR_RADIO = frozenset(
    {ErrorKind.OUT_OF_SLOTS, ErrorKind.RADIO_BUSY, ErrorKind.RADIO_UNAVAILABLE}
)
"""Failures that use up no attempt before a deadline: nothing was tried."""

SPARES_THE_PATH = frozenset(
    {ErrorKind.RADIO_BUSY, ErrorKind.IN_USE, ErrorKind.FLEET_CLOSED, ErrorKind.SECURITY}
)
"""Failures that speak for no other path: nothing was tried, or the bond is on this one."""

AWAY_WAIT = 1.0
"""Seconds between two looks, until the deadline, at radios that are all away."""

_LOGGER = logging.getLogger(__name__)

ClientT = TypeVar("ClientT", bound=BleakClient)


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt that failed and will be followed by another.

    Attributes:
        attempt: number of the attempt that failed, from 1.
        error: what it failed with.
        kind: the error, classified.
        source: the radio it was made on, if that is known.
        wait: seconds until the next attempt, at most.
    """

    attempt: int
    error: BaseException
    kind: ErrorKind
    source: str | None
    wait: float


async def establish_connection(
    client_class: type[ClientT],
    device: BLEDevice,
    name: str | None,
    disconnected_callback: Callable[[ClientT], None] | None = None,
    max_attempts: int = MAX_CONNECT_ATTEMPTS,
    cached_services: BleakGATTServiceCollection | None = None,
    ble_device_callback: Callable[[], BLEDevice] | None = None,
    use_services_cache: bool = True,
    pair: bool = False,
    *,
    deadline: float | None = None,
    on_retry: Callable[[Retry], None] | None = None,
    **kwargs: Any,
) -> ClientT:
    """Connect to a device, trying again as long as the failures warrant it.

    Args:
        client_class: class to instantiate; `_is_retry_client=True`, `pair=` and `kwargs` are
            passed to it.
        device: the device.
        name: what to call it in errors and logs; its address if that is None or empty.
        disconnected_callback: called with the client when the link is lost.
        max_attempts: timeouts and connect errors together that end the attempts.
        cached_services: deprecated; any value means `use_services_cache=True`.
        ble_device_callback: returns the device as it is known now; asked before each new try.
        use_services_cache: whether services known from an earlier connection may be used.
        pair: whether to pair as part of connecting.
        deadline: seconds for the whole call: waiting, attempts and backoff; None for no limit.
        on_retry: called after each failed attempt that another one will follow.
        **kwargs: passed to `client_class`.

    Returns:
        The connected client.

    Raises:
        BleakNotFoundError: the device was not found or never answered.
        BleakOutOfConnectionSlotsError: no radio that reaches it has a slot.
        BleakAbortedError: the link was cut or never came up.
        BleakConnectionError: any other failure of Bluetooth.
        Exception: whatever the client raised that no other try can help.

        After a cancellation no link, slot or task is left behind.
    """
    connection = _Connection(
        client_class=client_class,
        device=device,
        name=name or device.address,
        client_kwargs={
            "disconnected_callback": disconnected_callback,
            "pair": pair,
            "_is_retry_client": True,
            **kwargs,
        },
        budget=RetryBudget(max_attempts),
        fresh_device=ble_device_callback,
        use_cache=use_services_cache or bool(cached_services),
        on_retry=on_retry,
    )
    return await (connection.run() if deadline is None else connection.run_within(deadline))


async def _finish(tidying: Coroutine[Any, Any, None], timeout: float) -> None:
    """Await what must be done however often this is cancelled, for `timeout` seconds at most.

    A cancellation that came meanwhile is raised at the end; an error of Bluetooth is not.
    """
    loop = asyncio.get_running_loop()
    task, until = loop.create_task(tidying), loop.time() + timeout
    cancelled: asyncio.CancelledError | None = None
    while not task.done() and loop.time() < until:
        try:
            await asyncio.wait([task], timeout=until - loop.time())
        except asyncio.CancelledError as exc:
            cancelled = exc
    if not task.cancel() and (error := task.exception()):
        _LOGGER.debug("a link could not be closed: %r", error)
    if cancelled:
        raise cancelled


@dataclass
class _Connection(Generic[ClientT]):
    client_class: type[ClientT]
    device: BLEDevice
    name: str
    client_kwargs: dict[str, Any]
    budget: RetryBudget
    fresh_device: Callable[[], BLEDevice] | None
    use_cache: bool
    on_retry: Callable[[Retry], None] | None
    deadline: float | None = None
    attempts: int = 0
    last_error: Exception | None = None
    last_failure: Failure | None = None
    last_elapsed: float = 0.0
    local: LocalLink | None = None

    async def run_within(self, seconds: float) -> ClientT:
        """Do it before a deadline, and say what stood against it if that is not to be had."""
        self.deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self.deadline) as scope:
                return await self.run()
        except TimeoutError as exc:
            if not scope.expired():
                raise
            raise self.deadline_error(seconds) from (self.last_error or exc)

    async def run(self) -> ClientT:
        client: ClientT | None = None
        try:
            async with local_link(self.device) as self.local:
                if self.local:
                    self.device = self.local.connected_device() or self.device
                client = await self._run()
        except BaseException:
            if client:
                # The link is up, and nobody will ever learn of it.
                await _finish(client.disconnect(), DISCONNECT_TIMEOUT)
            raise
        return client

    async def _run(self) -> ClientT:
        client = self._make_client()
        while True:
            failure = await self._attempt(client)
            if failure is None:
                return client
            assert self.last_error is not None
            if not (self._costs_nothing(failure) or self.budget.spend(failure)):
                raise self._final_error(failure) from self.last_error
            if self.on_retry:
                self.on_retry(
                    Retry(
                        self.attempts,
                        self.last_error,
                        failure.kind,
                        failure.source,
                        failure.rule.wait,
                    )
                )
            if failure.kind is ErrorKind.SERVICES_CHANGED:
                await self._forget_services(client)
            await self._wait(failure)
            if self._is_late():
                # Nothing can be opened in what is left, and the deadline ends this sleep.
                await asyncio.sleep(NO_MORE_ATTEMPTS)
            if self._refresh_device(failure):
                client = self._make_client()

    def _costs_nothing(self, failure: Failure) -> bool:
        """Whether the deadline alone limits this: a fleet's radios are full, busy or away."""
        return (
            failure.kind in WAITS_FOR_RADIO
            and self.deadline is not None
            and route_of(self.device) is not None
        )

    def _is_late(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.deadline is not None and now >= self.deadline - NO_MORE_ATTEMPTS

    def _make_client(self) -> ClientT:
        kwargs = dict(self.client_kwargs)
        if route := route_of(self.device):
            kwargs.setdefault("backend", route.client_backend)
        return self.client_class(self.device, **kwargs)

    async def _attempt(self, client: ClientT) -> Failure | None:
        """Make one attempt; return None once connected, else the failure."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeout = CONNECT_TIMEOUT
        if self.deadline is not None:
            timeout = min(timeout, max(self.deadline - LAST_WORD - started, 0))
        self.attempts += 1
        _LOGGER.debug(
            "%s - %s: attempt %d", self.name, ble_device_description(self.device), self.attempts
        )
        try:
            async with asyncio.timeout(SAFETY_TIMEOUT):
                cached = self.use_cache
                if cached and self.local:
                    cached = await self.local.services_are_valid(self.device)
                await client.connect(timeout=timeout, dangerous_use_bleak_cache=cached)
        except Exception as exc:
            failure = classify(exc, (self.name, self.device.name or ""))
            if failure is None:
                raise
            self.last_error = exc
            self.last_elapsed = loop.time() - started
            self.last_failure = Failure(
                failure.kind, failure.code, failure.source or self._present_source()
            )
            _LOGGER.debug(
                "%s - %s: attempt %d failed after %.2f s: %s: %r",
                self.name,
                self.device.address,
                self.attempts,
                self.last_elapsed,
                failure.kind,
                exc,
            )
            return self.last_failure
        return None

    def _present_source(self) -> str | None:
        return device_source(self.device) or device_path(self.device)

    async def _wait(self, failure: Failure) -> None:
        rule = failure.rule
        route = route_of(self.device)
        if failure.kind is ErrorKind.RADIO_UNAVAILABLE and self._costs_nothing(failure):
            await asyncio.sleep(AWAY_WAIT)
            return
        if rule.slot_may_end_wait and route:
            await route.wait_for_slot(rule.wait)
        elif self.local and failure.kind not in WAITS_FOR_CONTROLLER:
            await self.local.settle(self.device, rule.wait)
        # Even a wait of 0 lets disconnected callbacks run before the next attempt.
        else:
            await asyncio.sleep(rule.wait)

    async def _forget_services(self, client: ClientT) -> None:
        clear_cache = getattr(client, "clear_cache", None)
        if inspect.iscoroutinefunction(clear_cache):
            await self._tidy(clear_cache)
        await self._tidy(client.disconnect)

    async def _tidy(self, step: Callable[[], Awaitable[object]]) -> None:
        """Do what makes way for the next try; the next try tells whether it has."""
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await step()
        except (*BLEAK_RETRY_EXCEPTIONS, KeyError, OSError) as exc:
            _LOGGER.debug("%s: could not tidy up after a change of services: %r", self.name, exc)

    def _refresh_device(self, failure: Failure) -> bool:
        """Take the device as it is known now; say whether that changes the client."""
        fresh = self.fresh_device() if self.fresh_device else None
        if fresh is None or fresh is self.device:
            return False
        better = device_rssi(fresh) >= device_rssi(self.device) + RSSI_SWITCH_THRESHOLD
        failed = failure.kind not in SPARES_THE_PATH
        if not (same_path(fresh, self.device) or failed or better):
            return False
        _LOGGER.debug("%s: next try on %s", self.name, ble_device_description(fresh))
        self.device = fresh
        return True

    def _final_error(self, failure: Failure) -> ProxyconnError:
        return failure.rule.raised(
            f"{self._label()}: Failed to connect after {self.attempts} "
            f"attempt(s): {self._reason()}: {self._advice(failure.kind)}",
            kind=failure.kind,
            code=failure.code,
            attempts=self.attempts,
            source=failure.source,
        )

    def _label(self) -> str:
        address = self.device.address
        return address if self.name == address else f"{self.name} - {address}"

    def _reason(self) -> str:
        return str(self.last_error) or type(self.last_error).__name__

    def _advice(self, kind: ErrorKind) -> str:
        error = self.last_error if isinstance(self.last_error, ProxyconnError) else None
        route = route_of(self.device)
        allocations = error.allocations if error else None
        if allocations is None and route:
            allocations = route.allocations()
        elapsed = error.elapsed if error else None
        if elapsed is None:
            elapsed = self.last_elapsed
        return advise(kind, allocations, elapsed)

    def deadline_error(self, deadline: float) -> ProxyconnError:
        """Return the error for a deadline of `deadline` seconds that has passed."""
        failure = self.last_failure
        where = f"{self._label()}: Not connected within {deadline:g} s"
        if failure is None:
            return BleakNotFoundError(
                f"{where}: {NO_ATTEMPT_ENDED}",
                kind=ErrorKind.TIMEOUT,
                attempts=self.attempts,
                source=self._present_source(),
            )
        return failure.rule.raised(
            f"{where}, after {self.attempts} attempt(s): {self._reason()}: "
            f"{self._advice(failure.kind)}",
            kind=failure.kind,
            code=failure.code,
            attempts=self.attempts,
            source=failure.source,
        )
