"""The options of `proxyconn virtual`: how each is written, read and explained."""

from __future__ import annotations

import ipaddress
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from proxyconn.cli.option_types import parse_interface
from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_virtual.commands.virtual_options.dial_option import parse_dial
from proxyconn_virtual.commands.virtual_options.fault_options import SYNTAX
from proxyconn_virtual.commands.virtual_options.peripherals_option import (
    SYNTAX as PERIPHERALS_SYNTAX,
)
from proxyconn_virtual.firmware import profiles
from proxyconn_virtual.firmware.slots import MAX_SLOTS
from proxyconn_virtual.fleet import RadioKind
from proxyconn_virtual.proxy import MAX_NAME

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


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


Proxies = Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many virtual proxies.")]
Slots = Annotated[
    int, typer.Option(metavar="N", min=1, max=MAX_SLOTS, help="Connection slots of each.")
]
Profile = Annotated[
    str | None,
    typer.Option(
        help=f"Firmware to behave like: {', '.join(profiles.KNOWN)}. Else {profiles.NEWEST}."
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="So many devices instead of the household's ten."),
]
Peripherals = Annotated[
    list[str] | None,
    typer.Option(
        metavar=PERIPHERALS_SYNTAX,
        help="The devices of a file instead of the household's; can be given several times.",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What the proxies' names begin with, for a second fleet beside another.",
        parser=parse_prefix,
    ),
]
Seed = Annotated[int, typer.Option(help="Of everything random but the key.")]
Dial = Annotated[
    OutgoingConnection | None,
    typer.Option(
        metavar="IP[:PORT]",
        help="Have the proxies call that address by themselves, and announce none of them.",
        parser=parse_dial,
    ),
]
Plaintext = Annotated[bool, typer.Option("--plaintext", help="Do not encrypt.")]
WriteConfig = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a configuration for --config; a new file."),
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        metavar=SYNTAX,
        help="A fault of every proxy, or of one, from the start; can be given several times.",
    ),
]
ListFaults = Annotated[
    bool, typer.Option("--list-faults", help="Show every fault there is, and end.")
]
Interface = Annotated[
    str,
    typer.Option(metavar="IP", help="Address to listen and to announce on.", parser=parse_ipv4),
]
