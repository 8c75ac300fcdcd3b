"""Commands that show: discover, scan, slots, paths."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from proxyconn import Fleet, RadioState, ScanMode
from proxyconn.cli.display.rows import Row, device_row, path_row, proxy_row
from proxyconn.cli.display.tables import (
    devices_table,
    loudest,
    paths_table,
    proxies_table,
    scan_text,
    slots_table,
)
from proxyconn.cli.errors import CommandFailedError
from proxyconn.cli.fleet_session import (
    KEY_HINT,
    Settings,
    all_settled,
    any_slots,
    by_name,
    find,
    grouped,
    lacks_key,
    not_ready,
    open_fleet,
    open_ready,
    state_of,
)
from proxyconn.cli.option_types import Address, AsJson, Seconds
from proxyconn.cli.options import fleet_command, looking_command
from proxyconn.cli.output import print_json, safe, stderr, stdout, while_read
from proxyconn.radio import Radio
from proxyconn.routing.path_score import explain

SLOT_KEYS = ("name", "state", "slots")
"""What `slots --json` tells of a proxy."""

SCAN_TIME = 5.0
"""Seconds that `scan` listens when nobody is there to end it."""

LISTEN_TIME = 1.0
"""Seconds that `paths` listens once the device is found: one advertisement says little."""

REFRESH = 0.5
"""Seconds between two pictures of a live view."""

Picture = tuple[Table, Sequence[str]]
"""A table, and lines to stand under it."""


@looking_command
async def discover(settings: Settings, *, as_json: AsJson = False) -> None:
    """List the proxies there are, and how they are doing.

    Only looks: no other client of theirs notices. Who uses a proxy is told of programs of the same
    user; whether there is any other client does not show. Exit code 1 if none is ready, or if one
    that was named is not.
    """
    async with open_fleet(settings) as fleet:
        await all_settled(fleet, settings)
        rows = [proxy_row(radio) for radio in by_name(fleet)]
        named = _named(fleet, settings)
        failed = [radio.name for radio in named if radio.state is not RadioState.READY]
        hints = [KEY_HINT] if any(map(lacks_key, fleet.radios)) else []
    if as_json:
        print_json({"proxies": rows})
    elif rows:
        notes = grouped((row["name"], row["problem"]) for row in rows)
        used = grouped((row["name"], row["holder"] and f"used by {row['holder']}") for row in rows)
        _print((proxies_table(rows), [*notes, *used, *hints]))
    if not rows:
        raise CommandFailedError("no proxy was found; name one with --proxy HOST")
    if failed:
        raise CommandFailedError(f"not ready: {', '.join(failed)}")
    if all(row["problem"] for row in rows):
        raise CommandFailedError("no proxy is ready")


def _named(fleet: Fleet, settings: Settings) -> list[Radio]:
    wanted = {(proxy.host, proxy.port) for proxy in settings.proxies}
    details = [(radio, radio.diagnostics()) for radio in fleet.radios]
    return [radio for radio, row in details if (row.get("host"), row.get("port")) in wanted]


@fleet_command
async def scan(
    settings: Settings,
    *,
    duration: Seconds = None,
    mode: Annotated[
        ScanMode | None, typer.Option(help="How the proxies scan; the same as --scan.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the devices that the proxies hear, the loudest first.

    Listens until Ctrl-C on a terminal, else for 5 seconds. With --json, one line for every
    advertisement; a proxy that is lost meanwhile is told of on stderr. A proxy tells what it hears
    to one client alone, so this takes that place: from firmware 2026.7 on whoever had it hears
    nothing more.
    """
    if duration is None and not (stdout().is_terminal and not as_json):
        duration = SCAN_TIME
    settings = replace(settings, scan=mode or settings.scan)
    async with open_ready(settings) as (fleet, _):
        async with while_read():
            with _losses_told(fleet) if as_json or not stdout().is_terminal else nullcontext():
                if as_json:
                    await _scan_lines(fleet, duration)
                else:
                    await _live(lambda fit: _scan_picture(fleet, settings, fit=fit), duration)
        if not fleet.devices:
            stderr().print("no device was heard")


@contextmanager
def _losses_told(fleet: Fleet) -> Iterator[None]:
    """Say on stderr when a proxy is not ready any more, and why: no picture shows it."""
    ready: set[Radio] = set()

    def look() -> None:
        for radio in by_name(fleet):
            if radio.state is RadioState.READY:
                ready.add(radio)
            elif radio.problem and radio in ready:
                ready.discard(radio)
                console = stderr()
                told = safe(f"{radio.name}: {state_of(radio)}")
                console.print(told, soft_wrap=not console.is_terminal)

    look()
    remove = fleet.register_state_callback(look)
    try:
        yield
    finally:
        remove()


