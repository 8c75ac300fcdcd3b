"""Waiting for what a fleet hears or finds, and reading it, until the fleet is closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from functools import partial

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from proxyconn.device import is_address
from proxyconn.errors import BleakNotFoundError, ErrorKind, RadioUnavailableError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.models import RadioState
from proxyconn.radio import Radio
from proxyconn.routing.pins import NO_PINS, Pins

ADVERTISEMENTS_KEPT = 1000
"""Advertisements an iterator holds for a slow reader before it drops the oldest."""

SETTLE_TIME = 0.3
"""Seconds for other radios to hear a device that one has just heard: a proxy tells what it hears
every 0.1 s (ESPHome bluetooth_proxy.cpp), and the nearest one need not be the first."""

OTHER_LOOP = (
    "the fleet runs in another event loop; call this there (asyncio.run_coroutine_threadsafe), or "
    "use bleak's own classes here after proxyconn.install(fleet)"
)

LostCallback = Callable[[BLEDevice], object]


def nothing() -> None:
    """Do nothing."""


def check_open(hub: Hub) -> None:
    """Raise unless the fleet can be waited for here.

    Raises:
        RadioUnavailableError: it is closed.
        BleakError: it runs in another event loop.
    """
    if hub.closed:
        raise hub.closed_error()
    if asyncio.get_running_loop() is not hub.loop:
        raise BleakError(OTHER_LOOP)


async def until(
    hub: Hub,
    register: Callable[[Callable[..., object]], Callable[[], None]],
    met: Callable[..., bool],
) -> None:
    """Wait until a callback is called with something that `met` accepts.

    Args:
        hub: the fleet's.
        register: registers the callback; returns what takes it out again.
        met: called with what the callback is called with.

    Raises:
        RadioUnavailableError: the fleet is closed, or was meanwhile.
    """
    check_open(hub)
    future: asyncio.Future[None] = hub.loop.create_future()

    def check(*args: object) -> None:
        if not future.done() and met(*args):
            future.set_result(None)

    def end() -> None:
        if not future.done():
            future.set_exception(hub.closed_error())

    with ExitStack() as stack:
        stack.callback(register(check))
        stack.callback(hub.end_callbacks.register(end))
        await future


async def settle(hub: Hub, device: BLEDevice) -> None:
    """Give other radios the time to hear a device that has only just been heard by one."""

    def all_hear(*_: object) -> bool:
        sighting = hub.sightings.get(device.address)
        if sighting is None or sighting.device is not device:
            # It was found by a link from before, or has been forgotten.
            return True
        usable = [radio for radio in hub.radios if radio.state.is_usable]
        return all(radio in sighting.heard for radio in usable)

    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_TIME):
            if not all_hear():
                await until(hub, hub.sightings.callbacks.register, all_hear)


async def ready(hub: Hub, count: int, timeout: float) -> list[Radio]:
    """Wait until `count` radios are ready; return those that are. As `Fleet.ready`."""
    check_open(hub)

    def those() -> list[Radio]:
        return [radio for radio in hub.radios if radio.state is RadioState.READY]

    try:
        async with asyncio.timeout(timeout):
            while len(those()) < count:
                await until(hub, hub.state_callbacks.register, lambda: len(those()) >= count)
            return those()
    except TimeoutError:
        raise RadioUnavailableError(
            f"{len(those())} of {count} radios ready after {timeout:g} s: {hub.describe_radios()}"
        ) from None


async def find_device(hub: Hub, address_or_name: str, timeout: float, pins: Pins) -> BLEDevice:
    """Return the device with this address or name, waiting for it. As `Fleet.find_device`.

    Args:
        hub: the fleet's.
        address_or_name: the device's address, or a name that it advertises.
        timeout: seconds to wait for it.
        pins: what is said about radios for it from now on; NO_PINS leaves that as it is.
    """
    check_open(hub)
    hub.require_listening()

    def found() -> BLEDevice | None:
        device = hub.find(address_or_name)
        if device and pins != NO_PINS:
            hub.routing.pins[device.address] = pins
            device = hub.find(device.address)
        return device

    if device := found():
        return device
    await hub.neighbours.look_for(address_or_name)
    if device := found():
        return device

    def is_there(heard: BLEDevice | None) -> bool:
        if heard is None:
            return hub.inherited(address_or_name) is not None
        return hub.is_called(heard, address_or_name) and found() is not None

    end_wait = nothing if is_address(address_or_name) else hub.scan.await_name()
    try:
        async with asyncio.timeout(timeout):
            # What was there when the wait ended need not be there when this goes on.
            while (device := found()) is None:
                await until(hub, partial(_register_signs, hub), is_there)
    except TimeoutError:
        raise BleakNotFoundError(
            f"{address_or_name}: {hub.why_not_found(address_or_name, timeout)}",
            kind=ErrorKind.DEVICE_NOT_FOUND,
        ) from None
    finally:
        end_wait()
    await settle(hub, device)
    return device


def _register_signs(hub: Hub, callback: Callable[[BLEDevice | None], object]) -> Callable[[], None]:
    """Call `callback` with each device that is heard, and with None when a radio may have a link.

    Returns the unsubscribe.
    """
    with ExitStack() as stack:
        stack.callback(hub.sightings.callbacks.register(lambda heard, _: callback(heard)))
        stack.callback(hub.slots_callbacks.register(lambda: callback(None)))
        return stack.pop_all().close


class _Unread:
    """What a reader has not read yet; devices that were lost are the last to be dropped."""

    def __init__(self) -> None:
        self._items: deque[tuple[BLEDevice, AdvertisementData | None]] = deque()
        self._owed: deque[BLEDevice] = deque(maxlen=ADVERTISEMENTS_KEPT)
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, device: BLEDevice, advertisement: AdvertisementData | None = None) -> None:
        """Add an advertisement; without one, the device is lost."""
        if len(self._items) >= ADVERTISEMENTS_KEPT:
            oldest, said = self._items.popleft()
            if said is None:
                self._owed.append(oldest)
        self._items.append((device, advertisement))
        self._changed.set()

    def end(self) -> None:
        """Add nothing more."""
        self._ended = True
        self._changed.set()

    async def read(self) -> tuple[BLEDevice, AdvertisementData | None] | None:
        """Return the oldest, waiting for it; None once there will be nothing more."""
        while not (self._owed or self._items):
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return (self._owed.popleft(), None) if self._owed else self._items.popleft()


async def advertisements(
    hub: Hub, on_lost: LostCallback | None
) -> AsyncIterator[tuple[BLEDevice, AdvertisementData]]:
    """Yield every advertisement from now on. As `Fleet.advertisements`."""
    if hub.closed:
        return
    check_open(hub)
    unread = _Unread()
    with ExitStack() as stack:
        stack.callback(hub.sightings.callbacks.register(unread.put))
        stack.callback(hub.end_callbacks.register(unread.end))
        if on_lost:
            stack.callback(hub.register_lost_callback(unread.put))
        while (item := await unread.read()) is not None:
            device, advertisement = item
            if advertisement is not None:
                yield device, advertisement
            elif on_lost:
                on_lost(device)
