"""The Bluetooth part of a virtual proxy: requests and radio events in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual.faults import Injectors, RadioEvent
from proxyconn_virtual.firmware.addresses import address_text
from proxyconn_virtual.firmware.backend_rules import BackendRules
from proxyconn_virtual.firmware.link import REASON_LOCAL_HOST, LinkRun, OverlappingLinkRun
from proxyconn_virtual.firmware.scanner import Scanner
from proxyconn_virtual.firmware.slot_rules import REASON_OPEN_FAILED, SlotRules
from proxyconn_virtual.firmware.slots import (
    Action,
    CancelOpen,
    CloseLink,
    ConnectionNotice,
    OpenLink,
    SearchServices,
    SlotReport,
    SlotState,
    TeardownTimer,
)
from proxyconn_virtual.firmware.spec import BluetoothConfig
from proxyconn_virtual.radio import Radio


class Host(Protocol):
    """What the Bluetooth part needs of its proxy."""

    name: str
    injectors: Injectors

    def send_subscriber(self, message: Message) -> object:
        """Send a message to the subscriber, if there is one."""

    def emit(self, event: events.ProxyEvent) -> None:
        """Tell the observers."""


class Bluetooth:
    """Slots, links and scanner of one proxy, from boot to reboot."""

    def __init__(self, host: Host, radio: Radio, config: BluetoothConfig) -> None:
        self._host = host
        self._radio = radio
        self._config = config
        self._runs: dict[int, LinkRun] = {}
        self._alive: set[LinkRun] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._gaps: set[asyncio.TimerHandle] = set()
        self._powered = False
        rules = BackendRules if config.profile.backend else SlotRules
        self.rules: SlotRules = rules(config.slots, config.profile)
        self.on_security_request: Callable[[int], None] | None = None
        """Called with the address of a linked peripheral that asks for encryption."""
        self.scanner = Scanner(
            radio,
            config.profile,
            config.timings,
            host.send_subscriber,
            hears_extended=config.hears_extended,
        )

    async def start(self) -> None:
        """Power the radio and start scanning."""
        await self._radio.start()
        self._powered = True
        self._settle()

    async def stop(self) -> None:
        """Drop every link without a word, and power the radio off; idempotent."""
        self._powered = False
        self.scanner.close()
        for timer in (*self._timers.values(), *self._gaps):
            timer.cancel()
        self._timers.clear()
        self._gaps.clear()
        tasks = [task for run in self._alive for task in run.abandon()]
        self._alive.clear()
        self._runs.clear()
        for slot in self.rules.slots:
            slot.stack_idle()
            slot.free()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._radio.stop()

    def connect(self, request: pb.BluetoothDeviceRequest, *, with_cache: bool) -> bool:
        """Take a connect request; False if there was no slot for it."""
        address_type = request.address_type if request.has_address_type else None
        actions = tuple(self.rules.connect(request.address, address_type, with_cache=with_cache))
        self._apply(actions)
        return self.rules.find(request.address) is not None

    def disconnect(self, address: int) -> None:
        """Take a disconnect request."""
        self._apply(self.rules.disconnect(address))

    def disconnect_all(self) -> None:
        """End every link: nobody is subscribed."""
        self._apply(self.rules.disconnect_all())

    def send_report(self) -> None:
        """Send the slot report to the subscriber."""
        self._act(self.rules.report())

    def run_of(self, address: int) -> LinkRun | None:
        """Return the link, or attempt, in the first slot with the address."""
        slot = self.rules.find(address)
        return None if slot is None else self._runs.get(slot.index)

    def established(self, address: int) -> LinkRun | None:
        """Return the link of an address if GATT requests may use it."""
        slot = self.rules.find(address)
        if slot is None or slot.state is not SlotState.ESTABLISHED:
            return None
        return self._runs.get(slot.index)

    def drop(self, reason: int, address: int | None = None) -> None:
        """Drop every link, or that of an address, for an HCI reason."""
        for run in tuple(self._runs.values()):
            if run.link is not None and address in (None, run.address):
                run.drop(reason)

    def occupy(self, address: int) -> None:
        """Let the last free slot, if there is one, keep an address that nobody uses."""
        self._apply(self.rules.occupy(address))

    def vacate(self, address: int) -> None:
        """Free the slots that `occupy` took for an address."""
        self._apply(self.rules.vacate(address))

    def link_connected(self, run: LinkRun) -> None:
        """CONNECT_EVT."""
        if self._current(run):
            self._apply(self.rules.connected(run.slot.index))

    def link_opened(self, run: LinkRun) -> None:
        """OPEN_EVT, good."""
        self._notice(RadioEvent.OPEN, run, lambda: self._opened(run))

    def _opened(self, run: LinkRun) -> None:
        if not self._current(run):
            return
        index, discovering = run.slot.index, not run.slot.with_cache
        self._host.emit(events.Connected(self._host.name, address_text(run.address), index))
        self._apply(self.rules.opened(index))
        self._may_drop(run, discovering=discovering)

    def link_failed(self, run: LinkRun, reason: int) -> None:
        """OPEN_EVT, bad, and soon after it CLOSE_EVT."""
        self._alive.discard(run)
        self._notice(RadioEvent.OPEN, run, lambda: self._failed(run, reason))

    def _failed(self, run: LinkRun, reason: int) -> None:
        if not self._current(run):
            return
        index = run.slot.index
        self._host.emit(events.OpenFailed(self._host.name, address_text(run.address), reason))
        late = self._host.injectors.late(RadioEvent.CLOSE, run.address)
        if late and not self._config.profile.backend:
            self._apply(self.rules.failing(index, reason))
            self._start_close_timer(index)
            self._notice(RadioEvent.CLOSE, run, lambda: self._closed(run, REASON_OPEN_FAILED))
        else:
            self._freed(index)
            self._apply(self.rules.open_failed(index, reason))

    def link_mtu(self, run: LinkRun, mtu: int) -> None:
        """The MTU result."""
        if self._current(run) and self._host.injectors.keeps(RadioEvent.MTU, run.address):
            self._apply(self.rules.mtu_exchanged(run.slot.index, mtu))

    def link_mtu_not_asked(self, run: LinkRun) -> None:
        """The stack took no request for the MTU."""
        if self._current(run):
            self._apply(self.rules.mtu_not_asked(run.slot.index))

    def link_discovered(self, run: LinkRun, status: int) -> None:
        """The end of discovery."""
        if self._current(run) and self._host.injectors.keeps(RadioEvent.SEARCH, run.address):
            self._apply(self.rules.discovered(run.slot.index, status))
            self._may_drop(run, discovering=False)

    def link_lost(self, run: LinkRun, reason: int) -> None:
        """DISCONNECT_EVT, and soon after it CLOSE_EVT."""
        self._host.emit(events.Disconnected(self._host.name, address_text(run.address), reason))
        if not self._current(run):
            self._alive.discard(run)
            return
        self._notice(RadioEvent.DISCONNECT, run, lambda: self._disconnected(run, reason))
        self._later(self._config.timings.close_gap, lambda: self._close_event(run, reason))

    def _disconnected(self, run: LinkRun, reason: int) -> None:
        index = run.slot.index
        if self._current(run):
            self._start_close_timer(index)
            self._apply(self.rules.lost(index, reason))
            return
        newer = self._runs.get(index)
        if newer is None or newer.address != run.address:
            return
        # The event names the device only: it ends what has come after its link.
        if self._config.profile.backend:
            self._apply(self.rules.lost(index, reason))
        else:
            newer.drop(reason)

    def link_closed(self, run: LinkRun) -> None:
        """CLOSE_EVT of a link that we closed."""
        if run.link is not None:
            self._host.emit(events.Disconnected(self._host.name, address_text(run.address), 0))
        self._close_event(run, None)
        if self._host.injectors.late(RadioEvent.DISCONNECT, run.address):
            self._notice(
                RadioEvent.DISCONNECT, run, lambda: self._disconnected(run, REASON_LOCAL_HOST)
            )

    def link_aborted(self, run: LinkRun) -> None:
        """An attempt, or a link, that the stack was made to forget is over."""
        self._alive.discard(run)

    def link_wants_security(self, run: LinkRun) -> None:
        """SEC_REQ_EVT."""
        if self._current(run) and self.on_security_request is not None:
            self.on_security_request(run.address)

    def walks(self, run: LinkRun) -> bool:
        """Whether the services of a link can be told whole; if not, the link is ended."""
        if self._host.injectors.keeps(RadioEvent.WALK, run.address):
            return True
        self._apply(self.rules.walk_failed(run.slot.index))
        return False

    def link_notified(self, run: LinkRun, handle: int, value: bytes) -> None:
        """A notification for a registered handle."""
        self._host.send_subscriber(
            pb.BluetoothGATTNotifyDataResponse(address=run.address, handle=handle, data=value)
        )

    def _current(self, run: LinkRun) -> bool:
        return self._runs.get(run.slot.index) is run

    def _close_event(self, run: LinkRun, reason: int | None) -> None:
        self._alive.discard(run)
        if self._current(run):
            self._notice(RadioEvent.CLOSE, run, lambda: self._closed(run, reason))

    def _closed(self, run: LinkRun, reason: int | None) -> None:
        if self._current(run):
            self._freed(run.slot.index)
            self._apply(self.rules.closed(run.slot.index, reason))

    def _notice(self, event: RadioEvent, run: LinkRun, then: Callable[[], None]) -> None:
        """Take a radio event, unless it gets lost; late, if an injector says so."""
        injectors = self._host.injectors
        if not injectors.keeps(event, run.address):
            return
        if seconds := injectors.late(event, run.address):
            self._later(seconds, then)
        else:
            then()

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        def over() -> None:
            self._gaps.discard(handle)
            then()

        handle = asyncio.get_running_loop().call_later(seconds, over)
        self._gaps.add(handle)

    def _may_drop(self, run: LinkRun, *, discovering: bool) -> None:
        """Let a link drop of which an injector says so."""
        loss = self._host.injectors.loss(run.address, discovering=discovering)
        if loss is not None:
            self._later(loss.after, lambda: run.drop(loss.reason))

    def _freed(self, index: int) -> None:
        self._runs.pop(index, None)
        timer = self._timers.pop(index, None)
        if timer is not None:
            timer.cancel()

    def _start_close_timer(self, index: int) -> None:
        def expired() -> None:
            actions = tuple(self.rules.close_timed_out(index))
            if actions:
                run = self._runs.get(index)
                self._freed(index)
                if run is not None and not run.over:
                    run.abort()
            self._apply(actions)

        if index not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[index] = loop.call_later(self._config.timings.close_lost, expired)

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in tuple(actions):
            self._act(action)
        self._settle()

    def _settle(self) -> None:
        """Share the radio between the scanner and the attempts."""
        if not self._powered:
            return
        if self.rules.wants_radio:
            self.scanner.stop()
        for action in tuple(self.rules.promote()):
            self._act(action)
        if not self.rules.blocks_scan:
            self.scanner.start()

    def _act(self, action: Action) -> None:
        match action:
            case ConnectionNotice():
                self._host.send_subscriber(
                    pb.BluetoothDeviceConnectionResponse(
                        address=action.address,
                        connected=action.connected,
                        mtu=action.mtu,
                        error=action.error,
                    )
                )
            case SlotReport():
                self._host.send_subscriber(report_message(action))
            case OpenLink():
                self._open(action.slot)
            case CloseLink():
                self._start_close_timer(action.slot)
                self._runs[action.slot].close()
            case _:
                self._act_on_stack(action)

    def _act_on_stack(self, action: Action) -> None:
        match action:
            case CancelOpen():
                self._cancel_open(action.slot)
            case SearchServices():
                self._runs[action.slot].search()
            case TeardownTimer(on=True):
                self._start_close_timer(action.slot)
            case TeardownTimer() if (timer := self._timers.pop(action.slot, None)) is not None:
                timer.cancel()

    def _cancel_open(self, index: int) -> None:
        run, injectors = self._runs[index], self._host.injectors
        if not injectors.keeps(RadioEvent.CANCEL_CALL, run.address):
            self._apply(self.rules.cancel_refused(index))
            return
        late = injectors.late(RadioEvent.CANCEL, run.address)

        def cancelled() -> None:
            if not self._current(run) or run.link is not None:
                return  # too late: it was opened, or has failed
            run.abort()
            if injectors.keeps(RadioEvent.CANCEL, run.address):
                self._freed(index)
                self._apply(self.rules.cancelled(index))

        self._later(self._config.timings.cancel + late, cancelled)

    def _open(self, index: int) -> None:
        slot = self.rules.slots[index]
        injectors = self._host.injectors
        if not injectors.keeps(RadioEvent.OPEN_CALL, slot.address):
            self._apply(self.rules.refused(index))
            return
        self._host.emit(events.Connecting(self._host.name, address_text(slot.address)))
        kind = OverlappingLinkRun if self._config.profile.backend else LinkRun
        run = kind(
            slot,
            self,
            self._radio,
            open_limit=self._config.establish_limit,
            att_limit=self._config.timings.att,
            outcome=injectors.outcome(slot.address),
        )
        self._runs[index] = run
        self._alive.add(run)


def report_message(report: SlotReport) -> pb.BluetoothConnectionsFreeResponse:
    """Return a slot report as message 81."""
    return pb.BluetoothConnectionsFreeResponse(
        free=report.free, limit=report.limit, allocated=report.allocated
    )
