"""Faults of the slots and of what is reported of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.events import Connected, ProxyEvent
from proxyconn_virtual.faults import Injector, Passed
from proxyconn_virtual.firmware.link import REASON_NO_ANSWER
from proxyconn_virtual.named_faults.connections import ONE_DEVICE
from proxyconn_virtual.named_faults.model import (
    FOREIGN,
    UNTIL_2026_7,
    Argument,
    Fault,
    Kind,
    Stage,
    Undo,
    together,
)
from proxyconn_virtual.peripheral import Outcome

_Report = pb.BluetoothConnectionsFreeResponse


def _duplicate_slot(stage: Stage) -> Undo:
    proxy = stage.proxy
    doubled: set[int] = set()

    def double(event: ProxyEvent) -> None:
        if isinstance(event, Connected):
            address = int(event.address.replace(":", ""), 16)
            doubled.add(address)
            proxy.bluetooth.occupy(address)

    def single() -> None:
        for address in doubled:
            proxy.bluetooth.vacate(address)

    return together(proxy.add_observer(double), single)


@dataclass
class _Mismatch(Injector):
    """Sends slot reports whose list does not go with their numbers."""

    how: str

    def outgoing(self, message: Message) -> Passed:
        if not isinstance(message, _Report):
            return (message,)
        listed = list(message.allocated)
        if self.how == "zeros":
            listed += [0] * (message.limit - len(listed))
        else:
            listed = [] if self.how == "absent" else listed[:-1]
        return (_Report(free=message.free, limit=message.limit, allocated=listed),)


@dataclass
class _Endless(Injector):
    """Lets an attempt go on for ever."""

    only: int | None

    def outcome(self, address: int) -> Outcome | None:
        endless = Outcome(REASON_NO_ANSWER, math.inf)
        return endless if self.only in (None, address) else None


def _slot_leak(stage: Stage) -> Undo:
    bluetooth = stage.proxy.bluetooth
    leaked = [FOREIGN + 1 + number for number in range(stage.count or 1)]
    for address in leaked:
        bluetooth.occupy(address)

    def free() -> None:
        for address in leaked:
            bluetooth.vacate(address)

    return free


FAULTS: Final = (
    Fault(
        name="duplicate_slot",
        text="A device that connects gets a second slot as well, which only a disconnect frees.",
        source="bluetooth_proxy.cpp takes the first slot that matches or is free",
        switch=_duplicate_slot,
        exists=UNTIL_2026_7,
    ),
    Fault(
        name="slot_mismatch",
        text="The addresses in a slot report are not as many as the slots it counts as held.",
        source="bluetooth_proxy.cpp pads the list with zeros; absent before ESPHome 2025.5",
        switch=lambda stage: stage.add(_Mismatch(str(stage.value))),
        argument=Argument(
            Kind.CHOICE,
            "short (one is missing), absent or zeros",
            "short",
            ("short", "absent", "zeros"),
        ),
        always=lambda profile: not profile.allocated,
    ),
    Fault(
        name="slot_leak",
        text="Slots are held for addresses that nobody uses, until somebody disconnects those.",
        source="a failed open call (until ESPHome 2026.7); a connect without address type",
        switch=_slot_leak,
        argument=Argument(Kind.COUNT, "how many slots", 1),
    ),
    Fault(
        name="wedged_connecting",
        text="An attempt never ends by itself and blocks every later one, and scanning.",
        source="no timer for a lost OPEN_EVT; since ESPHome 2026.8 a disconnect ends it",
        switch=lambda stage: stage.add(_Endless(stage.count)),
        argument=ONE_DEVICE,
        lasting=True,
    ),
)
