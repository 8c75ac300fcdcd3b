"""`proxyconn virtual`: a virtual fleet that runs until Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from zeroconf import DNSQuestionType, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn.cli.errors import CommandFailedError, run
from proxyconn.cli.options import parse_interface
from proxyconn.cli.output import safe, stdout
from proxyconn_virtual import events
from proxyconn_virtual._fault_options import SYNTAX, faults_table, parse_faults
from proxyconn_virtual._mdns import SERVICE_TYPE
from proxyconn_virtual._profiles import PROFILES
from proxyconn_virtual._slots import MAX_SLOTS
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.fleet import RadioKind, VirtualFleet, run_fleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import MAX_NAME, ProxySpec, new_noise_psk

ROOMS = ("kitchen", "bedroom", "garage", "cellar", "attic", "office", "hall", "garden")
"""Names of the first proxies; those after them are numbered."""

PROBE_TIME = 1.75
"""Seconds in which whoever has a name says so: an answer may have to wait for 1 s, after one to
somebody else, and 0.12 s more (RFC 6762 section 6); a question may get lost."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_BATTERY = 0x180F
_LEVEL = 0x2A19
_FIRST_ADDRESS = 0xC40000010000


def parse_radio(text: str) -> RadioKind:
    """Return the radio of a `--radio` option. Raises typer.BadParameter."""
    match text:
        case "simulated":
            return "simulated"
        case "bumble":
            if find_spec("bumble"):
                return "bumble"
            raise typer.BadParameter("it needs bumble: pip install 'proxyconn[virtual]'")
    raise typer.BadParameter(f"{text!r} is neither simulated nor bumble")


Radio = Annotated[
    RadioKind,
    typer.Option(
        metavar="simulated|bumble",
        help="Scripted radio, or real ATT between virtual controllers.",
        parser=parse_radio,
    ),
]


def parse_prefix(text: str) -> str:
    """Return what names begin with for a `--prefix` option. Raises typer.BadParameter."""
    prefix = text.removesuffix("-")
    longest = MAX_NAME - len("-proxy-64")
    if len(prefix) > longest or not _NAME.fullmatch(prefix):
        raise typer.BadParameter(
            f"{text!r} is not 1 to {longest} lower-case letters, digits and hyphens"
        )
    return f"{prefix}-"


def parse_ipv4(text: str) -> str:
    """Return the IPv4 address of an interface. Raises typer.BadParameter."""
    address = parse_interface(text)
    if ipaddress.ip_address(address).version != 4:
        raise typer.BadParameter(f"{text!r} is not an IPv4 address, and no other is announced")
    return address


def proxy_names(count: int, prefix: str = "") -> list[str]:
    """Return as many different names of proxies."""
    numbers = range(len(ROOMS) + 1, count + 1)
    names = (*ROOMS, *(f"proxy-{number}" for number in numbers))
    return [f"{prefix}{name}" for name in names[:count]]


def crowd(proxies: Sequence[str], count: int, seed: int) -> list[Peripheral]:
    """Return `count` peripherals with a battery each, anywhere among the proxies."""
    rng = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        level = CharacteristicSpec(
            _LEVEL, Properties.READ | Properties.NOTIFY, bytes((rng.randrange(101),))
        )
        octets = (_FIRST_ADDRESS + number).to_bytes(6, "big")
        made.append(
            Peripheral(
                address=octets.hex(":").upper(),
                name=f"Device {number}",
                services=(ServiceSpec(_BATTERY, (level,)),),
                rssi={proxy: rng.randrange(-90, -50) for proxy in proxies},
                interval=rng.uniform(0.2, 1.0),
            )
        )
    return made


