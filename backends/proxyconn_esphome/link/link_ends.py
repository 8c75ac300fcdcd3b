"""Decides what a connected=false means: which notice is news, and what kind of failure it tells of.

Up to ESPHome 2026.7 a failed open is told twice, and so is a lost link; the second notice may come
when the next attempt is under way already. From 2026.8 on there is one, and whatever the radio knew
of a failed open is 133 by then: only the time tells a device that was never there from a link that
did not come up.
"""

from __future__ import annotations

from typing import Final

from proxyconn.radio import ErrorKind, LinkError, NotConnectedError, OutOfSlotsError, RadioError
from proxyconn_esphome.codes import ConnectionReason, GattStatus, kind_of_reason
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.states import LinkState

SILENT_AFTER: Final = 10.0
"""Seconds after which a failed open means a device that did not answer: the stack's own limits are
10 s and more (ESPHome esp32_ble_client), a refusal takes a second or two."""


GATT_ONLY: Final = frozenset(map(int, GattStatus)) - frozenset(map(int, ConnectionReason))
"""Numbers that are GATT statuses and no reasons: from 2026.8 on, those of a failed discovery."""


class SecondNotices:
    """Failures that may be told once more, by address."""

    def __init__(self) -> None:
        self._expected: dict[int, int] = {}

    def clear(self) -> None:
        """The session has ended."""
        self._expected.clear()

    def forget(self, number: int) -> None:
        """No second notice can come any more: the address holds no slot."""
        self._expected.pop(number, None)

    def is_second(self, link: Link | None, number: int, error: int) -> bool:
        """Whether a notice is of the last failure, and not of the attempt under way now."""
        expected = self._expected.pop(number, None)
        return (
            link is not None
            and link.state is LinkState.OPENING
            and expected is not None
            and error in (expected, ConnectionReason.ESP_GATT_ERROR)
        )

    def expect(self, number: int, error: int) -> None:
        """A failure was told that may be told again."""
        if error:
            self._expected[number] = error


def closed_by_client(link: Link) -> NotConnectedError:
    """Return the error of what waits on a link that its client does not want any more."""
    return NotConnectedError(f"{link.label}: Disconnected by its client", source=link.source)


def connection_error(link: Link, reason: ConnectionReason) -> RadioError:
    """Return the error that connected=false with `reason` stands for, in the link's state."""
    if link.state is LinkState.CLOSING:
        return closed_by_client(link)
    if link.state is not LinkState.OPENING:
        if link.state is LinkState.OPEN and reason is ConnectionReason.ESP_GATT_ERROR:
            return _error(
                link, "the proxy could not read its services", reason, ErrorKind.TRANSIENT
            )
        return _error(link, f"Disconnected: {reason}", reason, kind_of_reason(reason))
    if reason is ConnectionReason.ESP_GATT_CONN_UNKNOWN and not link.listed:
        return OutOfSlotsError(
            f"{link.label}: the proxy has no free connection slot for it",
            source=link.source,
            allocations=link.allocations(),
        )
    elapsed = link.elapsed() or 0.0
    if reason is ConnectionReason.ESP_GATT_ERROR and elapsed >= SILENT_AFTER:
        text = f"the device did not answer for {elapsed:.0f} s: {reason}"
        return _error(link, text, reason, ErrorKind.TIMEOUT)
    if int(reason) in GATT_ONLY:
        text = f"its services were not discovered: {GattStatus(reason)}"
        return _error(link, text, reason, ErrorKind.TRANSIENT)
    return _error(link, f"the link did not open: {reason}", reason, kind_of_reason(reason))


def _error(link: Link, text: str, reason: ConnectionReason, kind: ErrorKind) -> LinkError:
    return LinkError(
        f"{link.label}: {text}",
        kind=kind,
        code=reason,
        source=link.source,
        allocations=link.allocations(),
        elapsed=link.elapsed(),
    )
