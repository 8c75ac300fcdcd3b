"""What makes a virtual proxy, and what is told of it."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_native_api.intake import Intake
from proxyconn_native_api.noise import PSK_SIZE
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.firmware.profiles import NEWEST, FirmwareProfile
from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.radio import LinkParameters

MAX_NAME: Final = 31
"""Longest node name, characters (ESPHome core/config.py)."""

KEY_OF_WIFI: Final = 1
KEY_OF_RESTART: Final = 2


def new_noise_psk(rng: random.Random | None = None) -> str:
    """Return a new Noise key in base64; `rng` None takes the system's randomness."""
    source = rng if rng is not None else random.SystemRandom()
    return base64.b64encode(source.randbytes(PSK_SIZE)).decode()


@dataclass(frozen=True, kw_only=True)
class DeepSleep:
    """The rhythm of a proxy that sleeps.

    Attributes:
        awake: seconds from boot until it falls asleep.
        asleep: seconds until it boots again.
    """

    awake: float = 30.0
    asleep: float = 300.0


@dataclass(frozen=True, kw_only=True)
class ProxySpec:
    """A virtual proxy.

    Attributes:
        name: node name, at most 31 characters.
        place: what tells it from others of the same name, to the virtual fleet and its
            peripherals; None for the name.
        announced_as: its mDNS instance and host name, which the second responder of a name changes
            to `name-2`; None for the name.
        announced_at: IP addresses to announce; none for the one it listens on.
        noise_psk: 32 bytes in base64; None for plaintext.
        password: what clients must say, on firmware that still has passwords; None for nothing.
        slots: connection slots, 1..9; a profile may have fewer.
        profile: firmware version to behave like, by name or as a profile.
        active: False for a proxy that only listens.
        mac: six colon-separated hex octets; None for one that depends on the place.
        friendly_name: shown to people.
        port: TCP port; 0 for a free one.
        establish_limit: seconds until an attempt to open a link is given up (with 256).
        timings: the other clocks.
        send_buffer: bytes of each client's send buffer; None for the system's. A small one, like
            an ESP32's of about 5760, makes a slow client lose messages as it does on the ESP32.
        intake: how slowly it takes what clients send; None for as fast as it comes. An ESP32 that
            writes to a device takes about 45 messages a second.
        outgoing_connection: whom it calls by itself (ESPHome 2026.10, and only with a key); None
            for nobody.
        deep_sleep: when it sleeps; None for never.
        hears_extended: True for one that hears extended advertising too, and passes on payloads
            longer than 62 bytes; no ESPHome release does.
        wifi_signal: dBm that its Wi-Fi sensor says; None for no such sensor.
        restart_button: whether it has ESPHome's `restart` button.
    """

    name: str
    place: str | None = None
    announced_as: str | None = None
    announced_at: tuple[str, ...] = ()
    noise_psk: str | None = None
    password: str | None = field(default=None, repr=False)
    slots: int = 3
    profile: str | FirmwareProfile = NEWEST
    active: bool = True
    mac: str | None = None
    friendly_name: str = ""
    port: int = 0
    establish_limit: float = 20.0
    timings: Timings = field(default_factory=Timings)
    send_buffer: int | None = None
    intake: Intake | None = None
    outgoing_connection: OutgoingConnection | None = None
    deep_sleep: DeepSleep | None = None
    hears_extended: bool = False
    wifi_signal: float | None = None
    restart_button: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BluetoothConfig:
    """Settings: number of slots, seconds until an attempt is given up, manners, clocks, hearing."""

    slots: int
    establish_limit: float
    profile: FirmwareProfile
    timings: Timings
    hears_extended: bool = False


def entities_of(spec: ProxySpec) -> Sequence[tuple[Message, Message | None]]:
    """Return the Wi-Fi sensor with its value, and the restart button, if it has them."""
    found: list[tuple[Message, Message | None]] = []
    if spec.wifi_signal is not None:
        sensor = pb.ListEntitiesSensorResponse(
            object_id="wifi_signal",
            key=KEY_OF_WIFI,
            name="WiFi Signal",
            unit_of_measurement="dBm",
            device_class="signal_strength",
            entity_category=pb.ENTITY_CATEGORY_DIAGNOSTIC,
        )
        found.append((sensor, pb.SensorStateResponse(key=KEY_OF_WIFI, state=spec.wifi_signal)))
    if spec.restart_button:
        button = pb.ListEntitiesButtonResponse(
            object_id="restart",
            key=KEY_OF_RESTART,
            name="Restart",
            device_class="restart",
            entity_category=pb.ENTITY_CATEGORY_CONFIG,
        )
        found.append((button, None))
    return found


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
