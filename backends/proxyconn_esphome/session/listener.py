"""What a session tells whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from proxyconn.radio import AllocationChangeEvent, Callbacks, RadioState, Report
from proxyconn_esphome.wire.problems import Problem


class SessionView(Protocol):
    """What a listener may ask of the session that tells it something."""

    @property
    def name(self) -> str:
        """What people call the proxy."""
        ...

    @property
    def state(self) -> RadioState:
        """How the session is doing."""
        ...

    @property
    def problem(self) -> Problem | None:
        """Why it is not ready; None if it is, or if that is no news yet."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether the proxy does what it can do."""
        ...


class SessionListener:
    """Override what matters; the rest does nothing."""

    def session_changed(self, session: SessionView) -> None:
        """The state, the problem or the identity is another one now."""

    def session_failed(self, session: SessionView) -> None:
        """An attempt to connect has failed; the state may be the same as before."""

    def session_heard(self, session: SessionView, reports: Sequence[Report[bytes]]) -> None:
        """A batch of advertisements arrived."""

    def session_slots(self, session: SessionView, events: Sequence[AllocationChangeEvent]) -> None:
        """The proxy's slots, or the attempts that occupy it, are other ones now."""

    def session_linked(self, session: SessionView, address: str) -> None:
        """A link to a device is up, and its services are being read."""


class _Telling(SessionView, Protocol):
    _told_changed: Callbacks[[SessionView]]
    _told_failed: Callbacks[[SessionView]]
    _told_heard: Callbacks[[SessionView, Sequence[Report[bytes]]]]
    _told_slots: Callbacks[[SessionView, Sequence[AllocationChangeEvent]]]
    _told_linked: Callbacks[[SessionView, str]]


class Listeners:
    """The part of a session that tells whoever listens; one that raises deafens no other."""

    def __init__(self) -> None:
        owner = "a proxy's session"
        self._told_changed = Callbacks[[SessionView]](owner)
        self._told_failed = Callbacks[[SessionView]](owner)
        self._told_heard = Callbacks[[SessionView, Sequence[Report[bytes]]]](owner)
        self._told_slots = Callbacks[[SessionView, Sequence[AllocationChangeEvent]]](owner)
        self._told_linked = Callbacks[[SessionView, str]](owner)

    def add_listener(self, listener: SessionListener) -> Callable[[], None]:
        """Tell `listener` about every change; returns the unsubscribe."""
        removes = [
            self._told_changed.register(listener.session_changed),
            self._told_failed.register(listener.session_failed),
            self._told_slots.register(listener.session_slots),
            self._told_linked.register(listener.session_linked),
        ]
        # There are many of these, and most listeners do not want to know.
        if type(listener).session_heard is not SessionListener.session_heard:
            removes.append(self._told_heard.register(listener.session_heard))

        def remove() -> None:
            for one in removes:
                one()

        return remove

    def tell_changed(self: _Telling) -> None:
        """Tell the listeners that state, problem or identity are other ones now."""
        self._told_changed(self)

    def tell_failed(self: _Telling) -> None:
        """Tell the listeners that an attempt to connect has failed."""
        self._told_failed(self)

    def tell_heard(self: _Telling, reports: Sequence[Report[bytes]]) -> None:
        """Tell the listeners what the proxy has heard."""
        # As calling it would, but for what it takes to pass any arguments on: this is often.
        told = self._told_heard
        for registration in told.registrations.now:
            callback = registration.callback
            if callback is None:
                continue
            try:
                callback(self, reports)
            except Exception:  # noqa: BLE001 - it is logged
                told.log_failure(callback)

    def tell_slots(self: _Telling, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell the listeners that slots, or attempts to fill them, are other ones now."""
        self._told_slots(self, events)

    def tell_linked(self: _Telling, address: str) -> None:
        """Tell the listeners that a link is up, and its services are being read."""
        self._told_linked(self, address)
