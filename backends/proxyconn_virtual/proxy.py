"""An ESPHome Bluetooth proxy in software."""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual._addresses import address_text, bluetooth_mac, mac_for
from proxyconn_virtual._bluetooth import Bluetooth, BluetoothConfig, report_message
from proxyconn_virtual._device import Device
from proxyconn_virtual._frames import Frames, NoiseFrames, PlaintextFrames
from proxyconn_virtual._gatt import Gatt
from proxyconn_virtual._noise import PSK_SIZE
from proxyconn_virtual._profiles import FirmwareProfile, profile
from proxyconn_virtual._slots import MAX_SLOTS
from proxyconn_virtual.faults import Injector, RadioEvent
from proxyconn_virtual.radio import LinkParameters, Radio
from proxyconn_virtual.server import ApiServer, Session
from proxyconn_virtual.timings import Timings

MAX_NAME = 31
"""Longest node name, characters (ESPHome core/config.py)."""

_SHORT_UUIDS_SINCE = 12

Observer = Callable[[events.ProxyEvent], None]


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


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("noise_psk is not base64") from error
    if len(key) != PSK_SIZE:
        raise ValueError(f"noise_psk has {len(key)} bytes, not {PSK_SIZE}")
    return key


class VirtualProxy:
    """One virtual proxy.

    Attributes:
        name: node name.
        host: address it listens on.
        port: TCP port; 0 before the first start if the spec leaves it open.
        mac: six colon-separated hex octets.
        noise_psk: its key in base64, or None.
        profile: the firmware it behaves like.
        timings: its clocks.
        send_buffer: bytes of each client's send buffer, or None.
        injectors: consulted for every message and radio event; add and remove at any time.

    Raises:
        ValueError: the spec breaks one of its ranges.
    """

    def __init__(self, spec: ProxySpec, radio: Radio, *, host: str = "127.0.0.1") -> None:
        if not 0 < len(spec.name) <= MAX_NAME:
            raise ValueError(f"name {spec.name!r} is not 1..{MAX_NAME} characters long")
        if not 1 <= spec.slots <= MAX_SLOTS:
            raise ValueError(f"{spec.slots} slots are not 1..{MAX_SLOTS}")
        self._key = None if spec.noise_psk is None else _key(spec.noise_psk)
        self.spec = spec
        self.name = spec.name
        self.host = host
        self.port = spec.port
        self.mac = (spec.mac or mac_for(spec.name)).upper()
        self.noise_psk = spec.noise_psk
        self.profile = profile(spec.profile)
        self.timings = spec.timings
        self.send_buffer = spec.send_buffer
        self.injectors: list[Injector] = []
        self._radio = radio
        self._observers: list[Observer] = []
        self._subscriber: Session | None = None
        self._received: Counter[str] = Counter()
        self._orphan_timer: asyncio.TimerHandle | None = None
        self._server = ApiServer(self)
        self._running = False
        self._boot()

    def _boot(self) -> None:
        """Begin with empty memory, as after power-on."""
        config = BluetoothConfig(
            slots=self.spec.slots,
            establish_limit=self.spec.establish_limit,
            profile=self.profile,
            timings=self.timings,
        )
        self._received.clear()
        self._bluetooth = Bluetooth(self, self._radio, config)
        self._device = Device(self, self._radio, self._bluetooth, self.profile)
        self._gatt = Gatt(
            self.send_subscriber,
            self._bluetooth.established,
            write_event_without_response=self.profile.write_event_without_response,
        )
        self._handlers: dict[type[Message], Callable[..., None]] = {}
        if self.spec.active:
            self._handlers |= self._device.handlers
            self._handlers |= self._gatt.handlers
        if self.profile.scanner_state:
            self._handlers[pb.BluetoothScannerSetModeRequest] = self._set_mode

    async def start(self) -> None:
        """Boot: power the radio, and listen on the same port as before. Raises OSError."""
        if self._running:
            return
        self._boot()
        self.port = await self._server.start(self.host, self.port)
        self._running = True
        await self._bluetooth.start()

    async def stop(self) -> None:
        """Say goodbye to the clients, as before a reboot, and go; idempotent."""
        await self._server.stop()
        await self._halt()

    async def kill(self) -> None:
        """Lose power: reset every connection, and drop every link; idempotent."""
        await self._server.kill()
        await self._halt()

    async def _halt(self) -> None:
        self._running = False
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
        await self._device.stop()
        await self._bluetooth.stop()

    def snapshot(self) -> ProxySnapshot:
        """Return the state of this moment."""
        report = self._bluetooth.rules.report()
        sessions = self._server.sessions
        subscriber = self._subscriber
        return ProxySnapshot(
            name=self.name,
            limit=report.limit,
            free=report.free,
            slots=tuple(
                (address_text(slot.address), slot.state.value)
                for slot in self._bluetooth.rules.slots
                if slot.address
            ),
            subscriber=None if subscriber is None else subscriber.client_info,
            clients=tuple(sorted(s.client_info for s in sessions if s.greeted)),
            scanning=self._bluetooth.scanner.running,
            parameters={address_text(a): p for a, p in self._device.parameters.items()},
            received=dict(self._received),
            connects_refused=self._device.connects_refused,
            messages_lost=sum(session.messages_lost for session in sessions),
        )

    def add_observer(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called with every event; return what ends it (idempotent)."""
        self._observers.append(observer)

        def remove() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return remove

    def emit(self, event: events.ProxyEvent) -> None:
        """Tell the observers."""
        for observer in tuple(self._observers):
            observer(event)

    def keeps(self, event: RadioEvent, address: int) -> bool:
        """Whether every injector lets a radio event through."""
        return all(injector.keeps(event, address) for injector in self.injectors)

    def frames(self) -> Frames:
        """Return the framing of a new connection."""
        if self._key is None:
            return PlaintextFrames()
        return NoiseFrames(self._key, self.name, self.mac.replace(":", "").lower())

    def device_info(self) -> pb.DeviceInfoResponse:
        """Return message 10."""
        return pb.DeviceInfoResponse(
            name=self.name,
            mac_address=self.mac,
            esphome_version=self.profile.version,
            model="esp32dev",
            project_name="esphome.bluetooth-proxy",
            project_version=self.profile.version,
            manufacturer="Espressif",
            friendly_name=self.spec.friendly_name,
            bluetooth_proxy_feature_flags=self.profile.features(active=self.spec.active),
            bluetooth_mac_address=bluetooth_mac(self.mac),
            api_encryption_supported=True,
        )

    def send_subscriber(self, message: Message) -> None:
        """Send a message to the subscriber, if there is one."""
        if self._subscriber is not None:
            self._subscriber.send(message)

    def count_received(self, name: str) -> None:
        """Count a message that came in."""
        self._received[name] += 1

    def session_opened(self, session: Session) -> None:
        """A client said Hello."""
        self.emit(events.ClientConnected(self.name, session.client_info))

    def session_closed(self, session: Session) -> None:
        """A client is gone."""
        if session is self._subscriber:
            self._unsubscribe()
        if session.greeted:
            self.emit(events.ClientGone(self.name, session.client_info))

    def handle(self, session: Session, message: Message) -> None:
        """Take a message about Bluetooth."""
        match message:
            case pb.SubscribeBluetoothLEAdvertisementsRequest():
                self._subscribe(session)
            case pb.UnsubscribeBluetoothLEAdvertisementsRequest():
                if session is self._subscriber:
                    self._unsubscribe()
            case pb.SubscribeBluetoothConnectionsFreeRequest():
                if self.spec.active:
                    session.send(report_message(self._bluetooth.rules.report()))
            case _:
                handler = self._handlers.get(type(message))
                if handler is not None:
                    handler(message)

    def _subscribe(self, session: Session) -> None:
        """Take a subscriber: the first one wins, or the newest, as the firmware has it."""
        if self._subscriber is not None:
            if not self.profile.newest_subscriber_wins:
                return
            if session is not self._subscriber:
                self.emit(events.Unsubscribed(self.name, self._subscriber.client_info))
        if session is not self._subscriber:
            self.emit(events.Subscribed(self.name, session.client_info))
        self._subscriber = session
        self._gatt.short_uuids = (
            min(session.client_minor, self.profile.api_minor) >= _SHORT_UUIDS_SINCE
        )
        self._bluetooth.scanner.listening = True
        self._bluetooth.scanner.report()

    def _unsubscribe(self) -> None:
        if self._subscriber is not None:
            self.emit(events.Unsubscribed(self.name, self._subscriber.client_info))
        self._subscriber = None
        self._bluetooth.scanner.listening = False
        if self._orphan_timer is not None:
            self._orphan_timer.cancel()
        if self._running:
            loop = asyncio.get_running_loop()
            self._orphan_timer = loop.call_later(self.timings.orphan, self._orphaned)

    def _orphaned(self) -> None:
        if self._subscriber is None:
            self._bluetooth.disconnect_all()

    def _set_mode(self, request: pb.BluetoothScannerSetModeRequest) -> None:
        self._bluetooth.scanner.set_mode(request.mode)
