"""Faults of the network, of the session and of who is subscribed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from proxyconn_native_api.noise import PSK_SIZE
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.events import ClientConnected, ProxyEvent, Subscribed
from proxyconn_virtual.faults import Drop, Injector, Passed
from proxyconn_virtual.firmware.subscription import Ghost
from proxyconn_virtual.named_faults.connections import is_connect
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

_AGAIN: Final = 5.0
"""Seconds after which a rival takes the subscription again."""

_OPERATIONS: Final = (
    pb.BluetoothGATTGetServicesRequest,
    pb.BluetoothGATTReadRequest,
    pb.BluetoothGATTWriteRequest,
    pb.BluetoothGATTNotifyRequest,
)


class _Timers:
    """Things to do later, until they are not wanted any more."""

    def __init__(self) -> None:
        self._timers: set[asyncio.TimerHandle] = set()

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Do something after some seconds."""

        def fire() -> None:
            self._timers.discard(timer)
            then()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)

    def cancel(self) -> None:
        """Do nothing of it."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _stale_subscriber(stage: Stage) -> Undo:
    proxy, timers = stage.proxy, _Timers()
    subscription, ghost = proxy.subscription, Ghost("a client that is gone")
    subscription.take(ghost)
    proxy.server.reset()

    def leave() -> None:
        subscription.leave(ghost)

    timers.later(stage.number, leave)
    return together(timers.cancel, leave)


def _soon(stage: Stage, do: Callable[[], None]) -> Undo:
    """Do something once there is a subscriber: now, or _AGAIN seconds after it has come."""
    timers = _Timers()
    waiting = stage.proxy.subscription.holder is None

    def subscribed(event: ProxyEvent) -> None:
        nonlocal waiting
        if waiting and isinstance(event, Subscribed):
            waiting = False
            timers.later(_AGAIN, do)

    if not waiting:
        do()
    return together(stage.proxy.add_observer(subscribed), timers.cancel)


def _subscriber_stolen(stage: Stage) -> Undo:
    proxy, timers = stage.proxy, _Timers()
    rival = Ghost("another client")
    left = stage.count or 1

    def steal() -> None:
        nonlocal left
        left -= 1
        proxy.subscription.take(rival)

    def subscribed(event: ProxyEvent) -> None:
        if left and isinstance(event, Subscribed) and event.client_info != rival.client_info:
            timers.later(_AGAIN, steal)

    if proxy.subscription.holder is not None:
        steal()
    remove = proxy.add_observer(subscribed)
    return together(remove, timers.cancel, lambda: proxy.subscription.leave(rival))


def _unsubscribe(stage: Stage) -> Undo:
    proxy = stage.proxy
    return _soon(stage, lambda: proxy.subscription.leave(proxy.subscription.holder))


def _half_open(stage: Stage) -> Undo:
    thaws: list[Undo] = []
    undo = _soon(stage, lambda: thaws.append(stage.proxy.server.freeze()))

    def thaw() -> None:
        for one in thaws:
            one()

    return together(undo, thaw)


@dataclass
class _Reboot(Injector):
    """Reboots the proxy at the next operation, before it is answered."""

    stage: Stage
    done: bool = False

    def incoming(self, message: Message) -> Passed:
        if self.done or not (isinstance(message, _OPERATIONS) or is_connect(message)):
            return (message,)
        self.done = True
        self.stage.proxy.reboot(self.stage.number, farewell=self.stage.rng.random() < 0.5)
        return ()


def _flapping(stage: Stage) -> Undo:
    proxy, timers = stage.proxy, _Timers()

    def greeted(event: ProxyEvent) -> None:
        if isinstance(event, ClientConnected):
            timers.later(stage.number, proxy.server.reset)

    proxy.server.reset()
    return together(proxy.add_observer(greeted), timers.cancel)


class _Full(Injector):
    """Serves no new connection."""

    def accepts(self) -> bool:
        return False


@dataclass
class _Key(Injector):
    """Has another key, or none."""

    other: bytes | None

    def key(self, key: bytes | None) -> bytes | None:
        return self.other


def _other_key(stage: Stage, other: bytes | None) -> Undo:
    """Change the key as firmware does, which says goodbye to every client."""
    remove = stage.add(_Key(other))
    stage.proxy.server.dismiss()
    return together(remove, stage.proxy.server.dismiss)


def _wrong_key(stage: Stage) -> Undo:
    return _other_key(stage, stage.rng.randbytes(PSK_SIZE))


def _wrong_mode(stage: Stage) -> Undo:
    plaintext = stage.proxy.noise_psk is None
    return _other_key(stage, stage.rng.randbytes(PSK_SIZE) if plaintext else None)


FAULTS: Final = (
    Fault(
        name="stale_subscriber",
        text="The connections break, but the proxy holds on to its subscriber and ignores others.",
        source="bluetooth_proxy.cpp: the first subscriber wins, and is dropped after 150 s",
        switch=_stale_subscriber,
        argument=Argument(Kind.SECONDS, "until it lets go", 150.0),
        exists=Where(
            lambda profile: not profile.newest_subscriber_wins, "the newest subscriber wins"
        ),
        of_scanners=True,
    ),
    Fault(
        name="subscriber_stolen",
        text="Another client takes the subscription over; advertisements and answers just stop.",
        source="ESPHome PR 17423 (2026.7.0): the newest subscriber wins",
        switch=_subscriber_stolen,
        argument=Argument(
            Kind.COUNT, f"how often it takes it, each {_AGAIN:g} s after it was taken back", 1
        ),
        exists=Where(lambda profile: profile.newest_subscriber_wins, "the first subscriber stays"),
        of_scanners=True,
    ),
    Fault(
        name="unsubscribe_kills_links",
        text="The subscription ends once, as by a request, and every link dies silently.",
        source="bluetooth_proxy.cpp loop(): links are closed without a subscriber",
        switch=_unsubscribe,
        always=everywhere,
        of_scanners=True,
    ),
    Fault(
        name="silent_scanner",
        text="The API is healthy and the scanner RUNNING, and no advertisement comes.",
        source="ESPHome issue 12185",
        switch=lambda stage: stage.add(Drop(pb.BluetoothLERawAdvertisementsResponse)),
        of_scanners=True,
    ),
    Fault(
        name="reboot_mid_op",
        text="The proxy reboots at the next connect or GATT request, with a goodbye or a reset.",
        source="ESPHome: OTA, reboot_timeout, crash",
        switch=lambda stage: stage.add(_Reboot(stage)),
        argument=Argument(Kind.SECONDS, "off the air", 20.0),
    ),
    Fault(
        name="half_open_tcp",
        text="Nothing passes on the present connections, not even their end.",
        source="api_connection.cpp drops a silent client after 150 s",
        switch=_half_open,
        of_scanners=True,
    ),
    Fault(
        name="flapping",
        text="Every connection is reset soon after Hello, the present ones at once.",
        source="a weak Wi-Fi link, or a power supply that is too weak",
        switch=_flapping,
        argument=Argument(Kind.SECONDS, "from Hello to the reset", 0.5),
        of_scanners=True,
    ),
    Fault(
        name="slot_limit_tcp",
        text="New connections are accepted and closed at once without a byte.",
        source="api_server.cpp: more clients than max_connections",
        switch=lambda stage: stage.add(_Full()),
        of_scanners=True,
    ),
    Fault(
        name="wrong_key",
        text="The proxy has another key: clients are told to leave, and refused when they return.",
        source="api_frame_helper_noise.cpp: Handshake MAC failure",
        switch=_wrong_key,
        needs_key=True,
        of_scanners=True,
    ),
    Fault(
        name="wrong_mode",
        text="The proxy does not encrypt although it did, or does although it did not.",
        source="api_frame_helper_noise.cpp, api_frame_helper_plaintext.cpp: Bad indicator byte",
        switch=_wrong_mode,
        of_scanners=True,
    ),
)
