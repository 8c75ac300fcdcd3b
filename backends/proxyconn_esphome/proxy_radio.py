"""One ESPHome proxy as a radio of a fleet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aioesphomeapi.core import APIConnectionError
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bluetooth_data_tools import mac_to_int

from proxyconn.radio import (
    AllocationChangeEvent,
    Allocations,
    IdentifiedRadio,
    KeepsLinks,
    Proxy,
    Radio,
    RadioName,
    RadioSink,
    RadioState,
    Report,
    ScanMode,
    ScanModeRadio,
    SharedRadio,
    TellsAbsence,
    UnsupportedError,
    mac_text,
    scan_mode,
)
from proxyconn_esphome.advertisement_data import has_shortened_name, said_by
from proxyconn_esphome.client import ESPHomeClient
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.wire.mdns import FoundDevice


class ESPHomeRadio(SessionListener, IdentifiedRadio, SharedRadio, TellsAbsence, KeepsLinks):
    """One proxy.

    Args:
        session: the session with it.
        sink: told what it hears, and how it fares.
        named: how the user named it; None for a proxy that mDNS found.
    """

    def __init__(self, session: ProxySession, sink: RadioSink, named: Proxy | None = None) -> None:
        self.session = session
        self.named = named
        self.moved_at = float("-inf")
        self._sink = sink
        session.add_listener(self)

    def __repr__(self) -> str:
        return f"<ESPHomeRadio {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        """What people call the proxy; no other one of the fleet is called so."""
        return self.session.name

    @property
    def identity(self) -> str:
        """The proxy's MAC address; host and port until it is known."""
        if mac := self.session.mac:
            return mac_text(mac)
        proxy = self.session.proxy
        return f"{proxy.host}:{proxy.port}"

    @property
    def is_shared(self) -> bool:
        """Whether an owner lends it to several programs at once."""
        return self.session.is_shared

    @property
    def full_name(self) -> RadioName:
        """Everything there is to call it by."""
        proxy = self.session.proxy
        return RadioName(self.session.node_name, self.session.mac, f"{proxy.host}:{proxy.port}")

    def hosts(self, found: FoundDevice) -> list[str]:
        """Return where it may be: where mDNS has found it, and where the user says it is."""
        named = self.named
        return [*found.hosts, *([named.host] if named and named.port == found.port else [])]

    def answers_to(self, name: str) -> bool:
        """Whether `name` is what it is called, its MAC address, or its name with the end of it."""
        return name == self.name or self.full_name.answers_to(name)

    @property
    def state(self) -> RadioState:
        """How the session is doing."""
        return self.session.state

    @property
    def problem(self) -> str | None:
        """Why the proxy is not ready, in one sentence; None if it is."""
        return self.session.problem.text if self.session.problem else None

    @property
    def connectable(self) -> bool:
        """Whether the proxy opens links."""
        return self.session.connectable

    @property
    def is_away(self) -> bool:
        """Whether the session was lost, and an attempt to have it again has failed."""
        return self.session.unreachable.is_lasting

    def allocations(self) -> Allocations | None:
        """The proxy's slots; None until it has reported them."""
        return self.session.ledger.allocations()

    def free_slots(self) -> int | None:
        """Slots that are neither taken nor claimed; None until the proxy has reported them."""
        ledger = self.session.ledger
        return ledger.available if ledger.reported else None

    @property
    def inherited(self) -> Collection[str]:
        """Devices whose link is from before, is ours, and has no client."""
        return self.session.ledger.inherited

    @property
    def foreign(self) -> Mapping[str, str]:
        """Devices whose link is not ours to end, each with whose it probably is."""
        return self.session.left.foreign

    @property
    def connecting(self) -> int:
        """Attempts that the proxy works on, has been promised, or has not ended yet."""
        return len(self.session.attempts.under_way)

    def claim(self, address: str) -> bool:
        """Promise a slot to the next client for `address`, if one is free."""
        return self.session.ledger.claim(address)

    def release(self, address: str) -> None:
        """Give up a claim; harmless if there is none."""
        self.session.queue.release(address)

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for `device` behind this proxy."""
        return ESPHomeClient(device, session=self.session, **kwargs)

    @property
    def own_scan_mode(self) -> ScanMode | None:
        """The mode that the user asked of this proxy alone; None for that of the fleet."""
        return scan_mode(self.named.scan) if self.named else None

    @property
    def scans_actively(self) -> bool | None:
        """Whether the proxy asks for scan responses, as it said last; None if it has not."""
        return self.session.periodic_checks.scan.is_active

    def set_scan_mode(self, active: bool | None) -> None:
        """Have the proxy scan so, from message 127, as soon as it can be told."""
        self.session.periodic_checks.scan.want(self, active)

    def free_slot(self, address: str) -> None:
        """Have the proxy drop whatever it holds for a device."""
        self.session.send_disconnect(mac_to_int(address))
        self.session.request_slots()

    def resubscribe(self) -> None:
        """Ask for the proxy's subscription again, at once. Raises RadioUnavailableError."""
        session = self.session
        if not session.is_up:
            raise session.unavailable()
        session.other_clients.ask_at_once()

    async def restart(self) -> None:
        """Press the proxy's restart button.

        Raises:
            RadioUnavailableError: the proxy is not there, or has not answered.
            UnsupportedError: its YAML gives it no such button.
        """
        session = self.session
        if not session.is_up:
            raise session.unavailable()
        try:
            pressed = await session.reach.connection.restart()
        except (APIConnectionError, TimeoutError) as exc:
            raise session.unavailable() from exc
        if not pressed:
            raise UnsupportedError(
                f"{self.name}: it has no restart button; give it one in its YAML "
                "(button: platform: restart), or restart it by hand"
            )

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the session, without its key."""
        return self.session.diagnostics()

    def has_shortened_name(self, payload: bytes) -> bool:
        """Whether the name in what it heard is a shortened one."""
        return has_shortened_name(payload)

    def session_changed(self, session: SessionView) -> None:
        """Pass a change of state on."""
        self._sink.state_changed(self)

    def session_failed(self, session: SessionView) -> None:
        """Let those who wait for the proxy look again: it may be away for long."""
        self._sink.state_changed(self)

    def session_slots(self, session: SessionView, events: Sequence[AllocationChangeEvent]) -> None:
        """Pass a slot report on."""
        self._sink.slots_changed(self, events)

    def session_linked(self, session: SessionView, address: str) -> None:
        """Pass on that a link is up."""
        self._sink.link_opened(self, address)

    def session_heard(self, session: SessionView, reports: Sequence[Report[bytes]]) -> None:
        """Pass a batch of advertisements on."""
        self._sink.heard(self, reports, said_by)


_radio_fits: type[Radio] = ESPHomeRadio
_scan_mode_fits: type[ScanModeRadio] = ESPHomeRadio
