"""Those who asked to be told of something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, ParamSpec

P = ParamSpec("P")

_LOGGER = logging.getLogger(__name__)


def call_guarded(callback: Callable[[], object]) -> None:
    """Call `callback`; what it raises goes to the exception handler of the running loop."""
    try:
        callback()
    except Exception as exc:  # noqa: BLE001 - it is handed on
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"Exception in callback {callback!r}", "exception": exc}
        )


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log the exception by which a task has ended that goes on by itself: a done callback of it."""
    if not task.cancelled() and (error := task.exception()):
        name = getattr(task.get_coro(), "__qualname__", task.get_name())
        _LOGGER.error("%s has ended: this should not happen", name, exc_info=error)


class Registration:
    """One callback.

    Attributes:
        callback: what to call; None once it is not to be called any more.
    """

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[..., object]) -> None:
        self.callback: Callable[..., object] | None = callback


class Registrations:
    """Those that there are.

    Attributes:
        now: a tuple that is replaced and never changed.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: tuple[Registration, ...] = ()


class Callbacks(Generic[P]):
    """Callbacks, called in the order in which they were registered.

    Each registration is one of its own, whatever callback it is of. What is undone while others are
    being called is not called any more; what is registered meanwhile is called the next time.

    Args:
        owner: whose they are, for the log.
        changed: called when one has come or gone.

    Attributes:
        registrations: those that there are, for whoever calls them itself.
    """

    __slots__ = ("_changed", "_owner", "registrations")

    def __init__(self, owner: str, changed: Callable[[], object] | None = None) -> None:
        self._owner = owner
        self._changed = changed
        self.registrations = Registrations()

    @property
    def registered(self) -> tuple[Registration, ...]:
        """A tuple that is replaced and never changed."""
        return self.registrations.now

    def register(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Add a callback; returns what takes this one out again, harmless when called twice."""
        registration = Registration(callback)
        self._replace((*self.registered, registration))

        def remove() -> None:
            registration.callback = None
            self._replace(tuple(one for one in self.registered if one is not registration))

        return remove

    def _replace(self, registered: tuple[Registration, ...]) -> None:
        self.registrations.now = registered
        if self._changed:
            self._changed()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call every one of them; what one raises is logged, and keeps no other from being told."""
        for registration in self.registrations.now:
            callback = registration.callback
            if callback is None:
                continue
            try:
                callback(*args, **kwargs)
            except Exception:  # noqa: BLE001 - it is logged
                self.log_failure(callback)

    def log_failure(self, callback: Callable[..., object]) -> None:
        """Log the exception that is being handled, which a callback of these has raised."""
        _LOGGER.exception("a callback of %s failed: %r", self._owner, callback)
