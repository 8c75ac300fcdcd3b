"""What differs between firmware versions, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from types import MappingProxyType
from typing import Final


class Feature(IntFlag):
    """Bluetooth proxy feature flags (DeviceInfoResponse field 15)."""

    PASSIVE_SCAN = 1
    ACTIVE_CONNECTIONS = 2
    REMOTE_CACHING = 4
    PAIRING = 8
    CACHE_CLEARING = 16
    RAW_ADVERTISEMENTS = 32
    STATE_AND_MODE = 64
    CONNECTION_PARAMS_SETTING = 128


_SCANNING: Final = Feature.PASSIVE_SCAN | Feature.RAW_ADVERTISEMENTS
_CONNECTING: Final = (
    Feature.ACTIVE_CONNECTIONS | Feature.REMOTE_CACHING | Feature.PAIRING | Feature.CACHE_CLEARING
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareProfile:
    """The manners of one firmware version; the defaults are ESPHome 2026.6.5 on an ESP32.

    Attributes:
        version: ESPHome version string.
        api_minor: minor of the native API version 1.x that Hello answers.
        scanner_state: messages 126 and 127, and the answer to a subscribe.
        configured_mode: field 3 of message 126.
        allocated: slot reports name the addresses.
        connection_parameters: messages 145 and 146.
        password_login: message 3 is answered with message 4.
        newest_subscriber_wins: a second subscriber takes over instead of being ignored.
        freed_at_disconnect: a lost link frees its slot at DISCONNECT_EVT, not at CLOSE_EVT.
        close_timer: the timer for a CLOSE_EVT that never comes frees the slot.
        unpair_response: UNPAIR is answered with message 86, not 85.
        write_event_without_response: message 83 follows a write without response too.
        retry_refused: state messages refused by a full socket are sent again every 100 ms.
    """

    version: str = "2026.6.5"
    api_minor: int = 14
    scanner_state: bool = True
    configured_mode: bool = True
    allocated: bool = True
    connection_parameters: bool = True
    password_login: bool = False
    newest_subscriber_wins: bool = False
    freed_at_disconnect: bool = False
    close_timer: bool = True
    unpair_response: bool = False
    write_event_without_response: bool = True
    retry_refused: bool = False

    def features(self, *, active: bool) -> Feature:
        """Return the feature flags of a proxy that may, or may not, open connections."""
        flags = _SCANNING
        if self.scanner_state:
            flags |= Feature.STATE_AND_MODE
        if active:
            flags |= _CONNECTING
            if self.connection_parameters:
                flags |= Feature.CONNECTION_PARAMS_SETTING
        return flags


_BASELINE: Final = FirmwareProfile()
_2026_1: Final = replace(
    _BASELINE, version="2026.1.0", connection_parameters=False, close_timer=False
)
_2025_9: Final = replace(_2026_1, version="2025.9.0", api_minor=12, password_login=True)
_2025_5: Final = replace(
    _2025_9, version="2025.5.0", api_minor=10, configured_mode=False, freed_at_disconnect=True
)
_2024_11: Final = replace(_2025_5, version="2024.11.0", scanner_state=False, allocated=False)
_2026_7: Final = replace(_BASELINE, version="2026.7.0", newest_subscriber_wins=True)
_2026_8: Final = replace(_2026_7, version="2026.8.0", unpair_response=True, retry_refused=True)

PROFILES: Final[Mapping[str, FirmwareProfile]] = MappingProxyType(
    {
        "2024.11": _2024_11,
        "2025.5": _2025_5,
        "2025.9": _2025_9,
        "2026.1": _2026_1,
        "2026.6.5": _BASELINE,
        "2026.7.0": _2026_7,
        "2026.8": _2026_8,
    }
)
"""Firmware profiles by name. Connection parameters came with ESPHome pull request 14577."""


def profile(name: str | FirmwareProfile) -> FirmwareProfile:
    """Return a profile by its name, or itself. Raises ValueError for an unknown name."""
    if isinstance(name, FirmwareProfile):
        return name
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"no profile {name!r}; known: {', '.join(PROFILES)}") from None
