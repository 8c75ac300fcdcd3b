"""Whether a proxy can be used, waiting until it can, and what it cannot be used for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aioesphomeapi.model import BluetoothProxyFeature

from proxyconn.radio import RadioState, RadioUnavailableError, UnsupportedError
from proxyconn_esphome.occupancy.opening_attempts import Attempts
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_esphome.session.periodic_checks import PeriodicChecks
from proxyconn_esphome.session.subscription.other_clients import OtherClients
from proxyconn_esphome.session.subscription.subscription import Subscription
from proxyconn_esphome.session.unreachable import Unreachable
from proxyconn_esphome.wire.problems import Problem

OPENS_LINKS = BluetoothProxyFeature.ACTIVE_CONNECTIONS | BluetoothProxyFeature.REMOTE_CACHING
"""Features without which no links are opened."""


class AwaitedSession(SessionView, Protocol):
    """A session that can be waited for."""

    def add_listener(self, listener: SessionListener) -> Callable[[], None]:
        """Tell `listener` about every change; returns the unsubscribe."""
        ...

    def unavailable(self) -> RadioUnavailableError:
        """Return the error that says why the proxy cannot be used."""
        ...


class JudgedSession(Protocol):
    """A session, as far as its state follows from it.

    Attributes:
        unreachable, other_clients, subscription, attempts, periodic_checks: what may be wrong
            with it.
    """

    unreachable: Unreachable
    other_clients: OtherClients
    subscription: Subscription
    attempts: Attempts
    periodic_checks: PeriodicChecks

    @property
    def is_up(self) -> bool:
        """Whether there is a session, of whatever use."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether everything is known that a proxy says of itself."""
        ...


def judge(session: JudgedSession) -> tuple[RadioState, Problem | None]:
    """Return how a session is doing, and why it is not ready if that is news."""
    if not session.is_up:
        return session.unreachable.state, session.unreachable.problem
    problem = session.other_clients.problem or session.subscription.problem
    subscription = session.subscription
    looked = session.other_clients.only_looks and not subscription.rivals.is_looking
    settled = looked or subscription.held
    if problem is None and not (settled and session.is_complete):
        return RadioState.CONNECTING, None
    problem = problem or session.attempts.problem or session.periodic_checks.problem
    return (problem.state, problem) if problem else (RadioState.READY, None)


class _ReadyWaiter(SessionListener):
    """Resolves a future once a session can be used, or cannot without somebody's help."""

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future

    def session_changed(self, session: SessionView) -> None:
        settled = session.is_usable or (session.problem and session.problem.lasting)
        if settled and not self.future.done():
            self.future.set_result(None)


async def until_ready(session: AwaitedSession, timeout: float) -> None:
    """Wait until a session can be used. Raises as `ProxySession.ready`."""
    waiter = _ReadyWaiter(asyncio.get_running_loop().create_future())
    remove = session.add_listener(waiter)
    try:
        waiter.session_changed(session)
        async with asyncio.timeout(timeout):
            await waiter.future
    except TimeoutError:
        raise session.unavailable() from None
    finally:
        remove()
    if not session.is_usable:
        raise session.unavailable()


def too_old(name: str, version: str, what: str, since: str) -> UnsupportedError:
    """Return the error for a feature that came with ESPHome `since`, or only listening lacks."""
    return UnsupportedError(
        f"{name}: {what} needs ESPHome {since} or newer with `active: true`; "
        f"this proxy runs {version}",
        source=name,
    )


def only_listens(name: str) -> UnsupportedError:
    """Return the error for a link through a proxy that opens none."""
    return UnsupportedError(
        f"{name}: this proxy only listens; set `bluetooth_proxy: active: true` in its YAML",
        source=name,
    )
