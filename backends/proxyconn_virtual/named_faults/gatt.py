"""Faults of GATT requests, their answers, and the services."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message

from proxyconn_native_api.owed_replies import is_owed
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delay, Drop, Injector, Passed, Replace
from proxyconn_virtual.firmware.gatt_requests import ESP_FAIL
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.named_faults.connections import CACHED, is_connect
from proxyconn_virtual.named_faults.model import (
    Argument,
    Fault,
    Kind,
    Stage,
    Undo,
    Where,
    everywhere,
    together,
)

_Services = pb.BluetoothGATTGetServicesResponse
_Done = pb.BluetoothGATTGetServicesDoneResponse

LOSSY: Final = (
    _Services,
    pb.BluetoothGATTReadResponse,
    pb.BluetoothGATTNotifyDataResponse,
    pb.BluetoothGATTWriteResponse,
    pb.BluetoothGATTNotifyResponse,
    pb.BluetoothDevicePairingResponse,
    pb.BluetoothLERawAdvertisementsResponse,
)
"""Messages that a full socket costs, unless the firmware sends them again."""

_ON_HANDLE: Final = (
    pb.BluetoothGATTReadRequest,
    pb.BluetoothGATTReadDescriptorRequest,
    pb.BluetoothGATTWriteRequest,
    pb.BluetoothGATTWriteDescriptorRequest,
    pb.BluetoothGATTNotifyRequest,
)


@dataclass
class _FrameLoss(Injector):
    share: float
    rng: random.Random
    profile: FirmwareProfile

    def outgoing(self, message: Message) -> Passed:
        if not isinstance(message, LOSSY):
            return (message,)
        if self.profile.backend and is_owed(message):
            return (message,)
        return () if self.rng.random() < self.share else (message,)


def _shorter(message: Message) -> Passed:
    """Return a services message without its last service, or nothing if that is the only one."""
    if not isinstance(message, _Services) or len(message.services) < 2:
        return ()
    return (_Services(address=message.address, services=message.services[:-1]),)


@dataclass
class _Refused(Injector):
    """Answers requests about handles with an error."""

    stage: Stage
    error: int
    left: int | None = None

    def refuses(self, message: Message) -> bool:
        """Whether a request is refused."""
        return self.left != 0

    def incoming(self, message: Message) -> Passed:
        if not isinstance(message, _ON_HANDLE) or not self.refuses(message):
            return (message,)
        address, handle = message.address, message.handle
        if self.stage.proxy.bluetooth.established(address) is None:
            return (message,)
        self.left = None if self.left is None else self.left - 1
        error = pb.BluetoothGATTErrorResponse(address=address, handle=handle, error=self.error)
        self.stage.proxy.send_subscriber(error)
        return ()


@dataclass
class _Stale(_Refused):
    """Refuses every handle of a device until its cache was cleared and it connected anew."""

    cleared: set[int] = field(default_factory=set)
    fresh: set[int] = field(default_factory=set)

    def refuses(self, message: Message) -> bool:
        return isinstance(message, _ON_HANDLE) and message.address not in self.fresh

    def incoming(self, message: Message) -> Passed:
        if isinstance(message, pb.BluetoothDeviceRequest):
            clear = pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE
            if message.request_type == clear:
                self.cleared.add(message.address)
            elif is_connect(message) and message.request_type != CACHED:
                self.fresh |= self.cleared & {message.address}
        return super().incoming(message)


@dataclass
class _Stray(Injector):
    """Answers writes that want no response, once more than the firmware does."""

    stage: Stage

    def incoming(self, message: Message) -> Passed:
        if isinstance(message, pb.BluetoothGATTWriteRequest) and not message.response:
            self.stage.proxy.send_subscriber(
                pb.BluetoothGATTWriteResponse(address=message.address, handle=message.handle)
            )
        return (message,)


def _reply_reorder(stage: Stage) -> Undo:
    late = (
        pb.BluetoothGATTReadResponse,
        pb.BluetoothGATTWriteResponse,
        pb.BluetoothGATTNotifyResponse,
    )
    delays = [stage.add(Delay(reply, seconds=stage.number)) for reply in late]
    return together(*delays, stage.add(_Stray(stage)))


_EVERY: Final = Argument(Kind.COUNT, "how many requests; without it, every one")

FAULTS: Final = (
    Fault(
        name="frame_loss",
        text="Answers to reads, writes, notify and pair requests, services, notifications and "
        "advertisements get lost, each by chance.",
        source="fire-and-forget sends; ESPHome 2026.8 sends acknowledgements again (PR 18225)",
        switch=lambda stage: stage.add(_FrameLoss(stage.number, stage.rng, stage.proxy.profile)),
        argument=Argument(Kind.SHARE, "share of them that gets lost", 0.05),
        of_scanners=True,
    ),
    Fault(
        name="services_short",
        text="The last of the services is missing, and the end of the list is sent all the same.",
        source="bluetooth_connection.cpp does not send a services message again",
        switch=lambda stage: stage.add(Replace(_Services, by=_shorter)),
    ),
    Fault(
        name="no_done",
        text="The end of the list of services is never sent.",
        source="bluetooth_connection.cpp: an interruption or an error ends the walk silently",
        switch=lambda stage: stage.add(Drop(_Done)),
    ),
    Fault(
        name="services_empty",
        text="The list of services ends before it has begun.",
        source="ble_client_base.cpp does not look at the status of a discovery",
        switch=lambda stage: stage.add(Drop(_Services)),
    ),
    Fault(
        name="second_get_services",
        text="A request for the services is met with silence, as the second one of a link is.",
        source="bluetooth_connection.cpp tells the services once per connection",
        switch=lambda stage: stage.add(Drop(pb.BluetoothGATTGetServicesRequest)),
        always=everywhere,
    ),
    Fault(
        name="reply_reorder",
        text="Answers come late, behind notifications, and a write without response gets one too.",
        source="aioesphomeapi PR 326; ESP-IDF raises the write event for both kinds of write",
        switch=_reply_reorder,
        argument=Argument(Kind.SECONDS, "how late answers are; beyond 30, after any timeout", 0.1),
    ),
    Fault(
        name="error_minus_1_on_live_link",
        text="Requests on a live link are answered with -1, as congestion makes the stack do.",
        source="ESP-IDF: ESP_FAIL is both `not connected` and `channel congested`",
        switch=lambda stage: stage.add(_Refused(stage, ESP_FAIL, stage.count)),
        argument=_EVERY,
    ),
    Fault(
        name="stale_gatt_cache",
        text="Known handles are refused until the proxy's cache is cleared and the device has "
        "connected without cache.",
        source="ESP-IDF keeps discovered services in flash (`cache_services`)",
        switch=lambda stage: stage.add(_Stale(stage, stage.count or 0)),
        argument=Argument(Kind.NUMBER, "the error: ATT 1, 3 or 10", 1),
        exists=Where(lambda profile: profile.cache_clearing, "it has no cache that can be cleared"),
    ),
    Fault(
        name="unpair_85",
        text="An unpair request is answered with a pairing response; switching it on adds nothing.",
        source="bluetooth_proxy.cpp up to ESPHome 2026.7; answered with message 86 since 2026.8",
        switch=lambda stage: together(),
        exists=Where(lambda profile: not profile.unpair_response, "it answers UNPAIR with 86"),
        always=lambda profile: not profile.unpair_response,
    ),
)
