"""Faults of connecting and of being told about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delayed, Injector, Lose, Loss, Passed, RadioEvent
from proxyconn_virtual.firmware.link import REASON_NO_ANSWER
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.firmware.slots import DEFAULT_MTU, SlotState
from proxyconn_virtual.named_faults.model import (
    FOREIGN,
    UNTIL_2026_7,
    Argument,
    Fault,
    Kind,
    Stage,
    Undo,
    Where,
    everywhere,
    until_2026_7,
)
from proxyconn_virtual.peripheral import Outcome

_Notice = pb.BluetoothDeviceConnectionResponse
_Request = pb.BluetoothDeviceRequest
_TYPES = pb.BluetoothDeviceRequestType
CACHED: Final = _TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
CONNECTS: Final = frozenset({CACHED, _TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE})

_FAILED_TO_ESTABLISH: Final = 0x3E
_PEER_USER: Final = 0x13

ONE_DEVICE: Final = Argument(Kind.ADDRESS, "the only device; without it, any")


def is_connect(message: Message) -> bool:
    """Whether a message asks for a link."""
    return isinstance(message, _Request) and message.request_type in CONNECTS


def told_twice(profile: FirmwareProfile) -> bool:
    """Whether the end of a link is told at DISCONNECT_EVT, and again at CLOSE_EVT."""
    return not profile.freed_at_disconnect and not profile.backend


@dataclass
class _LostDisconnect(Injector):
    """Loses connected=false of devices that were connected."""

    only: int | None
    up: set[int] = field(default_factory=set)

    def outgoing(self, message: Message) -> Passed:
        if not isinstance(message, _Notice) or self.only not in (None, message.address):
            return (message,)
        if message.connected:
            self.up.add(message.address)
            return (message,)
        return () if message.address in self.up else (message,)


def _lost_disconnect(stage: Stage) -> Undo:
    lost = _LostDisconnect(stage.count)
    slots = stage.proxy.bluetooth.rules.slots
    lost.up.update(slot.address for slot in slots if slot.state is SlotState.ESTABLISHED)
    return stage.add(lost)


@dataclass
class _Silent(Injector):
    """Keeps the open call from the stack, and every notice about the attempt from the client."""

    only: int | None
    silenced: set[int] = field(default_factory=set)

    def keeps(self, event: RadioEvent, address: int) -> bool:
        if event is not RadioEvent.OPEN_CALL or self.only not in (None, address):
            return True
        self.silenced.add(address)
        return False

    def outgoing(self, message: Message) -> Passed:
        mute = isinstance(message, _Notice) and message.address in self.silenced
        return () if mute else (message,)


@dataclass
class _LateNotice(Injector):
    """Delays a kind of notice."""

    seconds: float

    def outgoing(self, message: Message) -> Passed:
        late = isinstance(message, _Notice) and message.connected
        return (Delayed(message, self.seconds),) if late else (message,)


@dataclass
class _Late(Injector):
    """Lets the proxy notice a radio event late."""

    event: RadioEvent
    seconds: float
    fails: Outcome | None = None

    def late(self, event: RadioEvent, address: int) -> float:
        return self.seconds if event is self.event else 0.0

    def outcome(self, address: int) -> Outcome | None:
        return self.fails


@dataclass
class _ThenFalse(Injector):
    """Has the proxy end a link right after it was reported."""

    stage: Stage
    left: int | None

    def outgoing(self, message: Message) -> Passed:
        if self.left != 0 and isinstance(message, _Notice) and message.connected:
            self.left = None if self.left is None else self.left - 1
            disconnect = self.stage.proxy.bluetooth.disconnect
            asyncio.get_running_loop().call_soon(disconnect, message.address)
        return (message,)


@dataclass
class _NoSlot(Injector):
    """Answers connect requests as a proxy without a free slot does."""

    stage: Stage
    left: int | None

    def incoming(self, message: Message) -> Passed:
        if self.left == 0 or not isinstance(message, _Request) or not is_connect(message):
            return (message,)
        if self.left is not None:
            self.left -= 1
        self.stage.proxy.send_subscriber(_Notice(address=message.address, connected=False))
        return ()


@dataclass
class _Mtu(Injector):
    """Reports another MTU; only for connects with cache, unless told otherwise."""

    mtu: int
    cached_only: bool
    cached: set[int] = field(default_factory=set)

    def incoming(self, message: Message) -> Passed:
        if isinstance(message, _Request) and is_connect(message):
            (self.cached.add if message.request_type == CACHED else self.cached.discard)(
                message.address
            )
        return (message,)

    def outgoing(self, message: Message) -> Passed:
        if not isinstance(message, _Notice) or not message.connected:
            return (message,)
        if self.cached_only and message.address not in self.cached:
            return (message,)
        changed = _Notice()
        changed.CopyFrom(message)
        changed.mtu = self.mtu
        return (changed,)


@dataclass
class _Ahead(Injector):
    """Puts an attempt to a device that is not there ahead of every attempt."""

    stage: Stage

    def incoming(self, message: Message) -> Passed:
        bluetooth = self.stage.proxy.bluetooth
        if is_connect(message) and bluetooth.run_of(FOREIGN) is None:
            ahead = _Request(address=FOREIGN, has_address_type=True, address_type=1)
            bluetooth.connect(ahead, with_cache=True)
        return (message,)

    def outcome(self, address: int) -> Outcome | None:
        return Outcome(REASON_NO_ANSWER, self.stage.number) if address == FOREIGN else None


@dataclass
class _Outlasting(Injector):
    """Makes every attempt last, and fail at its end."""

    seconds: float

    def outcome(self, address: int) -> Outcome | None:
        return Outcome(REASON_NO_ANSWER, self.seconds)


def _two_notices(stage: Stage) -> Undo:
    fails = Outcome(_FAILED_TO_ESTABLISH, 0.1)
    return stage.add(_Late(RadioEvent.CLOSE, stage.number, fails))


@dataclass
class Drops(Injector):
    """Makes links drop."""

    loss_: Loss
    discovering: bool
    left: int | None = None

    def loss(self, address: int, *, discovering: bool) -> Loss | None:
        """Return the loss for as many links as were asked for."""
        if self.left == 0 or discovering is not self.discovering:
            return None
        self.left = None if self.left is None else self.left - 1
        return self.loss_


def _double_false(stage: Stage) -> Undo:
    stage.proxy.bluetooth.drop(_PEER_USER)
    return stage.add(Drops(Loss(stage.number, _PEER_USER), discovering=False))


_EVERY: Final = Argument(Kind.COUNT, "how many connects; without it, every one")
_TOLD_TWICE: Final = Where(told_twice, "it tells the end of a link once")

FAULTS: Final = (
    Fault(
        name="lost_disconnect",
        text="The notices that a link is down get lost; the slot report after them does not.",
        source="fire-and-forget sends up to ESPHome 2026.7; retried since 2026.8 (PR 17895)",
        switch=_lost_disconnect,
        argument=ONE_DEVICE,
        exists=UNTIL_2026_7,
    ),
    Fault(
        name="connect_silent",
        text="A connect takes a slot and is never answered, nor is the disconnect that frees it.",
        source="ble_client_base.cpp: an open call that fails at once sends nothing",
        switch=lambda stage: stage.add(_Silent(stage.count)),
        argument=ONE_DEVICE,
        exists=UNTIL_2026_7,
    ),
    Fault(
        name="connected_never",
        text="The link is up and discovered, and a connect without cache is never told so.",
        source="connected=true waits for an MTU result that got lost; bleak-esphome PR 421",
        switch=lambda stage: stage.add(Lose(RadioEvent.MTU, stage.count, None)),
        argument=ONE_DEVICE,
    ),
    Fault(
        name="late_connected",
        text="connected=true arrives only after its client may have given up.",
        source="bluetooth_connection.cpp: an attempt goes on after a disconnect request",
        switch=lambda stage: stage.add(_LateNotice(stage.number)),
        argument=Argument(Kind.SECONDS, "how late", 25.0),
    ),
    Fault(
        name="true_then_false",
        text="connected=true is followed at once by connected=false, and the slot is free again.",
        source="ble_client_base.cpp: a disconnect request pending when the link opens",
        switch=lambda stage: stage.add(_ThenFalse(stage, stage.count)),
        argument=_EVERY,
    ),
    Fault(
        name="double_false",
        text="Links drop (reason 0x13), the present ones at once, and connected=false comes twice.",
        source="bluetooth_connection.cpp since ESPHome 2025.8: at DISCONNECT_EVT and at CLOSE_EVT",
        switch=_double_false,
        argument=Argument(Kind.SECONDS, "how long new links live", 1.0),
        exists=_TOLD_TWICE,
        always=told_twice,
    ),
    Fault(
        name="early_false_slot_held",
        text="connected=false comes at once, but CLOSE_EVT and with it the free slot much later.",
        source="ESPHome PR 10303 (2025.8): the slot is freed at CLOSE_EVT, after 10 s at most",
        switch=lambda stage: stage.add(_Late(RadioEvent.CLOSE, stage.number)),
        argument=Argument(Kind.SECONDS, "how long the slot is held", 8.0),
        exists=_TOLD_TWICE,
    ),
    Fault(
        name="false_133_after_reason",
        text="Attempts fail with 0x3e, and again with 133 while the slot was held in between.",
        source="bluetooth_connection.cpp: OPEN_EVT and CLOSE_EVT of a failed open both report",
        switch=_two_notices,
        argument=Argument(Kind.SECONDS, "between the two notices", 0.5),
        exists=UNTIL_2026_7,
        always=until_2026_7,
    ),
    Fault(
        name="out_of_slots_zero",
        text="A connect is answered with connected=false, error 0 and no slot report.",
        source="bluetooth_proxy.cpp: no slot matches and none is free",
        switch=lambda stage: stage.add(_NoSlot(stage, stage.count)),
        argument=_EVERY,
        always=everywhere,
    ),
    Fault(
        name="duplicate_connect_mtu0",
        text="connected=true carries MTU 0, as if an earlier connect had opened the link.",
        source="bluetooth_proxy.cpp: a connect for a link that is up is answered with MTU 0",
        switch=lambda stage: stage.add(_Mtu(0, cached_only=False)),
        exists=UNTIL_2026_7,
        always=until_2026_7,
    ),
    Fault(
        name="stale_mtu",
        text="A connect with cache reports the MTU of whatever device had the slot before.",
        source="ble_client_base.cpp keeps the MTU of a slot",
        switch=lambda stage: stage.add(_Mtu(stage.count or 0, cached_only=True)),
        argument=Argument(Kind.NUMBER, "MTU, bytes", 517),
        exists=UNTIL_2026_7,
        always=until_2026_7,
    ),
    Fault(
        name="mtu_23",
        text="A connect with cache reports MTU 23, whatever was negotiated.",
        source="the exchange is not reported; until ESPHome 2026.7 a slot begins with 23",
        switch=lambda stage: stage.add(_Mtu(DEFAULT_MTU, cached_only=True)),
        exists=Where(lambda profile: not profile.mtu_first, "a link is told with its true MTU"),
        always=lambda profile: profile.backend,
    ),
    Fault(
        name="queued_behind",
        text="Every attempt waits while one to a device that is not there, in another slot, fails.",
        source="bluetooth_connection.cpp opens one link at a time",
        switch=lambda stage: stage.add(_Ahead(stage)),
        exists=Where(lambda profile: profile.max_slots > 1, "it has one slot"),
        argument=Argument(Kind.SECONDS, "how long the other attempt lasts", 20.0),
        always=everywhere,
    ),
    Fault(
        name="disconnect_ignored",
        text="Attempts last, then fail; before 2026.10 a disconnect meanwhile is not answered.",
        source="a disconnect is only marked; it cancels the open since ESPHome 2026.10",
        switch=lambda stage: stage.add(_Outlasting(stage.number)),
        argument=Argument(Kind.SECONDS, "how long an attempt lasts", 25.0),
        always=lambda profile: not profile.cancels_open,
    ),
)
