"""The fleet of one command: opened, waited for, and closed whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bleak.backends.device import BLEDevice
from zeroconf.asyncio import AsyncZeroconf

from proxyconn import (
    BleakClientWithServiceCache,
    BleakNotFoundError,
    ErrorKind,
    Fleet,
    Proxy,
    RadioState,
    RadioUnavailableError,
    establish_connection,
)
from proxyconn.radio import Radio

from .output import print_retry, safe, stderr

DISCOVERY_TIME = 3.0
"""Seconds mDNS is given before those that answered are taken for all there are; a responder may
wait 0.12 s by itself (RFC 6762 section 6), and Wi-Fi loses multicasts."""

KEY_HINT = "(keys come from --key, the configuration file or PROXYCONN_KEY)"

PATH_SETTLE_TIME = 0.5
"""Seconds for other proxies to hear a device that one has just heard."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options, the configuration and the environment come to.

    Attributes:
        proxies: proxies that are known, with their keys.
        discover: whether to look for others by mDNS.
        noise_psk: keys of the others.
        interfaces: IP addresses of the interfaces to use mDNS on; none for all.
        timeout: seconds for everything up to a connection.
        adapters: whether to use local adapters, or the names of those to use.
        prefer, avoid, require: device address -> names of radios.
        verbose: how much to log: 0 errors, 1 what is ours, 2 what the libraries used log as well.
    """

    proxies: tuple[Proxy, ...]
    discover: bool
    noise_psk: str | Mapping[str, str] | None = field(repr=False)
    interfaces: tuple[str, ...]
    timeout: float
    adapters: bool | tuple[str, ...] = False
    prefer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    avoid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    require: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verbose: int = 0


@asynccontextmanager
async def open_fleet(settings: Settings) -> AsyncIterator[Fleet]:
    """Open the fleet; waits for no proxy."""
    async with AsyncExitStack() as stack:
        zeroconf = None
        if settings.interfaces:
            zeroconf = AsyncZeroconf(interfaces=list(settings.interfaces))
            stack.push_async_callback(zeroconf.async_close)
        fleet = Fleet(
            settings.proxies,
            discover=settings.discover,
            noise_psk=settings.noise_psk,
            zeroconf=zeroconf,
            local_adapters=settings.adapters,
            prefer=settings.prefer,
            avoid=settings.avoid,
            require=settings.require,
        )
        yield await stack.enter_async_context(fleet)


def by_name(fleet: Fleet) -> list[Radio]:
    """Return the radios in the order of their names."""
    return sorted(fleet.radios, key=lambda radio: radio.name)


def settled(radio: Radio) -> bool:
    """Whether a radio is ready, or says why not."""
    return radio.state is RadioState.READY or radio.problem is not None


async def all_settled(fleet: Fleet, settings: Settings) -> None:
    """Wait, at most `timeout` seconds, until every radio there is has settled."""
    with stderr().status("Looking for proxies"):
        window = min(DISCOVERY_TIME, settings.timeout) if settings.discover else 0.0
        await asyncio.sleep(window)
        await _until(fleet, lambda: all(map(settled, fleet.radios)), settings.timeout - window)


async def any_ready(fleet: Fleet, settings: Settings) -> None:
    """Wait until a radio is ready.

    Raises:
        RadioUnavailableError: none is, and none can be expected to be; says why.
    """

    def ready() -> bool:
        return any(radio.state is RadioState.READY for radio in fleet.radios)

    def hopeless() -> bool:
        return all(map(settled, fleet.radios))

    window = min(DISCOVERY_TIME, settings.timeout) if settings.discover else 0.0
    if not await _until(fleet, ready, window):
        await _until(fleet, lambda: ready() or hopeless(), settings.timeout - window)
    if not ready():
        raise RadioUnavailableError(_why_none(fleet, settings))


def any_slots(fleet: Fleet, settings: Settings) -> None:
    """Check that there is a radio whose slots, or lack of them, can be shown.

    Raises:
        RadioUnavailableError: none is ready, nor reports its slots; says why.
    """
    if not any(radio.state is RadioState.READY or radio.allocations() for radio in fleet.radios):
        raise RadioUnavailableError(_why_none(fleet, settings))


def _why_none(fleet: Fleet, settings: Settings) -> str:
    if not fleet.radios:
        return (
            f"no proxy was found by mDNS within {min(DISCOVERY_TIME, settings.timeout):g} s; "
            "name one with --proxy HOST, or choose the network with --interface IP"
        )
    reasons = "; ".join(grouped((radio.name, problem_of(radio)) for radio in by_name(fleet)))
    hint = f" {KEY_HINT}" if any(map(lacks_key, fleet.radios)) else ""
    return f"no proxy can be used: {reasons}{hint}"


def grouped(reasons: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return `names: reason` for each reason there is; several names may share one."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        if reason:
            names.setdefault(reason, []).append(name)
    return [f"{', '.join(sharers)}: {reason}" for reason, sharers in names.items()]


def lacks_key(radio: Radio) -> bool:
    """Whether another key, or one at all, would help."""
    return radio.state is RadioState.WRONG_KEY


def state_of(radio: Radio) -> str:
    """Return how a radio is doing just now, and why if it says so."""
    return f"{radio.state}: {radio.problem}" if radio.problem else str(radio.state)


def not_ready(fleet: Fleet) -> list[str]:
    """Return `names: state: reason` for the radios that are not ready."""
    radios = (radio for radio in by_name(fleet) if radio.state is not RadioState.READY)
    return grouped((radio.name, state_of(radio)) for radio in radios)


def problem_of(radio: Radio) -> str | None:
    """Return why a radio is not ready, in words; None if it is."""
    if radio.state is RadioState.READY:
        return None
    return radio.problem or f"it is still {radio.state}; wait longer with --timeout"


async def _until(fleet: Fleet, met: Callable[[], bool], timeout: float) -> bool:
    """Wait until `met`, looked at whenever something happens; False after `timeout` seconds."""
    happened = asyncio.Event()
    removes = (
        fleet.register_state_callback(happened.set),
        fleet.register_detection_callback(lambda device, advertisement: happened.set()),
    )
    try:
        async with asyncio.timeout(timeout):
            while not met():
                happened.clear()
                await happened.wait()
    except TimeoutError:
        return False
    finally:
        for remove in removes:
            remove()
    return True


async def find(fleet: Fleet, settings: Settings, target: str, deadline: float) -> BLEDevice:
    """Find a device by address or name before `deadline`, in the loop's time.

    Raises:
        RadioUnavailableError: no proxy is ready.
        BleakNotFoundError: none of them hears the device.
    """
    await any_ready(fleet, settings)
    try:
        device = await fleet.find_device(target, _left(deadline))
    except BleakNotFoundError:
        states = "; ".join(grouped((radio.name, state_of(radio)) for radio in by_name(fleet)))
        raise BleakNotFoundError(
            f"{target}: no radio heard it within {settings.timeout:g} s ({states}); check that it "
            "advertises and is in range, and its name or address: `proxyconn scan` shows them",
            kind=ErrorKind.DEVICE_NOT_FOUND,
        ) from None
    await _until(
        fleet, lambda: len(fleet.paths(device.address)) == len(fleet.radios), PATH_SETTLE_TIME
    )
    return device


def _left(deadline: float) -> float:
    """Return the seconds until `deadline`, as round a number as errors should tell."""
    left = deadline - asyncio.get_running_loop().time()
    return max(round(left, 1), 0.1) if left < 1 else round(left)


@asynccontextmanager
async def connected(
    settings: Settings,
    target: str,
    *,
    pair: bool,
    on_lost: Callable[[], None] = lambda: None,
) -> AsyncIterator[BleakClientWithServiceCache]:
    """Find a device and connect to it; the link is closed at the end, whatever happens.

    `on_lost` is called once, when the link goes down.

    Raises:
        BleakError: there is no proxy, no device or no link; says why.
    """
    console = stderr()
    deadline = asyncio.get_running_loop().time() + settings.timeout
    async with open_fleet(settings) as fleet:
        with console.status(f"Looking for {safe(target)}") as status:
            device = await find(fleet, settings, target, deadline)
            name = device.name or device.address
            status.update(f"Connecting to {safe(name)}")
            client = await establish_connection(
                BleakClientWithServiceCache,
                device,
                name,
                disconnected_callback=lambda client: on_lost(),
                pair=pair,
                deadline=_left(deadline),
                on_retry=lambda retry: print_retry(console, name, retry),
            )
        try:
            yield client
        finally:
            await client.disconnect()
