"""Opens a fleet that only looks, asks every backend about it, and puts the answers in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import entry_points

from zeroconf.asyncio import AsyncZeroconf

from proxyconn import Fleet, RadioState, RadioUnavailableError, Subscribe
from proxyconn.cli.examination.agreement import of_agreement
from proxyconn.cli.examination.machine import of_installation, of_machine
from proxyconn.cli.fleet_session import (
    Settings,
    all_settled,
    by_name,
    fleet_options,
    state_of,
    until,
)
from proxyconn.errors import UnsupportedError
from proxyconn.fleet.owner_socket import find_owner
from proxyconn.models import Finding, Level
from proxyconn.ports import listen_port
from proxyconn.radio import Checks, FleetOptions, Radio

CHECKS_GROUP = "proxyconn.checks"
"""Entry point group of what backends find out about radios of their sort."""

LISTEN_TIME = 10.0
"""Seconds to listen, where that is wanted: a scan that works hears its surroundings in a few."""

ORDER = (
    "installation",
    "clock",
    "state",
    "configuration",
    "owner",
    "cluster",
    "cluster-permissions",
    "cluster-store",
    "cluster-owners",
    "cluster-clocks",
    "multicast",
    "discovery",
    "local-bluetooth",
    "parameters",
    "call",
    "host-name",
    "port",
    "session",
    "name",
    "encryption",
    "key",
    "password",
    "bluetooth-proxy",
    "firmware",
    "active",
    "wifi",
    "subscription",
    "slots",
    "scanner",
    "keys",
    "pins",
)
"""What must work before what: each is of use only if those before it are in order."""

Place = tuple[object, object]
"""Host and port of a proxy."""


async def examine(settings: Settings) -> tuple[list[Finding], dict[str, object]]:
    """Return what is found, in order, and the diagnostics of the fleet that has looked.

    No other program is disturbed, unless `settings.subscribe` is Subscribe.ALWAYS: then each proxy
    is taken over and listened to.
    """
    take = settings.subscribe is Subscribe.ALWAYS
    subscribe = Subscribe.ALWAYS if take else Subscribe.NEVER
    found = await asyncio.to_thread(of_machine, settings.file)
    async with AsyncExitStack() as stack:
        zeroconf = await _open_zeroconf(stack, settings)
        owned, of_owner = await _owned(settings)
        options = FleetOptions(
            proxies=settings.proxies,
            discover=settings.discover,
            noise_psk=settings.noise_psk,
            local_adapters=settings.adapters,
            zeroconf=zeroconf,
            listen=listen_port(settings.listen),
            subscribe=subscribe,
            cluster=settings.cluster,
        )
        settings = replace(
            settings,
            subscribe=subscribe,
            discover=settings.discover and zeroconf is not None,
            # An owner answers for its proxies; whether they work is to be seen at themselves.
            owner=False if of_owner else settings.owner,
        )
        fleet = await _open(stack, settings, zeroconf)
        await all_settled(fleet, settings)
        if take:
            await _listen(fleet)
        radios = by_name(fleet)
        installed = await asyncio.to_thread(_load)
        found += of_installation(installed)
        for checks in installed:
            found += await checks(options, radios)
        found += of_owner
        found += of_agreement(settings, radios)
        found = [*_without_owned(found, radios, owned), *_unnamed(found, radios)]
        return in_order(found), fleet.diagnostics()


def _load() -> list[Checks]:
    return [point.load() for point in entry_points(group=CHECKS_GROUP)]


async def _open_zeroconf(stack: AsyncExitStack, settings: Settings) -> AsyncZeroconf | None:
    """Open what speaks mDNS; None if that is not wanted or cannot be."""
    if not settings.discover:
        return None
    try:
        zeroconf = (
            AsyncZeroconf(interfaces=list(settings.interfaces))
            if settings.interfaces
            else AsyncZeroconf()
        )
    except (OSError, RuntimeError):
        return None
    stack.push_async_callback(zeroconf.async_close)
    return zeroconf


async def _open(stack: AsyncExitStack, settings: Settings, zeroconf: AsyncZeroconf | None) -> Fleet:
    """Open the fleet; without adapters where there can be none, which their backend tells."""
    options = fleet_options(settings) | {
        "zeroconf": zeroconf,
        "owner": settings.owner,
        "subscribe": settings.subscribe,
    }
    try:
        return await stack.enter_async_context(Fleet(**options))
    except UnsupportedError:
        return await stack.enter_async_context(Fleet(**(options | {"local_adapters": False})))


async def _owned(settings: Settings) -> tuple[set[Place], list[Finding]]:
    """Return where the proxies are that this user's owner has, and what is found about it."""
    if settings.owner is False or await asyncio.to_thread(find_owner) is None:
        return set(), []
    try:
        async with Fleet(
            discover=False, owner=True, state=None, subscribe=Subscribe.NEVER
        ) as fleet:
            lent = {_place(radio) for radio in fleet.radios}
    except RadioUnavailableError as exc:
        advice = "start `proxyconn serve` again, or remove its socket"
        return set(), [Finding("owner", Level.WARNING, None, str(exc), advice)]
    seen = f"`proxyconn serve` runs, and lends {len(lent)} radios to every program of this user"
    return lent, [Finding("owner", Level.OK, None, seen)]


def _place(radio: Radio) -> Place:
    details = radio.diagnostics()
    return details.get("host"), details.get("port")


async def _listen(fleet: Fleet) -> None:
    """Listen until every radio that is ready has heard something, LISTEN_TIME at most.

    Nobody is connected, so slots that are still taken by then have leaked.
    """

    def all_well() -> bool:
        heard = {path.source for one in fleet.devices for path in fleet.paths(one.address)}
        ready = {radio.name for radio in fleet.radios if radio.state is RadioState.READY}
        return ready <= heard and all(slots.free == slots.slots for slots in fleet.allocations())

    await until(fleet, all_well, LISTEN_TIME)


def _without_owned(
    found: Iterable[Finding], radios: Iterable[Radio], owned: Collection[Place]
) -> list[Finding]:
    """Return the findings, with those about a client that is this user's own owner made good."""
    names = {radio.name for radio in radios if _place(radio) in owned}
    return [
        Finding(
            "subscription",
            Level.OK,
            one.subject,
            "this user's `proxyconn serve` has it, and shares it",
        )
        if one.check == "subscription" and one.subject in names
        else one
        for one in found
    ]


def _unnamed(found: Iterable[Finding], radios: Iterable[Radio]) -> list[Finding]:
    """Return what radios say of themselves that no backend has said anything about."""
    named = {finding.subject for finding in found}
    return [
        Finding("session", Level.PROBLEM, radio.name, state_of(radio))
        for radio in radios
        if radio.name not in named and radio.state is not RadioState.READY
    ]


def in_order(found: Sequence[Finding]) -> list[Finding]:
    """Return findings by what they are about, this machine first, and by ORDER."""
    rank = {check: number for number, check in enumerate(ORDER)}

    def place(one: Finding) -> tuple[bool, str, int]:
        return one.subject is not None, one.subject or "", rank.get(one.check, len(rank))

    return sorted(found, key=place)