def virtual(
    *,
    proxies: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="How many virtual proxies.")
    ] = 3,
    slots: Annotated[
        int, typer.Option(metavar="N", min=1, max=MAX_SLOTS, help="Connection slots of each.")
    ] = 3,
    profile: Annotated[
        str, typer.Option(help=f"Firmware to behave like: {', '.join(PROFILES)}.")
    ] = "2026.6.5",
    radio: Radio = "simulated",
    devices: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="So many devices instead of the household's ten."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What the proxies' names begin with, for a second fleet beside another.",
            parser=parse_prefix,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random but the key.")] = 0,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Do not encrypt.")] = False,
    write_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a configuration for --config; a new file."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar=SYNTAX,
            help="A fault of every proxy, or of one, from the start; can be given several times.",
        ),
    ] = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Show every fault there is, and end.")
    ] = False,
    interface: Annotated[
        str,
        typer.Option(metavar="IP", help="Address to listen and to announce on.", parser=parse_ipv4),
    ] = "127.0.0.1",
) -> None:
    """Run virtual proxies among virtual devices until Ctrl-C.

    Each speaks ESPHome's native API as firmware does, and is announced by mDNS. The key is a new
    one each time; it stands only in the configuration file (--write-config; without it, in a
    temporary one that goes with the fleet).
    """
    if list_faults:
        stdout().print(faults_table())
        return
    if profile not in PROFILES:
        raise typer.BadParameter(f"no profile {profile!r}; known: {', '.join(PROFILES)}")
    names = proxy_names(proxies, prefix or "")
    faults = parse_faults(fault or (), names, profile=profile, plaintext=plaintext)
    key = None if plaintext else new_noise_psk()
    specs = [ProxySpec(name=n, noise_psk=key, slots=slots, profile=profile) for n in names]
    around = household(names, seed) if devices is None else crowd(names, devices, seed)
    with ExitStack() as stack:
        write, file = stack.enter_context(_config_file(write_config))

        def ready(fleet: VirtualFleet) -> None:
            write(_config_text(fleet))
            for proxy in fleet.proxies.values():
                proxy.add_observer(_print_event(fleet))
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
        )
        run(_run_alone(fleet, names, interface))


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


@contextmanager
def _config_file(wanted: Path | None) -> Iterator[tuple[Callable[[str], None], Path]]:
    """Make a new file for its owner only; one that was not written, or not asked for, goes again.

    Raises:
        typer.BadParameter: it is there already, or cannot be made.
    """
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="proxyconn-") as folder:
            file = Path(folder) / "virtual.toml"
            yield _writer(file), file
        return
    write = _writer(wanted)
    try:
        yield write, wanted
    finally:
        if not wanted.stat().st_size:
            wanted.unlink()


def _writer(file: Path) -> Callable[[str], None]:
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise typer.BadParameter(
            f"{file} is there already and is not overwritten; remove it, or name another"
        ) from None
    except OSError as exc:
        raise typer.BadParameter(f"{file} cannot be made: {exc.strerror}") from None

    def write(text: str) -> None:
        file.write_text(text, encoding="utf-8")

    return write


def _config_text(fleet: VirtualFleet) -> str:
    lines = ["# Proxies of `proxyconn virtual`; of no use once it has ended.", "discover = false"]
    for proxy in fleet.proxies.values():
        lines += ["", "[[proxy]]", f"name = {json.dumps(proxy.name)}"]
        lines += [f"host = {json.dumps(proxy.host)}", f"port = {proxy.port}"]
        if proxy.noise_psk:
            lines.append(f"key = {json.dumps(proxy.noise_psk)}")
    return "\n".join(lines) + "\n"


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


def _print_event(fleet: VirtualFleet) -> Callable[[events.ProxyEvent], None]:
    names = {peripheral.address: peripheral.name for peripheral in fleet.peripherals}
    width = max(map(len, fleet.proxies))

    def show(event: events.ProxyEvent) -> None:
        now = datetime.now().astimezone()
        device = f"{event.address}  " if isinstance(event, events.DeviceEvent) else ""
        name = names.get(device.strip(), "")
        stdout().print(
            f"[dim]{now:%H:%M:%S}.{now.microsecond // 1000:03}[/]  [cyan]{event.proxy:<{width}}[/]"
            f"  {device}{safe(event_text(event))}" + (f"  [dim]{safe(name)}[/]" if name else ""),
            soft_wrap=True,
        )

    return show


def event_text(event: events.ProxyEvent) -> str:
    """Return what happened, in words."""
    match event:
        case events.ClientConnected() | events.ClientGone():
            verb = "connected" if isinstance(event, events.ClientConnected) else "gone"
            return f"client {event.client_info} {verb}"
        case events.Subscribed():
            return f"client {event.client_info} subscribed"
        case events.Unsubscribed():
            return f"client {event.client_info} no longer subscribed"
        case events.Connecting():
            return "connecting"
        case events.Connected():
            return f"connected, slot {event.slot + 1}"
        case events.Refused():
            return "refused: no free slot"
        case events.Paired():
            return "paired"
        case _:
            return _number_text(event)


def _number_text(event: events.ProxyEvent) -> str:
    match event:
        case events.OpenFailed():
            return f"not connected, reason {event.reason:#x}"
        case events.Disconnected():
            return "disconnected" + (f", reason {event.reason:#x}" if event.reason else "")
        case events.PairingFailed():
            return f"pairing failed, code {event.code}"
        case events.ParametersSet():
            asked = event.parameters
            return (
                f"parameters {asked.min_interval}..{asked.max_interval} x 1.25 ms, "
                f"latency {asked.latency}, timeout {asked.timeout} x 10 ms"
            )
        case _:
            return type(event).__name__
