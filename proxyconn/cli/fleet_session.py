"""The fleet of one command: opened, waited for, and closed whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
    ScanMode,
    Subscribe,
    establish_connection,
)
from proxyconn.cli.config_file import Stamp, Table
from proxyconn.cli.output import confirm, print_retry, safe, stderr
from proxyconn.radio import Radio, Tenure

DISCOVERY_TIME = 3.0
"""Seconds mDNS is given before those that answered are taken for all there are; a responder may
wait 0.12 s by itself (RFC 6762 section 6), and Wi-Fi loses multicasts."""

KEY_HINT = "(keys come from --key, the configuration file or PROXYCONN_KEY)"

TAKE_HINT = "(--take takes it over; its other client hears nothing of those connections then)"

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
        listen: whether to take proxies that call by themselves, or the port to do so on.
        scan: how proxies scan; None as each does.
        prefer, avoid, require: device address -> names of radios.
        subscribe: whether proxies are asked for their subscription.
        asks: whether the user may be asked to take over what another client holds.
        verbose: how much to log: 0 errors, 1 what is ours, 2 what the libraries used log as well.
        serve, clients: what the configuration says about lending the fleet.
        cluster: what it says about the cluster.
        file: the configuration file, whether it is there or not.
        stamp: of that file, as it was before it was read; None if there was none.
        owner: False to go without a running owner; None to use one if there is.
        again: reads the configuration again; raises as the first time. None if nothing was read.
    """

    proxies: tuple[Proxy, ...]
    discover: bool
    noise_psk: str | Mapping[str, str] | None = field(repr=False)
    interfaces: tuple[str, ...]
    timeout: float
    adapters: bool | tuple[str, ...] = False
    listen: bool | int = False
    scan: ScanMode | None = None
    prefer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    avoid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    require: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subscribe: Subscribe = Subscribe.IF_FREE
    asks: bool = True
    verbose: int = 0
    serve: Table | None = None
    clients: tuple[Table, ...] = ()
    cluster: Table | None = None
    file: Path | None = None
    stamp: Stamp | None = None
    owner: bool | None = None
    again: Callable[[], Settings] | None = field(default=None, repr=False)


def fleet_options(settings: Settings) -> dict[str, Any]:
    """Return what a `Fleet` of these settings is made with."""
    return {
        "proxies": settings.proxies,
        "discover": settings.discover,
        "noise_psk": settings.noise_psk,
        "local_adapters": settings.adapters,
        "listen": settings.listen,
        "scan": settings.scan,
        "prefer": settings.prefer,
        "avoid": settings.avoid,
        "require": settings.require,
    }


@asynccontextmanager
async def open_fleet(
    settings: Settings, *, tenure: Tenure | None = None, cluster: object | None = None
) -> AsyncIterator[Fleet]:
    """Open the fleet; waits for no proxy.

    Args:
        settings: what it is made of.
        tenure: says which proxies are ours; None for all.
        cluster: where others share theirs; None for nowhere.
    """
    async with AsyncExitStack() as stack:
        zeroconf = None
        if settings.interfaces:
            zeroconf = AsyncZeroconf(interfaces=list(settings.interfaces))
            stack.push_async_callback(zeroconf.async_close)
        fleet = Fleet(
            zeroconf=zeroconf,
            owner=settings.owner,
            subscribe=settings.subscribe,
            take=True if settings.subscribe is Subscribe.ALWAYS else None,
            tenure=tenure,
            cluster=cluster,
            **fleet_options(settings),
        )
        yield await stack.enter_async_context(fleet)


