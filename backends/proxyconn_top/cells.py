"""Values as short texts. Whatever devices and proxies say is text here, never markup."""

from __future__ import annotations

from typing import Any, Final

from rich.text import Text

SLOT_USED: Final = "■"
SLOT_OTHERS: Final = "▣"
SLOT_FREE: Final = "□"

MINUTE: Final = 60.0
HOUR: Final = 3600.0

LOUD: Final = -60
FAINT: Final = -85
"""dBm from which a signal is shown as strong, and below which as weak."""

STATE_STYLES: Final = {
    "ready": "green",
    "connecting": "yellow",
    "robbed": "red",
    "denied": "red",
    "gone": "red",
}


def plain(value: Any) -> Text:
    """Return a value as text without control characters; nothing for None."""
    text = "" if value is None else str(value)
    return Text("".join(char if char.isprintable() else "·" for char in text))


def slot_cells(slots: dict[str, Any] | None) -> Text:
    """Return a cell for each slot: held through this fleet, held by others, free; and how many."""
    if slots is None:
        return Text("not told", "dim")
    used = [holder["used"] for holder in slots.get("holders", [])]
    ours, taken = sum(used), slots["limit"] - slots["free"]
    cells = Text()
    cells.append(SLOT_USED * ours, "green")
    cells.append(SLOT_OTHERS * max(taken - ours, 0), "yellow")
    cells.append(SLOT_FREE * slots["free"], "dim")
    cells.append(f" {slots['free']} free")
    return cells


def signal(rssi: int | None) -> Text:
    """Return a signal strength in dBm."""
    if rssi is None:
        return Text("-", "dim")
    style = "green" if rssi >= LOUD else "dim" if rssi < FAINT else ""
    return Text(str(rssi), style, justify="right")


def state(value: str) -> Text:
    """Return the state of a radio."""
    return Text(value, STATE_STYLES.get(value, "yellow"))


def ago(then: float | None, now: float) -> Text:
    """Return how long ago something was; nothing if it is not known."""
    return Text("" if then is None else lasting(max(now - then, 0.0)), justify="right")


def lasting(seconds: float) -> str:
    """Return a time in the largest unit that fits."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"
