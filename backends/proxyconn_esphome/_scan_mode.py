"""The scan of a proxy: what it reports of it, and how it is started anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioesphomeapi.model import BluetoothProxyFeature

from ._messages import (
    BluetoothScannerMode,
    BluetoothScannerSetModeRequest,
    BluetoothScannerState,
    BluetoothScannerStateResponse,
)

if TYPE_CHECKING:
    from ._session import ProxySession

PASSIVE = BluetoothScannerMode.BLUETOOTH_SCANNER_MODE_PASSIVE
ACTIVE = BluetoothScannerMode.BLUETOOTH_SCANNER_MODE_ACTIVE

FLIP_TIME = 5.0
"""Seconds that the other mode lasts: enough for the scan to stop and to start."""


class ScanMode:
    """The scan of one proxy.

    The mode is the proxy's own and outlives our session, so one that was changed is changed back
    even in a later session.
    """

    def __init__(self, session: ProxySession) -> None:
        self._session = session
        self._last: BluetoothScannerStateResponse | None = None
        self._owed: BluetoothScannerMode.ValueType | None = None
        self._owed_from = 0.0

    def on_state(self, message: BluetoothScannerStateResponse) -> None:
        """Take what the proxy reports."""
        self._last = message

    def flip(self, now: float) -> bool:
        """Set the other mode for FLIP_TIME; return False if the proxy cannot.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        known = BluetoothProxyFeature.FEATURE_STATE_AND_MODE in self._session.features
        if not known or self._last is None or self._owed is not None:
            return False
        mode = self._last.mode
        self._set(PASSIVE if mode == ACTIVE else ACTIVE)
        self._owed, self._owed_from = mode, now
        return True

    def tick(self, now: float) -> None:
        """Set the old mode when its time has come. Raises RadioUnavailableError."""
        if self._owed is not None and now - self._owed_from >= FLIP_TIME:
            self._set(self._owed)
            self._owed = None

    def _set(self, mode: BluetoothScannerMode.ValueType) -> None:
        self._session.send(BluetoothScannerSetModeRequest(mode=mode))

    def diagnostics(self) -> dict[str, str | None]:
        """Return state and mode as the proxy reported them last; None where it did not."""
        if self._last is None:
            return {"state": None, "mode": None}
        return {
            "state": _word(BluetoothScannerState, self._last.state),
            "mode": _word(BluetoothScannerMode, self._last.mode),
        }


def _word(enum: Any, value: int) -> str:
    """Return the last word of a name in the protocol, as in BLUETOOTH_SCANNER_STATE_RUNNING.

    A value that we do not know stands for itself.
    """
    return enum.Name(value).rpartition("_")[2].lower() if value in enum.values() else str(value)