async def _scan_lines(fleet: Fleet, duration: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(duration):
            async for device, _ in fleet.advertisements():
                print_json(device_row(fleet, device))


def _scan_picture(fleet: Fleet, settings: Settings, *, fit: bool) -> Picture:
    rows: Sequence[Row] = [device_row(fleet, device) for device in fleet.devices]
    notes: Sequence[str] = [*not_ready(fleet), *_modes(fleet, settings)]
    if fit:
        rows, notes = loudest(rows, notes, stdout())
    sources = [radio.name for radio in by_name(fleet) if radio.state is RadioState.READY]
    return devices_table(rows, sources, fit=fit), notes


def _modes(fleet: Fleet, settings: Settings) -> list[str]:
    """Return how the proxies scan, if that is asked for, as far as they have said so."""
    if not (settings.scan or any(proxy.scan for proxy in settings.proxies)):
        return []
    rows = (proxy_row(radio) for radio in by_name(fleet))
    return grouped(
        (row["name"], f"scans in mode {scan_text(row)}") for row in rows if row["scan_mode"]
    )


@looking_command
async def slots(
    settings: Settings,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the connection slots of the proxies, and who holds them.

    Only looks: whichever client the proxies serve notices nothing.
    """
    async with open_fleet(settings) as fleet:
        await all_settled(fleet, settings)
        any_slots(fleet, settings)
        async with while_read():
            if as_json:
                await _slot_lines(fleet, watch=watch)
            elif watch:
                await _live(lambda fit: _slots_picture(fleet), None)
            else:
                _print(_slots_picture(fleet))


@fleet_command
async def paths(settings: Settings, address: Address, *, as_json: AsJson = False) -> None:
    """Show every way to a device, what each is worth, and why one is taken.

    A score is in dB: the signal strength, and what waiting, failures and your own preferences add
    to it or take from it.
    """
    async with open_ready(settings) as (fleet, deadline):
        with stderr().status(f"Looking for {safe(address)}"):
            device = await find(fleet, settings, address, deadline)
            await asyncio.sleep(LISTEN_TIME)
        found = fleet.paths(device.address)
    rows = [path_row(path) for path in found]
    if as_json:
        print_json(
            {"address": device.address, "name": device.name, "paths": rows, "why": explain(found)}
        )
        return
    _print((paths_table(rows), [explain(found)]))


async def _slot_lines(fleet: Fleet, *, watch: bool) -> None:
    changed = asyncio.Event()
    removes = (
        fleet.register_allocation_callback(lambda event: changed.set()),
        fleet.register_state_callback(changed.set),
    )
    printed = None
    try:
        while True:
            rows = [{key: row[key] for key in SLOT_KEYS} for row in _slot_rows(fleet)]
            if rows != printed:
                print_json({"proxies": rows})
                printed = rows
            if not watch:
                return
            await changed.wait()
            changed.clear()
    finally:
        for remove in removes:
            remove()


def _slot_rows(fleet: Fleet) -> list[Row]:
    return [proxy_row(radio) for radio in by_name(fleet)]


def _slots_picture(fleet: Fleet) -> Picture:
    names = {device.address: device.name for device in fleet.devices}
    return slots_table(_slot_rows(fleet), names.get, stdout()), not_ready(fleet)


def _print(picture: Picture) -> None:
    table, notes = picture
    console = stdout()
    console.print(table)
    for note in notes:
        console.print(safe(note), soft_wrap=not console.is_terminal)


def _drawn(picture: Picture) -> Group:
    table, notes = picture
    return Group(table, *map(safe, notes))


async def _live(picture: Callable[[bool], Picture], duration: float | None) -> None:
    """Show a picture that is drawn again and again, for ever if `duration` is None.

    `picture` is told whether to fit on the screen; the last one need not.

    Off a terminal it is drawn once, at the end; without a duration, at once.
    """
    console = stdout()
    if not console.is_terminal:
        await asyncio.sleep(duration or 0.0)
        _print(picture(False))
        return
    with Live(console=console, auto_refresh=False) as live:
        try:
            async with asyncio.timeout(duration):
                while True:
                    live.update(_drawn(picture(True)), refresh=True)
                    await asyncio.sleep(REFRESH)
        except TimeoutError:
            live.update(_drawn(picture(False)), refresh=True)
