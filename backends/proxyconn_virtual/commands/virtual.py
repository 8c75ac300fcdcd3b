"""`proxyconn virtual`: a virtual fleet that runs until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import typer
from rich import box
from rich.table import Table
from zeroconf import DNSQuestionType, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn.cli.errors import CommandFailedError, run
from proxyconn.cli.output import safe, stdout
from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_native_api.mdns import SERVICE_TYPE
from proxyconn_virtual.commands.virtual_options.config_option import config_file, config_text
from proxyconn_virtual.commands.virtual_options.event_lines import print_event
from proxyconn_virtual.commands.virtual_options.fault_options import (
    faults_table,
    parse_faults,
)
from proxyconn_virtual.commands.virtual_options.option_types import (
    Devices,
    Dial,
    Faults,
    Interface,
    ListFaults,
    Peripherals,
    Plaintext,
    Prefix,
    Profile,
    Proxies,
    Radio,
    Seed,
    Slots,
    WriteConfig,
)
from proxyconn_virtual.commands.virtual_options.peripherals_option import peripherals_around
from proxyconn_virtual.firmware import profiles
from proxyconn_virtual.fleet import VirtualFleet, run_fleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

ROOMS = ("kitchen", "bedroom", "garage", "cellar", "attic", "office", "hall", "garden")
"""Names of the first proxies; those after them are numbered."""


PROBE_TIME = 1.75
"""Seconds in which whoever has a name says so: an answer may have to wait for 1 s, after one to
somebody else, and 0.12 s more (RFC 6762 section 6); a question may get lost."""


def proxy_names(count: int, prefix: str = "") -> list[str]:
    """Return as many different names of proxies."""
    numbers = range(len(ROOMS) + 1, count + 1)
    names = (*ROOMS, *(f"proxy-{number}" for number in numbers))
    return [f"{prefix}{name}" for name in names[:count]]


def virtual(
    *,
    proxies: Proxies = 3,
    slots: Slots = 3,
    profile: Profile = None,
    radio: Radio = "simulated",
    devices: Devices = None,
    peripherals: Peripherals = None,
    prefix: Prefix = None,
    seed: Seed = 0,
    dial: Dial = None,
    plaintext: Plaintext = False,
    write_config: WriteConfig = None,
    fault: Faults = None,
    list_faults: ListFaults = False,
    interface: Interface = "127.0.0.1",
) -> None:
    """Run virtual proxies among virtual devices until Ctrl-C.

    Each speaks ESPHome's native API as firmware does, and is announced by mDNS. The key is a new
    one each time; it stands only in the configuration file (--write-config; without it, in a
    temporary one that goes with the fleet).
    """
    if list_faults:
        stdout().print(faults_table())
        return
    profile = _firmware(profile, dial, plaintext=plaintext)
    names = proxy_names(proxies, prefix or "")
    faults = parse_faults(fault or (), names, profile=profile, plaintext=plaintext)
    key = None if plaintext else new_noise_psk()
    made = ProxySpec(name="", noise_psk=key, slots=slots, profile=profile, outgoing_connection=dial)
    specs = [replace(made, name=name) for name in names]
    around = peripherals_around(
        names, prefix or "", files=peripherals or (), devices=devices, seed=seed
    )
    with ExitStack() as stack:
        write, file = stack.enter_context(config_file(write_config))

        def ready(fleet: VirtualFleet) -> None:
            write(config_text(fleet, dial))
            for proxy in fleet.proxies.values():
                proxy.add_observer(print_event(fleet))
            for wanted in faults:
                wanted.switch_on(fleet.proxies, seed)
            stdout().print(_fleet_table(fleet))
            if fault:
                stdout().print(f"Faults from the start: {safe(', '.join(fault))}.")
            stdout().print(
                f"{len(fleet.peripherals)} devices around, {radio} radio. In another terminal:\n"
                f"  proxyconn scan --config {safe(str(file))}\n"
                "Ctrl-C ends the fleet.\n",
                soft_wrap=True,
            )

        fleet = run_fleet(
            specs,
            around,
            on_ready=ready,
            radio=radio,
            seed=seed,
            interface=interface,
            host=interface,
            announce=dial is None,
        )
        run(_run_alone(fleet, () if dial else names, interface))


def _firmware(profile: str | None, dial: OutgoingConnection | None, *, plaintext: bool) -> str:
    """Return the firmware to behave like. Raises typer.BadParameter for one that cannot be."""
    profile = profile or profiles.NEWEST
    try:
        behaves = profiles.profile(profile)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if dial and not behaves.outgoing_connection:
        raise typer.BadParameter(f"firmware {profile} calls nobody; --dial needs 2026.10")
    if dial and plaintext:
        raise typer.BadParameter("--dial needs a key, so it does not go with --plaintext")
    return profile


async def _run_alone(
    fleet: Coroutine[Any, Any, None], names: Sequence[str], interface: str
) -> None:
    """Run a fleet whose names nobody else announces.

    Raises:
        CommandFailedError: somebody does.
    """
    try:
        if taken := await announced(names, interface):
            raise CommandFailedError(
                f"already announced on {interface}: {', '.join(taken)}; "
                "give these proxies other names with --prefix TEXT, or end the other fleet"
            )
        await fleet
    finally:
        fleet.close()


async def announced(names: Sequence[str], interface: str) -> list[str]:
    """Return those of the names that somebody announces on an interface. Raises OSError."""
    infos = {name: AsyncServiceInfo(SERVICE_TYPE, f"{name}.{SERVICE_TYPE}") for name in names}
    async with AsyncZeroconf(interfaces=[interface], ip_version=IPVersion.V4Only) as zeroconf:
        # Of the programs that share the port here, a unicast answer reaches only one.
        multicast = DNSQuestionType.QM
        found = await asyncio.gather(
            *(
                info.async_request(zeroconf.zeroconf, PROBE_TIME * 1000, multicast)
                for info in infos.values()
            )
        )
    return [name for name, there in zip(infos, found, strict=True) if there]


def _fleet_table(fleet: VirtualFleet) -> Table:
    table = Table("Proxy", "Address", "Encrypted", "Firmware", "Slots", box=box.SIMPLE_HEAD)
    for proxy in fleet.proxies.values():
        table.add_row(
            proxy.name,
            f"{proxy.host}:{proxy.port}",
            "yes" if proxy.noise_psk else "no",
            proxy.profile.version,
            str(proxy.spec.slots),
        )
    return table
