"""`proxyconn cluster`: who is in it, whose each proxy is, and moving one by hand."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from proxyconn.cli.arguments import Command
from proxyconn.cli.config_file import ConfigError
from proxyconn.cli.display.tables import table
from proxyconn.cli.errors import BAD_USAGE, CommandFailedError, describe, fail, run
from proxyconn.cli.option_types import AsJson, ConfigFile
from proxyconn.cli.options import load_config
from proxyconn.cli.output import print_json, safe, stdout
from proxyconn.extras import MissingExtraError
from proxyconn_cluster.configuration import OPTION, parse_cluster
from proxyconn_cluster.extra import check_extra
from proxyconn_cluster.settings import DEFAULT_FLEET, ClusterSettings

if TYPE_CHECKING:
    from proxyconn_cluster.survey import Survey

Servers = Annotated[
    str | None,
    typer.Option(OPTION, metavar="URL", help="NATS server of the cluster, or several with commas."),
]
FleetName = Annotated[
    str | None, typer.Option("--fleet", metavar="NAME", help="Name of the fleet; house without it.")
]
NO_CLUSTER = f"no cluster: name one with {OPTION} nats://HOST:4222, or under [cluster]"

cluster = typer.Typer(add_completion=False, no_args_is_help=False)
"""The command, with `move` in it."""


def _settings(config: Path | None, servers: str | None, fleet: str | None) -> ClusterSettings:
    try:
        check_extra()
        found = parse_cluster(load_config(config).cluster, cluster=servers, fleet=fleet)
    except MissingExtraError as exc:
        raise fail(str(exc)) from None
    except ConfigError as exc:
        raise fail(describe(exc), BAD_USAGE) from None
    if found is None:
        raise fail(NO_CLUSTER, BAD_USAGE)
    return found


def _run(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what needs nats-py. Raises typer.Exit."""
    from proxyconn_cluster.bus.errors import ClusterError

    async def work() -> None:
        try:
            await make()
        except ClusterError as exc:
            raise CommandFailedError(str(exc)) from None

    run(work())


@cluster.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    servers: Servers = None,
    fleet: FleetName = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the owners of a cluster, what each has, and how much it does."""
    if context.invoked_subcommand is None:
        settings = _settings(config, servers, fleet)
        _run(lambda: _show(settings, as_json=as_json))


async def _show(settings: ClusterSettings, *, as_json: bool) -> None:
    from proxyconn_cluster.bus.connection import opened
    from proxyconn_cluster.survey import survey

    async with opened(settings, await asyncio.to_thread(_who)) as bus:
        found = await survey(bus)
    if as_json:
        print_json(found.rows())
        return
    if not found.owners:
        stdout().print(f"no owner of fleet {safe(settings.fleet)} answers; start one: ", end="")
        given = f"{OPTION} {','.join(settings.servers)}"
        if settings.fleet != DEFAULT_FLEET:
            given += f" --fleet {settings.fleet}"
        stdout().print(f"proxyconn serve {given}", markup=False, soft_wrap=True)
        return
    stdout().print(_owners_table(found), _proxies_table(found))
    for text in found.troubles:
        stdout().print(f"[yellow]{safe(text)}[/]")


def _owners_table(found: Survey) -> Table:
    made = table("Owner", "Site", "Proxies>", "Links>", "Slots>", "Sees>", "Version", "")
    for owner in found.owners:
        made.add_row(
            safe(owner.owner),
            safe(owner.site),
            str(len(owner.proxies)),
            str(sum(one.links for one in owner.proxies)),
            str(sum(one.slots for one in owner.proxies)),
            str(owner.sees),
            safe(owner.version),
            "[red]cut off[/]" if owner.cut_off else "",
        )
    return made


def _proxies_table(found: Survey) -> Table:
    made = table("Proxy", "MAC", "Owner", "State", "Links>", "")
    for owner, proxy in found.proxies():
        made.add_row(
            safe(proxy.name),
            safe(proxy.mac),
            safe(owner.owner),
            safe(proxy.state),
            f"{proxy.links}/{proxy.slots}",
            "is moving" if proxy.leaving else safe(proxy.problem or ""),
        )
    return made


@cluster.command(cls=Command)
def move(
    proxy: Annotated[
        str, typer.Argument(metavar="PROXY", help="Name or MAC address of the proxy.")
    ],
    owner: Annotated[
        str,
        typer.Argument(
            metavar="OWNER", help="Name or id of the owner; `auto` to take an earlier wish back."
        ),
    ],
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait until it is idle: its links end.")
    ] = False,
    servers: Servers = None,
    fleet: FleetName = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Give a proxy to another owner, which keeps it for as long as it lives."""
    settings = _settings(config, servers, fleet)
    _run(lambda: _move(settings, proxy, owner, now=now, as_json=as_json))


async def _move(
    settings: ClusterSettings, proxy: str, owner: str, *, now: bool, as_json: bool
) -> None:
    from proxyconn_cluster.bus.connection import opened
    from proxyconn_cluster.survey import wish_for

    async with opened(settings, await asyncio.to_thread(_who)) as bus:
        done = await wish_for(bus, proxy, owner, now=now)
    if as_json:
        print_json({"proxy": done.mac, "owner": done.owner, "moved": done.moved})
    elif done.owner is None:
        stdout().print(f"{safe(done.name)} goes where it should again, once it is idle")
    elif done.moved:
        stdout().print(f"{safe(done.name)} is {safe(done.owner)}'s now")
    elif done.waits:
        stdout().print(
            f"{safe(done.name)} becomes {safe(done.owner)}'s once it has no links (--now does not "
            "wait for that)"
        )
    if done.late:
        raise CommandFailedError(
            f"{done.name} is not {done.owner}'s yet, and becomes so if that owner reaches it: see "
            "what it says, or take the wish back with `auto`"
        )


def _who() -> str:
    try:
        return f"proxyconn cluster ({getpass.getuser()})"
    except (KeyError, OSError):
        return "proxyconn cluster"