@asynccontextmanager
async def open_ready(settings: Settings) -> AsyncIterator[tuple[Fleet, float]]:
    """Open the fleet, and wait until a radio is ready; yields when time is up as well.

    If none is because another client holds them, the user is asked whether to take them over: on a
    terminal, and the time begins anew then.

    Raises:
        RadioUnavailableError: none is ready, and none can be expected to be; says why.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        deadline = loop.time() + settings.timeout
        fleet = await stack.enter_async_context(open_fleet(settings))
        try:
            await _ready_or_why_not(fleet, settings)
        except RadioUnavailableError:
            held = [radio.name for radio in by_name(fleet) if is_held(radio)]
            if not (held and settings.asks) or not await confirm(_take_question(held)):
                raise
            await stack.aclose()
            settings = replace(settings, subscribe=Subscribe.ALWAYS)
            deadline = loop.time() + settings.timeout
            fleet = await stack.enter_async_context(open_fleet(settings))
            await _ready_or_why_not(fleet, settings)
        _tell_of_taking(fleet, settings)
        yield fleet, deadline


async def _ready_or_why_not(fleet: Fleet, settings: Settings) -> None:
    with stderr().status("Looking for proxies"):
        await any_ready(fleet, settings)


def _take_question(names: list[str]) -> str:
    whose = f"{', '.join(names)}: another client holds connections through "
    return whose + ("them. Take them over?" if names[1:] else "it. Take it over?")


def _tell_of_taking(fleet: Fleet, settings: Settings) -> None:
    """Say on a terminal what may have been taken from whom: no proxy tells beforehand."""
    taken = [
        radio.name
        for radio in by_name(fleet)
        if radio.state is RadioState.READY and _subscription(radio).get("newest_wins")
    ]
    if taken and settings.subscribe is not Subscribe.ALWAYS and stderr().is_terminal:
        coming = [one.name for one in by_name(fleet) if one.state is RadioState.CONNECTING]
        stderr().print(f"[dim]{safe(taken_text(taken, coming))}[/]")


def taken_text(taken: list[str], coming: list[str]) -> str:
    """Say from whom proxies were taken, and that those that are still to come will be as well."""
    names = ", ".join(taken) + (f", and {', '.join(coming)} if as new" if coming else "")
    them = "them" if taken[1:] or coming else "it"
    return (
        f"{names}: whoever listened through {them} (Home Assistant, say) hears nothing from now on"
    )


def _subscription(radio: Radio) -> Mapping[str, object]:
    return radio.diagnostics().get("subscription") or {}


def is_held(radio: Radio) -> bool:
    """Whether another client holds connections through a radio, and could be robbed of them."""
    return bool(_subscription(radio).get("held_by_other"))


def by_name(fleet: Fleet) -> list[Radio]:
    """Return the radios in the order of their names."""
    return sorted(fleet.radios, key=lambda radio: radio.name)


def settled(radio: Radio) -> bool:
    """Whether a radio is ready, or says why not."""
    return radio.state is RadioState.READY or radio.problem is not None


async def all_settled(fleet: Fleet, settings: Settings) -> None:
    """Wait, at most `timeout` seconds, until every radio there is has settled."""
    with stderr().status("Looking for proxies"):
        window = _window(settings)
        await asyncio.sleep(window)
        await until(fleet, lambda: _all_settled(fleet, settings), settings.timeout - window)


def _window(settings: Settings) -> float:
    """Return the seconds in which every proxy that is at hand has been found, or has called."""
    sought = settings.discover or settings.listen
    return min(DISCOVERY_TIME, settings.timeout) if sought else 0.0


def _all_settled(fleet: Fleet, settings: Settings) -> bool:
    """Whether every radio has settled; one at least, where one may still call."""
    radios = fleet.radios
    return all(map(settled, radios)) and (bool(radios) or not settings.listen)


async def any_ready(fleet: Fleet, settings: Settings) -> None:
    """Wait until a radio is ready.

    Raises:
        RadioUnavailableError: none is, and none can be expected to be; says why.
    """

    def ready() -> bool:
        return any(radio.state is RadioState.READY for radio in fleet.radios)

    def hopeless() -> bool:
        return not settings.listen and all(map(settled, fleet.radios))

    window = _window(settings)
    if not await until(fleet, ready, window):
        await until(fleet, lambda: ready() or hopeless(), settings.timeout - window)
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
    if not fleet.radios and settings.listen:
        return (
            f"no proxy has called within {settings.timeout:g} s"
            f"{', and none was found by mDNS' if settings.discover else ''}; one that could not "
            "reach us calls again after 6 minutes at the latest: wait longer with --timeout"
        )
    if not fleet.radios:
        return (
            f"no proxy was found by mDNS within {min(DISCOVERY_TIME, settings.timeout):g} s; "
            "name one with --proxy HOST, or choose the network with --interface IP"
        )
    reasons = "; ".join(grouped((radio.name, problem_of(radio)) for radio in by_name(fleet)))
    return f"no proxy can be used: {reasons}{_hints(fleet)}"


def _hints(fleet: Fleet) -> str:
    key = f" {KEY_HINT}" if any(map(lacks_key, fleet.radios)) else ""
    return key + (f" {TAKE_HINT}" if any(map(is_held, fleet.radios)) else "")


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


async def until(fleet: Fleet, met: Callable[[], bool], timeout: float) -> bool:
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
        BleakNotFoundError: no radio hears the device.
    """
    try:
        device = await fleet.find_device(target, _left(deadline))
    except BleakNotFoundError:
        states = "; ".join(grouped((radio.name, state_of(radio)) for radio in by_name(fleet)))
        raise BleakNotFoundError(
            f"{target}: no radio heard it within {settings.timeout:g} s ({states}); check that it "
            "advertises and is in range, and its name or address: `proxyconn scan` shows them"
            f"{_hints(fleet)}",
            kind=ErrorKind.DEVICE_NOT_FOUND,
        ) from None
    await until(
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
    async with open_ready(settings) as (fleet, deadline):
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
