"""The states of one link, and every move between them.

The table is the machine: a move that is not in it raises and changes nothing. This file knows
neither clock nor loop nor wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Any


class LinkState(StrEnum):
    """Where a link is in its life."""

    IDLE = auto()
    """Nothing was asked of the proxy, or everything asked has ended."""
    OPENING = auto()
    """A connect request is under way."""
    OPEN = auto()
    """The link is up; services are not known yet."""
    READY = auto()
    """The link is up and belongs to the user."""
    CLOSING = auto()
    """A disconnect request is under way."""


class LinkEvent(StrEnum):
    """What moves a link."""

    CONNECT_SENT = auto()
    """The connect request went out."""
    UP = auto()
    """The proxy reported connected=true."""
    SET_UP = auto()
    """Services are known."""
    DISCONNECT_SENT = auto()
    """The disconnect request went out."""
    DOWN = auto()
    """The proxy reported connected=false, dropped the address from its list, or went away."""


class LinkMoveError(RuntimeError):
    """A link was asked to make a move that its table does not have."""

    def __init__(self, state: LinkState, event: LinkEvent) -> None:
        super().__init__(f"a link that is {state.name} cannot take {event.name}")
        self.state = state
        self.event = event

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.state, self.event)


_S, _E = LinkState, LinkEvent

MOVES: Mapping[LinkState, Mapping[LinkEvent, LinkState]] = MappingProxyType(
    {
        _S.IDLE: {_E.CONNECT_SENT: _S.OPENING, _E.DOWN: _S.IDLE},
        _S.OPENING: {_E.UP: _S.OPEN, _E.DISCONNECT_SENT: _S.CLOSING, _E.DOWN: _S.IDLE},
        _S.OPEN: {
            _E.UP: _S.OPEN,
            _E.SET_UP: _S.READY,
            _E.DISCONNECT_SENT: _S.CLOSING,
            _E.DOWN: _S.IDLE,
        },
        _S.READY: {_E.UP: _S.READY, _E.DISCONNECT_SENT: _S.CLOSING, _E.DOWN: _S.IDLE},
        # A late connected=true after the disconnect request does not bring the link back.
        _S.CLOSING: {_E.UP: _S.CLOSING, _E.DISCONNECT_SENT: _S.CLOSING, _E.DOWN: _S.IDLE},
    }
)
"""State -> event -> next state."""


def next_state(state: LinkState, event: LinkEvent) -> LinkState:
    """Return the state after `event`.

    Raises:
        LinkMoveError: the table has no such move.
    """
    try:
        return MOVES[state][event]
    except KeyError:
        raise LinkMoveError(state, event) from None
