"""An ESPHome Bluetooth proxy in software."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from proxyconn_native_api.dialling import Dialler
from proxyconn_native_api.frames import Frames, NoiseFrames, PlaintextFrames
from proxyconn_native_api.listener import ApiServer
from proxyconn_native_api.noise import key_of
from proxyconn_native_api.session import Session
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual.fault_catalogue import find_fault
from proxyconn_virtual.faults import Injectors
from proxyconn_virtual.firmware.addresses import address_text, bluetooth_mac, mac_for
from proxyconn_virtual.firmware.bluetooth import Bluetooth, report_message
from proxyconn_virtual.firmware.device_requests import Device
from proxyconn_virtual.firmware.gatt_requests import Gatt
from proxyconn_virtual.firmware.profiles import FirmwareProfile, profile
from proxyconn_virtual.firmware.slots import MAX_SLOTS
from proxyconn_virtual.firmware.spec import MAX_NAME as MAX_NAME
from proxyconn_virtual.firmware.spec import BluetoothConfig, entities_of
from proxyconn_virtual.firmware.spec import DeepSleep as DeepSleep
from proxyconn_virtual.firmware.spec import ProxySnapshot as ProxySnapshot
from proxyconn_virtual.firmware.spec import ProxySpec as ProxySpec
from proxyconn_virtual.firmware.spec import new_noise_psk as new_noise_psk
from proxyconn_virtual.firmware.subscription import Subscription
from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.radio import Radio

Observer = Callable[[events.ProxyEvent], None]


class VirtualProxy:
    """One virtual proxy.

    Attributes:
        name: node name.
        place: what the virtual fleet calls it.
        host: address it listens on.
        port: TCP port; 0 before the first start if the spec leaves it open.
        mac: six colon-separated hex octets.
        noise_psk: its key in base64, or None.
        password: what clients must say, or None.
        profile: the firmware it behaves like.
        timings: its clocks.
        send_buffer: bytes of each client's send buffer, or None.
        intake: how slowly it takes what clients send, or None.
        injectors: consulted for every message and radio event; add and remove at any time.
        dialler: calls its client by itself, if the spec says so; else None.
        server, bluetooth, subscription: its parts, for what injects faults; the last two are new
            ones after each boot.

    Raises:
        ValueError: the spec breaks one of its ranges.
    """

    def __init__(self, spec: ProxySpec, radio: Radio, *, host: str = "127.0.0.1") -> None:
        if not 0 < len(spec.name) <= MAX_NAME:
            raise ValueError(f"name {spec.name!r} is not 1..{MAX_NAME} characters long")
        if not 1 <= spec.slots <= MAX_SLOTS:
            raise ValueError(f"{spec.slots} slots are not 1..{MAX_SLOTS}")
        self._key = None if spec.noise_psk is None else key_of(spec.noise_psk)
        self.spec = spec
        self.name = spec.name
        self.host = host
        self.port = spec.port
        self.place = spec.place or spec.name
        self.mac = (spec.mac or mac_for(self.place)).upper()
        self.noise_psk = spec.noise_psk
        self.password = spec.password
        self.profile: FirmwareProfile = profile(spec.profile)
        if spec.password is not None and not self.profile.password_login:
            raise ValueError(f"firmware {self.profile.version} knows no password")
        self.timings = spec.timings
        self.send_buffer = spec.send_buffer
        self.intake = spec.intake
        self.injectors = Injectors()
        self._radio = radio
        self._observers: dict[object, Observer] = {}
        self._received: Counter[str] = Counter()
        self._reboots = OwnedTasks()
        self.server: ApiServer = ApiServer(self)
        self._running = False
        self._life = OwnedTasks()
        self.dialler = self._make_dialler()
        self._boot()

    def _make_dialler(self) -> Dialler | None:
        settings = self.spec.outgoing_connection
        if settings is None:
            return None
        if not self.profile.outgoing_connection:
            raise ValueError(
                f"firmware {self.profile.version} calls nobody: outgoing_connection is of 2026.10"
            )
        if self.noise_psk is None:
            raise ValueError("outgoing_connection needs a key, so that its peer is verified by it")

        async def call(host: str, port: int) -> Session | None:
            return await self.server.call(host, port, self.host)

        return Dialler(
            settings,
            call,
            lambda: len(self.server.sessions) < self.profile.max_clients,
            sleeps=self.spec.deep_sleep is not None,
            chance=random.Random(self.mac),
        )

    def _boot(self) -> None:
        """Begin with empty memory, as after power-on."""
        config = BluetoothConfig(
            slots=min(self.spec.slots, self.profile.max_slots),
            establish_limit=self.spec.establish_limit,
            profile=self.profile,
            timings=self.timings,
            hears_extended=self.spec.hears_extended,
        )
        self._received.clear()
        self.bluetooth = Bluetooth(self, self._radio, config)
        self._device = Device(self, self._radio, self.bluetooth, self.profile)
        self._gatt = Gatt(
            self.send_subscriber,
            self.bluetooth,
            self.profile,
            again=self.timings.loop,
        )
        self.subscription = Subscription(self, self.bluetooth, self._gatt)
        self._handlers: dict[type[Message], Callable[..., None]] = {}
        if self._connects:
            self._handlers |= self._device.handlers
            self._handlers |= self._gatt.handlers
        if self.profile.scanner_state:
            self._handlers[pb.BluetoothScannerSetModeRequest] = self._set_mode

    async def start(self) -> None:
        """Boot: power the radio, and listen on the same port as before. Raises OSError."""
        if self._running:
            return
        self._boot()
        self.port = await self.server.start(self.host, self.port)
        self._running = True
        await self.bluetooth.start()
        if self.dialler:
            self._life.start(self.dialler.run(), f"dial {self.name}")
        if self.spec.deep_sleep:
            self._life.start(self._fall_asleep(self.spec.deep_sleep), f"sleep {self.name}")

    async def _fall_asleep(self, rhythm: DeepSleep) -> None:
        await asyncio.sleep(rhythm.awake)
        self.reboot(rhythm.asleep, farewell=True)

    async def stop(self) -> None:
        """Say goodbye to the clients, as before a reboot, and go; idempotent."""
        await self._reboots.close()
        await self._halt(farewell=True)

    async def kill(self) -> None:
        """Lose power: reset every connection, and drop every link; idempotent."""
        await self._reboots.close()
        await self._halt(farewell=False)

    def reboot(self, off: float, *, farewell: bool = False) -> None:
        """Go off the air, with a goodbye to the clients or without, for `off` seconds.

        Returns at once; does nothing while the proxy is off the air, or stopped.
        """

        async def reboot() -> None:
            await self._halt(farewell=farewell)
            await asyncio.sleep(off)
            await self.start()

        if self._running:
            self._running = False
            self._reboots.start(reboot(), f"reboot {self.name}")

    async def _halt(self, *, farewell: bool) -> None:
        await self._life.close()
        await (self.server.stop() if farewell else self.server.kill())
        self._running = False
        self.subscription.close()
        await self._device.stop()
        await self.bluetooth.stop()

    def inject(
        self, name: str, argument: str | float | None = None, *, seed: int = 0
    ) -> Callable[[], None]:
        """Switch a fault on; return what switches it off (idempotent).

        Args:
            name: of the fault; `fault_catalogue.CATALOGUE` has them all.
            argument: what it takes, as a number or as text; None for its default.
            seed: of what is random in it.

        Raises:
            FaultError: there is no such fault, not in this firmware or not with this proxy, or the
                argument is none for it.
        """
        return find_fault(name).switch_on(self, argument, seed=seed)

    def snapshot(self) -> ProxySnapshot:
        """Return the state of this moment."""
        report = self.bluetooth.rules.report()
        sessions = self.server.sessions
        subscriber = self.subscription.holder
        return ProxySnapshot(
            name=self.name,
            limit=report.limit,
            free=report.free,
            slots=tuple(
                (address_text(slot.address), slot.state.value)
                for slot in self.bluetooth.rules.slots
                if slot.address
            ),
            subscriber=None if subscriber is None else subscriber.client_info,
            clients=tuple(sorted(s.client_info for s in sessions if s.greeted)),
            scanning=self.bluetooth.scanner.running,
            parameters={address_text(a): p for a, p in self._device.parameters.items()},
            received=dict(self._received),
            connects_refused=self._device.connects_refused,
            messages_lost=sum(session.messages_lost for session in sessions),
        )

    def add_observer(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called with every event; return what ends it (idempotent)."""
        # Each one of its own, whatever is registered twice.
        registration = object()
        self._observers[registration] = observer

        def remove() -> None:
            self._observers.pop(registration, None)

        return remove

    @property
    def announced_as(self) -> str:
        """Its mDNS instance."""
        return self.spec.announced_as or self.name

    @property
    def version(self) -> str:
        """The ESPHome version it claims to run."""
        return self.profile.version

    @property
    def friendly_name(self) -> str:
        """Shown to people; may be empty."""
        return self.spec.friendly_name

    @property
    def project(self) -> tuple[str, str]:
        """What stock images are made as, in this version."""
        return "esphome.bluetooth-proxy", self.profile.version

    @property
    def board(self) -> tuple[str, str]:
        """Platform and board it claims to run on."""
        return "ESP32", "esp32dev"

    def emit(self, event: events.ProxyEvent) -> None:
        """Tell the observers."""
        for registration, observer in tuple(self._observers.items()):
            if registration in self._observers:
                observer(event)

    def frames(self) -> Frames:
        """Return the framing of a new connection."""
        key = self.injectors.key(self._key)
        if key is None:
            return PlaintextFrames()
        return NoiseFrames(key, self.name, self.mac.replace(":", "").lower())

    def device_info(self) -> pb.DeviceInfoResponse:
        """Return message 10."""
        return pb.DeviceInfoResponse(
            name=self.name,
            mac_address=self.mac,
            esphome_version=self.profile.version,
            model=self.profile.model,
            legacy_bluetooth_proxy_version=self.profile.legacy_version,
            project_name="esphome.bluetooth-proxy",
            project_version=self.profile.version,
            manufacturer=self.profile.manufacturer,
            friendly_name=self.spec.friendly_name,
            bluetooth_proxy_feature_flags=self.profile.features(active=self.spec.active),
            bluetooth_mac_address=bluetooth_mac(self.mac),
            api_encryption_supported=True,
            api_outgoing_connection_supported=self.dialler is not None,
            has_deep_sleep=self.spec.deep_sleep is not None,
        )

    def entities(self) -> Sequence[tuple[Message, Message | None]]:
        """Return its sensors and buttons."""
        return entities_of(self.spec)

    @property
    def _connects(self) -> bool:
        """Whether it opens connections at all."""
        return self.spec.active and self.profile.connects

    def send_subscriber(self, message: Message) -> bool:
        """Send a message to the subscriber, if there is one; False if the socket is full."""
        return self.subscription.send(message)

    def count_received(self, name: str) -> None:
        """Count a message that came in."""
        self._received[name] += 1

    def session_opened(self, session: Session) -> None:
        """A client said Hello."""
        if self.dialler and session.is_target:
            self.dialler.target_declared(session)
        self.emit(events.ClientConnected(self.name, session.client_info))

    def session_closed(self, session: Session) -> None:
        """A client is gone."""
        self.subscription.leave(session)
        if self.dialler:
            self.dialler.session_closed(session)
        if session.greeted:
            self.emit(events.ClientGone(self.name, session.client_info))

    def handle(self, session: Session, message: Message) -> None:
        """Take a message about Bluetooth."""
        match message:
            case pb.SubscribeBluetoothLEAdvertisementsRequest():
                self.subscription.ask(session)
            case pb.UnsubscribeBluetoothLEAdvertisementsRequest():
                self.subscription.leave(session)
            case pb.SubscribeBluetoothConnectionsFreeRequest():
                if self._connects:
                    session.send(report_message(self.bluetooth.rules.report()))
            case pb.ButtonCommandRequest() if self.spec.restart_button:
                self.reboot(self.spec.timings.restart, farewell=True)
            case pb.DeviceCapabilitiesRequest() if self.profile.capabilities:
                session.send(self._capabilities())
            case _:
                handler = self._handlers.get(type(message))
                if handler is not None:
                    handler(message)

    def _capabilities(self) -> pb.DeviceCapabilitiesResponse:
        """Return message 150."""
        return pb.DeviceCapabilitiesResponse(
            bluetooth_proxy=pb.BluetoothProxyCapabilities(
                feature_flags=self.profile.features(active=self.spec.active),
                mac_address=bluetooth_mac(self.mac),
            )
        )

    def _set_mode(self, request: pb.BluetoothScannerSetModeRequest) -> None:
        self.bluetooth.scanner.set_mode(request.mode)
