"""What readers may do: actions by name, with arguments from outside."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from proxyconn.fleet.inside.interventions import Interventions
from proxyconn.models import ScanMode
from proxyconn.routing.pins import Pin
from proxyconn.watch.feed import Feed
from proxyconn.watch.rows import Row

MOST_TEXT: Final = 200
"""Characters of an argument."""

_ADDRESS: Final = re.compile(
    r"[0-9A-F]{2}(:[0-9A-F]{2}){5}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
)

_PINS: Final = {
    "prefer": Pin.PREFERRED,
    "avoid": Pin.AVOIDED,
    "require": Pin.REQUIRED,
    "ban": Pin.BANNED,
    "none": Pin.NEUTRAL,
}


class BadActionError(ValueError):
    """No such action, or an argument is missing or wrong; the text says which."""


class Actions:
    """Does what readers ask for.

    Args:
        feed: the fleet's; its log says what was done.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._act: Interventions = feed.inspection.act
        self._actions: Mapping[str, tuple[tuple[str, ...], Callable[..., Awaitable[Row]]]] = {
            "disconnect": (("address",), self._disconnect),
            "forget_bond": (("address", "source"), self._forget_bond),
            "free_slot": (("source", "address"), self._free_slot),
            "pin": (("address", "source", "pin"), self._pin),
            "restart": (("source",), self._restart),
            "scan_mode": (("mode",), self._scan_mode),
            "resubscribe": (("source",), self._resubscribe),
        }

    @property
    def names(self) -> list[str]:
        """Names of the actions."""
        return list(self._actions)

    async def do(self, name: str, arguments: Any) -> Row:
        """Do something; return what came of it.

        Args:
            name: of the action.
            arguments: JSON object of texts, as docs/api.md has them.

        Raises:
            BadActionError: no such action, or an argument is missing or wrong.
            BleakError: it could not be done; the text says why.
        """
        try:
            wanted, action = self._actions[name]
        except KeyError:
            raise BadActionError(
                f"there is no action {name[:MOST_TEXT]!r}; there are: {', '.join(self.names)}"
            ) from None
        values = _checked(arguments, wanted)
        self._feed.record.add(
            "action",
            f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items()),
            source=values.get("source"),
            address=values.get("address"),
        )
        result = await action(**values)
        self._feed.hurry()
        return result

    async def _disconnect(self, address: str) -> Row:
        await self._act.disconnect(address)
        return {}

    async def _free_slot(self, source: str, address: str) -> Row:
        await self._act.free_slot(source, address)
        return {}

    async def _pin(self, address: str, source: str, pin: str) -> Row:
        if pin not in _PINS:
            raise BadActionError(f"pin: {pin!r} is none of {', '.join(_PINS)}")
        pins = self._act.pin(address, source, _PINS[pin])
        return {
            "prefer": sorted(pins.prefer),
            "avoid": sorted(pins.avoid),
            "require": sorted(pins.require),
            "ban": sorted(pins.ban),
        }

    async def _resubscribe(self, source: str) -> Row:
        self._act.resubscribe(source)
        return {}

    async def _scan_mode(self, mode: str) -> Row:
        if mode not in {*ScanMode, "none"}:
            raise BadActionError(f"mode: {mode!r} is none of {', '.join(ScanMode)}, none")
        self._act.set_scan_mode(None if mode == "none" else ScanMode(mode))
        return {}

    async def _restart(self, source: str) -> Row:
        await self._act.restart(source)
        return {}

    async def _forget_bond(self, address: str, source: str) -> Row:
        await self._act.forget_bond(address, source)
        return {}


def _checked(arguments: Any, wanted: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(arguments, Mapping) or set(arguments) != set(wanted):
        raise BadActionError(f"it takes a JSON object with {', '.join(wanted)}, and nothing else")
    for name in wanted:
        value = arguments[name]
        if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT:
            raise BadActionError(f"{name}: it must be a text of 1 to {MOST_TEXT} characters")
    values = {name: str(arguments[name]) for name in wanted}
    if "address" in values:
        values["address"] = values["address"].upper()
        if not _ADDRESS.fullmatch(values["address"]):
            raise BadActionError("address: it must be like C4:00:00:00:00:01")
    return values
