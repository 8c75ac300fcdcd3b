"""Faults of the radio: attempts that fail, and links that drop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from proxyconn_virtual.events import Disconnected, ProxyEvent
from proxyconn_virtual.faults import Injector, Loss, RadioEvent
from proxyconn_virtual.firmware.link import REASON_NO_ANSWER
from proxyconn_virtual.named_faults.connections import ONE_DEVICE, Drops
from proxyconn_virtual.named_faults.model import (
    Argument,
    Fault,
    Kind,
    Stage,
    Undo,
    Where,
    together,
)
from proxyconn_virtual.peripheral import Outcome

_SUPERVISION: Final = 0x08
_LIMITED_RESOURCES: Final = 0x0D
_PEER_USER: Final = 0x13
_FAILED_TO_ESTABLISH: Final = 0x3E

_SOON: Final = 0.2
"""Seconds in which an attempt fails that nothing but a refusal ends."""


@dataclass
class _Fails(Injector):
    """Makes attempts fail."""

    outcome_: Outcome
    left: int | None = None
    only: int | None = None

    def outcome(self, address: int) -> Outcome | None:
        if self.left == 0 or self.only not in (None, address):
            return None
        self.left = None if self.left is None else self.left - 1
        return self.outcome_


def _no_answer(stage: Stage) -> Undo:
    outcome = Outcome(REASON_NO_ANSWER, stage.proxy.spec.establish_limit)
    return stage.add(_Fails(outcome, only=stage.count))


@dataclass
class _LateDisconnect(Injector):
    """Lets DISCONNECT_EVT of a link that the proxy closed come after CLOSE_EVT."""

    seconds: float

    def late(self, event: RadioEvent, address: int) -> float:
        return self.seconds if event is RadioEvent.DISCONNECT else 0.0


@dataclass
class _Cooling(Injector):
    """Refuses devices whose link has only just ended."""

    seconds: float
    ended: dict[int, float]

    def outcome(self, address: int) -> Outcome | None:
        now = asyncio.get_running_loop().time()
        ended = self.ended.get(address)
        fresh = ended is not None and now - ended < self.seconds
        return Outcome(_LIMITED_RESOURCES, 0.0) if fresh else None


def _instant_reconnect(stage: Stage) -> Undo:
    cooling = _Cooling(stage.number, {})

    def ended(event: ProxyEvent) -> None:
        if isinstance(event, Disconnected):
            address = int(event.address.replace(":", ""), 16)
            cooling.ended[address] = asyncio.get_running_loop().time()

    return together(stage.add(cooling), stage.proxy.add_observer(ended))


FAULTS: Final = (
    Fault(
        name="radio_62_burst",
        text="Attempts fail with 0x3e, failed to be established.",
        source="Core Specification vol 1 F 2.59; seen when a peripheral stops advertising",
        switch=lambda stage: stage.add(_Fails(Outcome(_FAILED_TO_ESTABLISH, _SOON), stage.count)),
        argument=Argument(Kind.COUNT, "how many attempts", 3),
    ),
    Fault(
        name="radio_256_late",
        text="The device does not answer, and the proxy gives up at its limit with 256.",
        source="ESP-IDF: the stack cancels the attempt (ESP_GATT_CONN_CONN_CANCEL)",
        switch=_no_answer,
        argument=ONE_DEVICE,
    ),
    Fault(
        name="radio_256_at_once",
        text="The controller refuses attempts within a moment, with 256.",
        source="ESP-IDF: the radio link of an earlier connection is still closing",
        switch=lambda stage: stage.add(_Fails(Outcome(REASON_NO_ANSWER, _SOON), stage.count)),
        argument=Argument(Kind.COUNT, "how many attempts; without it, every one"),
    ),
    Fault(
        name="radio_19_discovery",
        text="The peripheral ends the link, 0x13, while its services are being discovered.",
        source="Core Specification vol 1 F 2.19",
        switch=lambda stage: stage.add(
            Drops(Loss(0.0, _PEER_USER), discovering=True, left=stage.count)
        ),
        argument=Argument(Kind.COUNT, "how many links; without it, every one"),
    ),
    Fault(
        name="radio_8_live",
        text="New links are lost, 0x08, some time after they were established.",
        source="Core Specification vol 1 F 2.8",
        switch=lambda stage: stage.add(Drops(Loss(stage.number, _SUPERVISION), discovering=False)),
        argument=Argument(Kind.SECONDS, "how long they live", 5.0),
    ),
    Fault(
        name="late_disconnect_event",
        text="DISCONNECT_EVT comes after CLOSE_EVT and ends what the same slot has begun since, if "
        "it is to the same device.",
        source="ble_client_base.cpp matches the event by address only",
        switch=lambda stage: stage.add(_LateDisconnect(stage.number)),
        argument=Argument(Kind.SECONDS, "how late", 0.5),
    ),
    Fault(
        name="instant_reconnect_refused",
        text="An attempt to a device whose link has only just ended fails at once with 0x0d.",
        source="ESPHome PR 10303 (2025.8): until then the slot was free before the link was",
        switch=_instant_reconnect,
        argument=Argument(Kind.SECONDS, "how long after the end of a link", 0.5),
        exists=Where(
            lambda profile: profile.freed_at_disconnect, "a slot is held until its link is closed"
        ),
    ),
)
