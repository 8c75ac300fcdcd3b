"""An ESPHome Bluetooth proxy in software."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual._addresses import address_text, bluetooth_mac, mac_for
from proxyconn_virtual._api_server import ApiServer
from proxyconn_virtual._bluetooth import Bluetooth, BluetoothConfig, report_message
from proxyconn_virtual._device import Device
from proxyconn_virtual._frames import Frames, NoiseFrames, PlaintextFrames
from proxyconn_virtual._gatt import Gatt
from proxyconn_virtual._profiles import FirmwareProfile, profile
from proxyconn_virtual._slots import MAX_SLOTS
from proxyconn_virtual._spec import MAX_NAME as MAX_NAME
from proxyconn_virtual._spec import ProxySnapshot as ProxySnapshot
from proxyconn_virtual._spec import ProxySpec as ProxySpec
from proxyconn_virtual._spec import key_of
from proxyconn_virtual._spec import new_noise_psk as new_noise_psk
from proxyconn_virtual._subscription import Subscription
from proxyconn_virtual._tasks import OwnedTasks
from proxyconn_virtual.fault_catalogue import find_fault
from proxyconn_virtual.faults import Injectors
from proxyconn_virtual.radio import Radio
from proxyconn_virtual.server import Session

Observer = Callable[[events.ProxyEvent], None]


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
        self.mac = (spec.mac or mac_for(spec.name)).upper()
        self.noise_psk = spec.noise_psk
        self.profile: FirmwareProfile = profile(spec.profile)
        self.timings = spec.timings
        self.send_buffer = spec.send_buffer
        self.injectors = Injectors()
        self._radio = radio
        self._observers: list[Observer] = []
        self._received: Counter[str] = Counter()
        self._reboots = OwnedTasks()
        self.server: ApiServer = ApiServer(self)
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
        self.bluetooth = Bluetooth(self, self._radio, config)
        self._device = Device(self, self._radio, self.bluetooth, self.profile)
        self._gatt = Gatt(
            self.send_subscriber,
            self.bluetooth.established,
            write_event_without_response=self.profile.write_event_without_response,
        )
        self.subscription = Subscription(self, self.bluetooth, self._gatt)
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
        self.port = await self.server.start(self.host, self.port)
        self._running = True
        await self.bluetooth.start()

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
        self._observers.append(observer)

        def remove() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return remove

    def emit(self, event: events.ProxyEvent) -> None:
        """Tell the observers."""
        for observer in tuple(self._observers):
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
        self.subscription.send(message)

    def count_received(self, name: str) -> None:
        """Count a message that came in."""
        self._received[name] += 1

    def session_opened(self, session: Session) -> None:
        """A client said Hello."""
        self.emit(events.ClientConnected(self.name, session.client_info))

    def session_closed(self, session: Session) -> None:
        """A client is gone."""
        self.subscription.leave(session)
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
                if self.spec.active:
                    session.send(report_message(self.bluetooth.rules.report()))
            case _:
                handler = self._handlers.get(type(message))
                if handler is not None:
                    handler(message)

    def _set_mode(self, request: pb.BluetoothScannerSetModeRequest) -> None:
        self.bluetooth.scanner.set_mode(request.mode)
