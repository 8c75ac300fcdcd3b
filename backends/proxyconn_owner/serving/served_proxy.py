"""Serves the whole fleet as one ESPHome Bluetooth proxy, or one radio of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Any, Final, Protocol

from google.protobuf.message import Message

from proxyconn.fleet.lending import Lending, LentSlots
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.radio import Radio, Report, ScanMode, identity_of
from proxyconn_native_api.frames import Frames, NoiseFrames
from proxyconn_native_api.intake import Intake
from proxyconn_native_api.listener import ApiServer
from proxyconn_native_api.noise import key_of
from proxyconn_native_api.session import Session
from proxyconn_owner.serving.advertisements import Broadcast
from proxyconn_owner.serving.served_client import ServedClient
from proxyconn_proto import bluetooth_proxy_pb2 as pb

ESPHOME_VERSION: Final = "2026.10.0"
"""Release whose manners these are; clients refuse to use proxies that are too old for them."""

LISTENING: Final = 1 | 32 | 64
"""What a proxy can do that only listens: scanning, raw advertisements, scanner state and mode."""

FEATURES: Final = LISTENING | 2 | 4 | 8 | 16 | 128
"""What a proxy can do that does everything (bluetooth_proxy.h): scanning, links, remote caching,
pairing, clearing caches, raw advertisements, scanner state and mode, connection parameters."""

MANUFACTURER: Final = "proxyconn"
PROJECT: Final = "proxyconn.serve"
"""What tells a served proxy from a board."""

UNREAD_ADVERTISEMENTS: Final = 1 << 16
"""Bytes that may wait for a client before it loses advertisements, or is hung up on for more."""

WISHES_PER_SLOT: Final = 4
WISHES_OF_ANYBODY: Final = 32
"""Links that one client may have and wait for: so many for each slot, and so many besides."""

CROWD: Final = 8
"""Clients at that limit whose wishes are as many as a fleet looks at."""

_SCANNER = pb.BluetoothScannerState
_MODES: Final = (pb.BLUETOOTH_SCANNER_MODE_PASSIVE, pb.BLUETOOTH_SCANNER_MODE_ACTIVE)
"""The two modes: passive, active."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedManners:
    """The manners of a proxy that does everything right, also to clients of earlier years."""

    version: str = ESPHOME_VERSION
    api_minor: int = 14
    # Clients of before 2025.10 (aioesphomeapi 29) wait for the answer; the key has proven them.
    password_login: bool = True
    max_clients: int = 500
    # Anybody can call; with the key, Hello takes no longer than the handshake.
    max_unproven: int | None = 32
    backlog: int = UNREAD_ADVERTISEMENTS
    hangs_up_on_slow_clients: bool = True


@dataclass(frozen=True, slots=True)
class ServedClocks:
    """Seconds; but for Hello, for which it has 60, as ESPHome has them (api_connection.cpp)."""

    hello: float = 10.0
    ping_after: float = 60.0
    drop_after: float = 150.0


class NoInterference:
    """Lets every message pass."""

    def __len__(self) -> int:
        return 0

    def accepts(self) -> bool:
        """Every connection is served."""
        return True

    def passed(self, message: Message, *, outgoing: bool) -> Iterator[tuple[Message, float]]:
        """Yield the message."""
        yield message, 0.0


