"""`proxyconn demo`: an app, a fleet and its devices in one process, every claim checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Annotated

import typer

from proxyconn.cli.errors import CommandFailedError, run
from proxyconn.cli.logs import set_up_logging
from proxyconn.cli.output import stdout
from proxyconn_virtual.commands import demo_client as app
from proxyconn_virtual.commands import demo_house as house_of
from proxyconn_virtual.commands.demo_cluster import cluster
from proxyconn_virtual.commands.demo_house import House
from proxyconn_virtual.commands.demo_sharing import sharing
from proxyconn_virtual.commands.demo_stage import ClaimError, Stage
from proxyconn_virtual.commands.demo_stories import STORIES
from proxyconn_virtual.commands.demo_takeover import takeover
from proxyconn_virtual.commands.fast_clock import FastLoop
from proxyconn_virtual.commands.virtual_options.option_types import Radio
from proxyconn_virtual.fleet import RadioKind
from proxyconn_virtual.radio import LinkParameters

LONGEST = 55.0
"""Seconds after which the demo has failed."""

LONGEST_OF_PROCESSES = 180.0
"""Seconds after which a story of processes has failed."""

LONGEST_STORY = 3600.0
"""Seconds of its own clock after which a story has failed."""

PROCESS_STORIES: Mapping[str, Callable[[Stage], Awaitable[None]]] = MappingProxyType(
    {"sharing": sharing, "takeover": takeover, "cluster": cluster}
)
"""Stories told by processes, in the time that they take."""

ALL_STORIES = (*STORIES, *PROCESS_STORIES)


def _parse_story(name: str) -> str:
    if name not in ALL_STORIES:
        raise typer.BadParameter(f"there is no story {name!r}; known: {', '.join(ALL_STORIES)}")
    return name


def demo(
    *,
    radio: Radio = "simulated",
    seed: Annotated[int, typer.Option(help="Of everything random but the key.")] = 0,
    story: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Tell a story instead: {', '.join(ALL_STORIES)}.",
            parser=_parse_story,
        ),
    ] = None,
) -> None:
    """Show everything at work on a virtual fleet, in about ten seconds.

    Three virtual proxies with three connection slots each, among ten virtual devices; the app that
    uses them knows no more of them than it would of real ones. Exit code 0 only if all it claims
    has happened.
    """
    set_up_logging(verbose=False)
    if story is None:
        run(_checked(lambda stage: _demo(stage, radio, seed), LONGEST))
    elif story in PROCESS_STORIES:
        run(_checked(lambda stage: tell_of_processes(stage, story), LONGEST_OF_PROCESSES))
    else:
        run(_checked(lambda stage: tell(stage, story), LONGEST_STORY), FastLoop)


async def tell(stage: Stage, story: str) -> None:
    """Tell a story; needs a FastLoop to be short.

    Raises:
        ClaimError: something it claims did not happen.
        BleakError, TimeoutError, ExceptionGroup: something failed on the way.
    """
    summary = (STORIES[story].__doc__ or "").strip()
    stage.console.print(
        f"\n[bold]{story}[/]: {summary}\n"
        "[dim]Seconds are those of the story: all waiting is skipped.[/]\n"
    )
    await STORIES[story](stage)


async def tell_of_processes(stage: Stage, story: str) -> None:
    """Tell a story whose programs are processes. Raises as `tell`."""
    summary = (PROCESS_STORIES[story].__doc__ or "").strip()
    stage.console.print(f"\n[bold]{story}[/]: {summary}\n")
    await PROCESS_STORIES[story](stage)


async def _demo(stage: Stage, radio: RadioKind, seed: int) -> None:
    await play(stage, house_of.build(radio, seed, spared=app.LATE))


async def _checked(show: Callable[[Stage], Awaitable[None]], longest: float) -> None:
    """Show something, `longest` seconds at most, and make an error of what did not happen."""
    stage = Stage(stdout(), asyncio.get_running_loop().time)
    try:
        async with asyncio.timeout(longest):
            await show(stage)
    except ClaimError as exc:
        raise CommandFailedError(f"this did not happen: {exc}") from exc
    except TimeoutError as exc:
        raise CommandFailedError(f"not done after {stage.elapsed:.1f} s") from exc
    except ExceptionGroup as exc:
        raise CommandFailedError("; ".join(map(str, exc.exceptions))) from exc
    stage.console.print(
        f"[bold green]All {stage.claims} claims hold[/], {stage.elapsed:.1f} s in all.\n"
    )


async def play(stage: Stage, house: House) -> None:
    """Run the demo in a house.

    Raises:
        ClaimError: something it claims did not happen.
        BleakError, TimeoutError, ExceptionGroup: something failed on the way.
    """
    stage.console.print(
        f"\n[bold]{app.PROXIES} virtual proxies x {app.SLOTS} slots, {app.DEVICES} virtual devices"
        "[/]: on this machine only, with no Bluetooth hardware.\n"
    )
    access = app.Access(house_of.INTERFACE, house.noise_psk, house.addresses)
    async with house.fleet:
        async with app.open_fleet(access) as fleet:
            await app.join(fleet, stage)
            await app.listen(fleet, stage, access)
            connector = app.Connector(fleet, stage, access)
            clients = await app.connect_nine(connector)
            await app.connect_tenth(connector, clients)
            await app.read_and_write(stage, clients)
            await app.notifications(stage, clients)
            await app.pair(stage, clients)
            await _parameters(stage, house, clients)
            await app.leave(fleet, stage, access, clients)
        _compare(stage, house)


async def _parameters(stage: Stage, house: House, clients: app.Clients) -> None:
    with stage.step("Set connection parameters", "asking"):
        await app.parameters(stage, clients)
        [(proxy, received)] = house.parameters(house.addresses["Thermometer"]).items()
        stage.confirm(
            received == LinkParameters(*app.PARAMETERS),
            f"{proxy}'s virtual ESP32 received interval {received.min_interval} to "
            f"{received.max_interval} (x 1.25 ms), latency {received.latency}, "
            f"timeout {received.timeout} (x 10 ms)",
        )


def _compare(stage: Stage, house: House) -> None:
    """Check the other end of the wire: what the virtual ESP32s say happened."""
    with stage.step("Compare with what the virtual ESP32s saw", "comparing"):
        first, second = house.faulty
        stage.confirm(
            house.reasons() == {house_of.FAIL_ESTABLISH: 1, house_of.CONN_CANCEL: 1},
            f"two attempts failed, as injected: 0x3e for {first}, 0x100 for {second}; this "
            "firmware tells both as 0x85",
        )
        lock = house.addresses["Front door lock"]
        stage.confirm(house.paired() == {lock}, "one device was paired: the lock")
        stage.confirm(house.refused() == 0, "nobody asked for a slot of a proxy that had none")
        stage.confirm(not any(house.taken().values()), "every slot is free on their side too")
