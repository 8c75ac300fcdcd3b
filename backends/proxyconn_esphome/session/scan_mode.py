"""The scan of a proxy: what it reports of it, which mode it is told, and how it is started anew."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from aioesphomeapi.model import BluetoothProxyFeature, DeviceInfo
from google.protobuf.message import Message

from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.session.subscription.rivals import version_of
from proxyconn_esphome.session.subscription.subscription import Subscription
from proxyconn_esphome.wire.messages import (
    BluetoothScannerMode,
    BluetoothScannerSetModeRequest,
    BluetoothScannerState,
    BluetoothScannerStateResponse,
)

PASSIVE = BluetoothScannerMode.BLUETOOTH_SCANNER_MODE_PASSIVE
ACTIVE = BluetoothScannerMode.BLUETOOTH_SCANNER_MODE_ACTIVE

_LOGGER = logging.getLogger(__name__)

FLIP_TIME = 5.0
"""Seconds that the other mode lasts: enough for the scan to stop and to start."""

CONFIGURED_MODE_SINCE = (2025, 9)
"""ESPHome release from which a proxy reports what its YAML says as well (api.proto, message 126);
before, the field is absent, which looks like passive."""


class ScanningProxy(Protocol):
    """The proxy whose scan it is."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def features(self) -> BluetoothProxyFeature:
        """What the proxy can do."""
        ...

    @property
    def info(self) -> DeviceInfo | None:
        """What it says of itself; None until it has."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether it weighs the wishes of several programs."""
        ...

    @property
    def subscription(self) -> Subscription:
        """Whether its subscription is ours; whoever else has it says how the proxy scans."""
        ...

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError if there is no session."""


class ScanMode:
    """The scan of one proxy.

    The mode is the proxy's own and outlives our session, so one that was changed is changed back
    before the session is closed, and in a later session if it was lost.
    """

    def __init__(self, proxy: ScanningProxy) -> None:
        self._proxy = proxy
        self._last: BluetoothScannerStateResponse | None = None
        self._reported = False
        self._owed: BluetoothScannerMode.ValueType | None = None
        self._owed_from = 0.0
        self._sent: BluetoothScannerMode.ValueType | None = None
        self._asked: BluetoothScannerMode.ValueType | None = None
        self._wishes: dict[object, bool] = {}
        self._before: BluetoothScannerMode.ValueType | None = None
        self._cannot_is_said = False

    def on_state(self, message: BluetoothScannerStateResponse) -> None:
        """Take what the proxy reports."""
        is_news = self._last is None or self._last.mode != message.mode or not self._reported
        self._last, self._reported = message, True
        if is_news or self._asked != self._wanted:
            self._apply()

    @property
    def can_be_set(self) -> bool:
        """Whether the proxy takes a mode, and has said which one it has."""
        return self._knows_modes and self._last is not None

    @property
    def is_active(self) -> bool | None:
        """Whether it asks for scan responses, as it was told or said last; None if unknown."""
        if self._last is None:
            return None
        return (self._last.mode if self._sent is None else self._sent) == ACTIVE

    @property
    def _knows_modes(self) -> bool:
        return BluetoothProxyFeature.FEATURE_STATE_AND_MODE in self._proxy.features

    def begin(self) -> None:
        """There is a new session: nothing was asked of the proxy in it."""
        self._asked = self._sent = None
        self._reported = False

    def want(self, who: object, active: bool | None) -> None:
        """Somebody wants it to scan so from now on; None for no more.

        Who wants scan responses gets them. It is set as soon as the proxy can be told.
        """
        if active is None:
            self._wishes.pop(who, None)
        else:
            self._wishes[who] = active
        self._apply()

    @property
    def _wanted(self) -> BluetoothScannerMode.ValueType | None:
        if not self._wishes:
            return self._before
        return ACTIVE if any(self._wishes.values()) else PASSIVE

    def _apply(self) -> None:
        """Set the mode that is wanted, unless it is set, or the other one is for a moment."""
        wanted = self._wanted
        if wanted is None or self._owed is not None:
            return
        if not (self._reported and self.can_be_set and self._proxy.subscription.held):
            self._say_if_it_cannot()
            return
        assert self._last is not None
        if self._before is None:
            self._before = self._last.mode if self._sent is None else self._sent
        # A wish has to be known there, though somebody else's has the same effect now.
        if self._asked != wanted and (self._proxy.is_shared or not self._is_set_to(wanted)):
            try:
                self._set(wanted)
            except RadioUnavailableError as exc:
                _LOGGER.debug("%s: set with the next session: %s", self._proxy.name, exc)
                return
        self._asked = wanted

    def _is_set_to(self, mode: BluetoothScannerMode.ValueType) -> bool:
        """Whether the proxy says so, and was not told otherwise since."""
        return self._last is not None and self._last.mode == mode and self._sent in (None, mode)

    def _say_if_it_cannot(self) -> None:
        if self._proxy.features and not self._knows_modes and not self._cannot_is_said:
            self._cannot_is_said = True
            _LOGGER.info(
                "%s: cannot be told how to scan, for which it needs ESPHome 2025.5 or later; "
                "it scans as its YAML says",
                self._proxy.name,
            )

    def flip(self, now: float) -> bool:
        """Set the other mode for FLIP_TIME; return False if the proxy cannot.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        if not self.can_be_set or self._last is None or self._owed is not None:
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

    def close(self) -> None:
        """Leave the mode as it was before us, for there will be no later.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        before = self._owed if self._before is None else self._before
        self._wishes.clear()
        self._owed = self._before = self._asked = None
        if before is not None and not self._is_set_to(before):
            self._set(before)

    def _set(self, mode: BluetoothScannerMode.ValueType) -> None:
        self._proxy.send(BluetoothScannerSetModeRequest(mode=mode))
        self._sent = mode

    def diagnostics(self) -> dict[str, str | None]:
        """Return state and modes as the proxy reported them last; None where it did not."""
        if self._last is None:
            return {"state": None, "mode": None, "configured_mode": None}
        info = self._proxy.info
        tells = info is not None and version_of(info.esphome_version) >= CONFIGURED_MODE_SINCE
        configured = _word(BluetoothScannerMode, self._last.configured_mode) if tells else None
        return {
            "state": _word(BluetoothScannerState, self._last.state),
            "mode": _word(BluetoothScannerMode, self._last.mode),
            "configured_mode": configured,
        }


def _word(enum: Any, value: int) -> str:
    """Return the last word of a name in the protocol, as in BLUETOOTH_SCANNER_STATE_RUNNING.

    A value that we do not know stands for itself.
    """
    return enum.Name(value).rpartition("_")[2].lower() if value in enum.values() else str(value)