class ClientEvents(Protocol):
    """Who is told of clients."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has said Hello."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""

    def operated(self, operation: str, seconds: float) -> None:
        """An operation on attributes of a device has come to its end."""


class ServedProxy:
    """One served proxy.

    Args:
        name: node name.
        mac: six colon-separated hex octets.
        noise_psk: its key, base64 of 32 bytes.
        lending: the fleet.
        only: identity of the radio that it mirrors; None for the whole fleet as one.
        features: flags of what it can do.
        esphome_version: release that it claims to run.
        holder: says who has a device.
        party_of: says whom a client belongs to, from its name, host and port.
        events: told of clients.

    Attributes:
        host, port: where it listens, once it does.
        clients: everybody who has said Hello.
    """

    profile = ServedManners()
    timings = ServedClocks()
    send_buffer: int | None = None
    intake: Intake | None = None
    injectors = NoInterference()
    password: str | None = None
    version = ESPHOME_VERSION
    project = (PROJECT, version_of("proxyconn"))
    board = ("HOST", "host")

    def __init__(
        self,
        name: str,
        mac: str,
        noise_psk: str,
        lending: Lending,
        *,
        only: str | None = None,
        features: int = FEATURES,
        esphome_version: str = ESPHOME_VERSION,
        friendly_name: str = "",
        holder: Callable[[str], str | None],
        party_of: Callable[[str, str, int], str],
        events: ClientEvents,
    ) -> None:
        self.name = name
        self.mac = mac
        self.noise_psk: str | None = noise_psk
        self.friendly_name = friendly_name
        self.host = ""
        self.port = 0
        self.only = only
        self._features = features
        self._esphome_version = esphome_version
        self.clients: dict[Session, ServedClient] = {}
        self._key = key_of(noise_psk)
        self._lending = lending
        self._holder = holder
        self._party_of = party_of
        self._events = events
        self._server = ApiServer(self)
        self._broadcast = Broadcast(self._subscribers)
        self._leaving: set[asyncio.Task[None]] = set()
        self._told: LentSlots | None = None
        self._unregister: list[Callable[[], None]] = []
        self._stop_hearing: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<ServedProxy {self.name} at {self.host}:{self.port}>"

    async def start(self, host: str, port: int) -> None:
        """Welcome clients. Raises OSError if the port is taken or is not ours to have."""
        self.host, self.port = host, await self._server.start(host, port)
        self._unregister.append(self._lending.register_slots_callback(self._slots_changed))

    async def aclose(self) -> None:
        """Say goodbye to every client, close its links, and stop.

        Idempotent, and to be called again if it failed or was cancelled; it listens no more then.
        """
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        self.subscribers_changed()
        self._broadcast.close()
        try:
            await asyncio.gather(*(client.aclose() for client in list(self.clients.values())))
        finally:
            await self._server.stop()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # What the server asks of whom it serves

    def entities(self) -> Sequence[tuple[Message, Message | None]]:
        """Return none: an owner has no board."""
        return ()

    def frames(self) -> Frames:
        """Return the framing of a new connection: always encrypted."""
        return NoiseFrames(self._key, self.name, self.mac.replace(":", "").lower())

    def device_info(self) -> pb.DeviceInfoResponse:
        """Return message 10."""
        return pb.DeviceInfoResponse(
            name=self.name,
            mac_address=self.mac,
            esphome_version=self._esphome_version,
            model="one radio" if self.only else "fleet",
            manufacturer=MANUFACTURER,
            friendly_name=self.friendly_name,
            project_name=self.project[0],
            project_version=self.project[1],
            bluetooth_proxy_feature_flags=self._features,
            bluetooth_mac_address=self.mac,
            api_encryption_supported=True,
        )

    def count_received(self, name: str) -> None:
        """Nothing counts messages here."""

    def session_opened(self, session: Session) -> None:
        """A client has said Hello."""
        client = self.clients[session] = ServedClient(
            self,
            session,
            self._party_of(session.client_info, session.peer, session.peer_port),
        )
        self._events.client_came(self.name, client.label)

    def session_closed(self, session: Session) -> None:
        """A client is gone: free what it held."""
        client = self.clients.pop(session, None)
        if client is None:
            return
        self._events.client_went(self.name, client.label)
        self.subscribers_changed()
        was_active = self._lending.scans_actively(self.only)
        self._lending.end_scan_wish(client)
        self._report_change(was_active)
        task = asyncio.get_running_loop().create_task(client.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def handle(self, session: Session, message: Message) -> None:
        """Take a message about Bluetooth."""
        if client := self.clients.get(session):
            client.handle(message)

    # What clients ask of their proxy

    def new_client(self, party: str, address: str, address_type: int) -> RoutedClient:
        """Make a client for a device on behalf of a party."""
        return self._lending.client(address, address_type, party=party, only=self.only)

    def slots(self) -> LentSlots:
        """Return who holds which slot."""
        return self._lending.slots(self.only)

    def has_room_for(self, wishes: int) -> bool:
        """Whether a client may wish for one more link than it does.

        Who waits is looked at whenever a slot is freed: a flood must not hold up everybody else.
        """
        everybody = self._lending.wishes
        if max(wishes, everybody) < WISHES_OF_ANYBODY:
            return True
        return wishes < self._most_wishes(self.only) and everybody < CROWD * self._most_wishes()

    def _most_wishes(self, only: str | None = None) -> int:
        return WISHES_PER_SLOT * self._lending.slots(only).limit + WISHES_OF_ANYBODY

    def operated(self, operation: str, seconds: float) -> None:
        """Pass on how long an operation has taken."""
        self._events.operated(operation, seconds)

    def holder(self, address: str) -> str | None:
        """Return who is connected to a device, or connecting; None if nobody is."""
        return self._holder(address)

    def report_scanner(self, client: ServedClient) -> None:
        """Tell a client about the scan; the proof that its subscription is granted."""
        mode = _MODES[self._lending.scans_actively(self.only)]
        client.send(
            pb.BluetoothScannerStateResponse(
                state=_SCANNER.BLUETOOTH_SCANNER_STATE_RUNNING, mode=mode, configured_mode=mode
            )
        )

    def set_scan_mode(self, client: ServedClient, mode: int | None) -> None:
        """A client wishes for a scan mode, or listens without; the most demanding wish counts."""
        was_active = self._lending.scans_actively(self.only)
        if mode is None:
            self._lending.wish_scan(client, None, self.only)
        elif mode in _MODES:
            wished = ScanMode.ACTIVE if mode == _MODES[True] else ScanMode.PASSIVE
            self._lending.wish_scan(client, wished, self.only)
        self._report_change(was_active, but=client)
        if client.subscribed:
            self.report_scanner(client)

    def _report_change(self, was_active: bool, but: ServedClient | None = None) -> None:
        if self._lending.scans_actively(self.only) != was_active:
            for one in self._subscribers():
                if one is not but:
                    self.report_scanner(one)

    def _subscribers(self) -> Sequence[ServedClient]:
        return [client for client in self.clients.values() if client.subscribed]

    # What the fleet tells

    def subscribers_changed(self) -> None:
        """Hear what radios hear only while a client wants to: others may be asked for it."""
        wanted = bool(self._unregister) and any(one.subscribed for one in self.clients.values())
        if wanted and self._stop_hearing is None:
            self._stop_hearing = self._lending.register_reports_callback(self._heard)
        elif self._stop_hearing and not wanted:
            self._stop_hearing()
            self._stop_hearing = None

    def _heard(self, radio: Radio, reports: Iterable[Report[Any]]) -> None:
        if self.only is None:
            self._broadcast.add(self._lending.attributed(radio, reports))
        elif identity_of(radio) == self.only:
            self._broadcast.add(reports)

    def _slots_changed(self) -> None:
        if not self._subscribers():
            # Whoever subscribes asks for the slots. To add them up takes a look at every radio.
            self._told = None
            return
        before, self._told = self._told, self.slots()
        if self._told == before:
            return
        for client in self._subscribers():
            client.report_slots()


async def close_all(proxies: Iterable[ServedProxy]) -> None:
    """Stop several; what one fails with keeps no other from its end, and is raised then."""
    outcomes = await asyncio.gather(*(one.aclose() for one in proxies), return_exceptions=True)
    errors = [one for one in outcomes if isinstance(one, BaseException)]
    for error in errors[1:]:
        _LOGGER.error("a served proxy was not closed", exc_info=error)
    if errors:
        raise errors[0]
