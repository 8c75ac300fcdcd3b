"""What differs between firmware versions, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntFlag
from types import MappingProxyType
from typing import Final

from proxyconn_virtual.firmware.slots import MAX_SLOTS


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
_CONNECTING: Final = Feature.ACTIVE_CONNECTIONS | Feature.REMOTE_CACHING

PICO_SLOTS: Final = 1
"""Connection slots of a Raspberry Pi Pico W (ESPHome bluetooth_proxy, its cap for RP2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareProfile:
    """The manners of one firmware version; the defaults are ESPHome 2026.6.5 on an ESP32.

    What 2026.8 and newer do is compared with the firmware's own code by scripts/test-firmware.

    Attributes:
        version: ESPHome version string.
        platform: as mDNS names it: ESP32, RP2, BK72XX.
        model: board, as DeviceInfo names it.
        manufacturer: of the board.
        legacy_version: field 11 of DeviceInfo; 0 where it is not sent.
        connects: False for chips that only scan.
        max_slots: most connection slots.
        pairing: PAIR and UNPAIR are told as a feature.
        cache_clearing: CLEAR_CACHE is told as a feature, and can succeed.
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
        backend: the slot and the stack keep a state each: one notice for each end, one slot for
            each device, the true MTU, and whole tables or none (2026.8).
        cancels_open: a disconnect cancels an open that is under way (2026.10).
        mtu_first: connected=true waits for the exchange of the MTU, with cache too (RP2).
        radio_status: a failed open is told with the reason of the radio, not as 133 (RP2).
        capabilities: message 149 is answered with 150 (API 1.15).
        outgoing_connection: `api: outgoing_connection:` is there (2026.10).
        max_clients: API clients at once (api/__init__.py max_connections).
        max_unproven: no firmware tells a client that has said Hello from one that has not.
        backlog: bytes that may wait for the socket before it refuses the next frame.
        hangs_up_on_slow_clients: no firmware does; it loses messages.
    """

    version: str = "2026.6.5"
    platform: str = "ESP32"
    model: str = "esp32dev"
    manufacturer: str = "Espressif"
    legacy_version: int = 0
    connects: bool = True
    max_slots: int = MAX_SLOTS
    pairing: bool = True
    cache_clearing: bool = True
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
    backend: bool = False
    cancels_open: bool = False
    mtu_first: bool = False
    radio_status: bool = False
    capabilities: bool = False
    outgoing_connection: bool = False
    max_clients: int = 5
    max_unproven: int | None = None
    backlog: int = 0
    hangs_up_on_slow_clients: bool = False

    def features(self, *, active: bool) -> Feature:
        """Return the feature flags of a proxy that may, or may not, open connections."""
        flags = _SCANNING
        if self.scanner_state:
            flags |= Feature.STATE_AND_MODE
        if active and self.connects:
            flags |= _CONNECTING
            if self.pairing:
                flags |= Feature.PAIRING
            if self.cache_clearing:
                flags |= Feature.CACHE_CLEARING
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
_2026_8: Final = replace(
    _2026_7,
    version="2026.8.0",
    api_minor=15,
    unpair_response=True,
    backend=True,
    capabilities=True,
)
_2026_9: Final = replace(_2026_8, version="2026.9.0", api_minor=16)
_2026_10: Final = replace(
    _2026_9, version="2026.10.0", api_minor=19, cancels_open=True, outgoing_connection=True
)
_RP2: Final = replace(
    _2026_10,
    platform="RP2",
    model="rpipicow",
    manufacturer="Raspberry Pi",
    legacy_version=4,
    max_slots=PICO_SLOTS,
    cache_clearing=False,
    mtu_first=True,
    radio_status=True,
)
_BK72XX: Final = replace(
    _2026_10,
    platform="BK72XX",
    model="generic-bk7231n-qfn32-tuya",
    manufacturer="Beken",
    legacy_version=1,
    connects=False,
)

PROFILES: Final[Mapping[str, FirmwareProfile]] = MappingProxyType(
    {
        "2024.11": _2024_11,
        "2025.5": _2025_5,
        "2025.9": _2025_9,
        "2026.1": _2026_1,
        "2026.6.5": _BASELINE,
        "2026.7.0": _2026_7,
        "2026.8": _2026_8,
        "2026.9": _2026_9,
        "2026.10": _2026_10,
    }
)
"""Profiles of an ESP32 by name. Connection parameters came with ESPHome pull request 14577."""


PLATFORMS: Final[Mapping[str, FirmwareProfile]] = MappingProxyType({"rp2": _RP2, "bk72xx": _BK72XX})
"""Profiles of chips other than the ESP32, with the newest firmware: Pico W, and BK72xx."""

KNOWN: Final[Mapping[str, FirmwareProfile]] = MappingProxyType({**PROFILES, **PLATFORMS})
"""Every profile by name."""

NEWEST: Final = "2026.10"
"""The profile of the newest firmware, which virtual proxies have if nothing else is said."""


def profile(name: str | FirmwareProfile) -> FirmwareProfile:
    """Return a profile by its name, or itself. Raises ValueError for an unknown name."""
    if isinstance(name, FirmwareProfile):
        return name
    try:
        return KNOWN[name]
    except KeyError:
        raise ValueError(f"no profile {name!r}; known: {', '.join(KNOWN)}") from None
