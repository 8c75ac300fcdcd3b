"""What has passed on the wire of one proxy, after every fault has had its say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Injector, Injectors, Passed
from proxyconn_virtual.firmware.addresses import address_text
from proxyconn_virtual.proxy import VirtualProxy

IN_FLIGHT: Final = 0.05
"""Seconds after which a message has certainly arrived, and the answer to it."""

AHEAD: Final = 12
"""Messages that a slow proxy may have to take before one that was sent in time: as many writes
without response as are let through, pings between them, and what is asked beside a flood."""

CONNECTS: Final = frozenset(
    {
        pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE,
        pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE,
    }
)


class _Last(Injectors):
    """Injectors that keep one of them at the end, where it sees what the others let through."""

    def __init__(self, last: Injector) -> None:
        super().__init__((last,))

    def append(self, injector: Injector) -> None:
        """Put an injector before the last one."""
        self.insert(len(self) - 1, injector)


class Audit(Injector):
    """Remembers what a proxy has said of its slots, and who asks for one all the same.

    Args:
        proxy: the proxy.
        on_breach: called with what was wrong.
    """

    def __init__(self, proxy: VirtualProxy, on_breach: Callable[[str], None]) -> None:
        self._proxy = proxy
        self._on_breach = on_breach
        self._said: pb.BluetoothConnectionsFreeResponse | None = None
        self._full_since = 0.0
        intake = proxy.spec.intake
        self._in_flight = IN_FLIGHT + (AHEAD / intake.rate if intake else 0.0)
        self._loop = asyncio.get_running_loop()
        proxy.injectors = _Last(self)

    def outgoing(self, message: Message) -> Passed:
        """Remember a slot report."""
        if isinstance(message, pb.BluetoothConnectionsFreeResponse):
            if self._said is None or self._said.free:
                self._full_since = self._loop.time()
            self._said = message
        return (message,)

    def incoming(self, message: Message) -> Passed:
        """Look at a connect request."""
        if isinstance(message, pb.BluetoothDeviceRequest) and message.request_type in CONNECTS:
            self._mind(message.address)
        return (message,)

    def _mind(self, address: int) -> None:
        said = self._said
        if said is None or said.free or address in said.allocated:
            return
        seconds = self._loop.time() - self._full_since
        if seconds >= self._in_flight:
            self._on_breach(
                f"{self._proxy.place}: {address_text(address)} was asked for {seconds:.2f} s after "
                "it had said that it is full"
            )
