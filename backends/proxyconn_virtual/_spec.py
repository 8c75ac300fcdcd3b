"""What makes a virtual proxy, and what is told of it."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from proxyconn_virtual._noise import PSK_SIZE
from proxyconn_virtual._profiles import FirmwareProfile
from proxyconn_virtual.radio import LinkParameters
from proxyconn_virtual.timings import Timings

MAX_NAME: Final = 31
"""Longest node name, characters (ESPHome core/config.py)."""


def new_noise_psk(rng: random.Random | None = None) -> str:
    """Return a new Noise key in base64; `rng` None takes the system's randomness."""
    source = rng if rng is not None else random.SystemRandom()
    return base64.b64encode(source.randbytes(PSK_SIZE)).decode()


@dataclass(frozen=True, kw_only=True)
class ProxySpec:
    """A virtual proxy.

    Attributes:
        name: node name, at most 31 characters; also the mDNS instance.
        noise_psk: 32 bytes in base64; None for plaintext.
        slots: connection slots, 1..9.
        profile: firmware version to behave like, by name or as a profile.
        active: False for a proxy that only listens.
        mac: six colon-separated hex octets; None for one that depends on the name.
        friendly_name: shown to people.
        port: TCP port; 0 for a free one.
        establish_limit: seconds until an attempt to open a link is given up (with 256).
        timings: the other clocks.
        send_buffer: bytes of each client's send buffer; None for the system's. A small one, like
            an ESP32's of about 5760, makes a slow client lose messages as it does on the ESP32.
    """

    name: str
    noise_psk: str | None = None
    slots: int = 3
    profile: str | FirmwareProfile = "2026.6.5"
    active: bool = True
    mac: str | None = None
    friendly_name: str = ""
    port: int = 0
    establish_limit: float = 20.0
    timings: Timings = field(default_factory=Timings)
    send_buffer: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProxySnapshot:
    """State of a virtual proxy at one moment.

    Attributes:
        name: its name.
        limit: number of slots.
        free: how many are free.
        slots: address text and state of each slot that is held, in slot order.
        subscriber: what the subscriber calls itself; None without one.
        clients: what each client that said Hello calls itself, sorted.
        scanning: whether advertisements are being received.
        parameters: connection parameters last asked for, by address text.
        received: how many messages came in since boot, by message name.
        connects_refused: connect requests since boot that found no slot.
        messages_lost: messages that full sockets of the present clients refused.
    """

    name: str
    limit: int
    free: int
    slots: tuple[tuple[str, str], ...]
    subscriber: str | None
    clients: tuple[str, ...]
    scanning: bool
    parameters: Mapping[str, LinkParameters]
    received: Mapping[str, int]
    connects_refused: int
    messages_lost: int


def key_of(text: str) -> bytes:
    """Return a Noise key from base64. Raises ValueError."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("noise_psk is not base64") from error
    if len(key) != PSK_SIZE:
        raise ValueError(f"noise_psk has {len(key)} bytes, not {PSK_SIZE}")
    return key
