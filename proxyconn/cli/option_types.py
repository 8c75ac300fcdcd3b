"""The options and arguments of commands: how each is written, read and explained."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated

import typer

from proxyconn import Proxy, ScanMode
from proxyconn.cli.arguments import KEY_OPTION, LISTEN_OPTION
from proxyconn.cli.config_file import DEFAULT_PORT
from proxyconn.ports import LISTEN_PORT, MAX_PORT

TAKE_OPTION = "--take/--no-take"

PANEL = "Fleet"

_HOST = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?")
_ADDRESS = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")
_ADDRESS_LIKE = re.compile(r"\w{1,2}(?:([:-])\w{1,2})(?:\1\w{1,2})+")


def parse_proxy(text: str) -> Proxy:
    """Return the proxy of a `--proxy` option. Raises typer.BadParameter."""
    match = _HOST.fullmatch(text)
    if match is None:
        raise typer.BadParameter(
            f"{text!r} is not HOST or HOST:PORT; put an IPv6 address in brackets, as in [fe80::1]"
        )
    if (v6 := match["v6"]) is not None:
        try:
            ipaddress.IPv6Address(v6)
        except ValueError:
            raise typer.BadParameter(f"{v6!r} is not an IPv6 address") from None
    port = int(match["port"] or DEFAULT_PORT)
    if not 1 <= port <= MAX_PORT:
        raise typer.BadParameter(f"port {port} is not 1 to {MAX_PORT}")
    return Proxy(v6 or match["host"], port)


def parse_address(text: str) -> str:
    """Return a device's address in its usual form, or its name. Raises typer.BadParameter."""
    address = text.replace("-", ":").upper()
    if _ADDRESS.fullmatch(address):
        return address
    if not text or _ADDRESS_LIKE.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is neither a device's name nor its address, such as C4:00:00:00:00:01"
        )
    return text


def parse_interface(text: str) -> str:
    """Return the IP address of a `--interface` option. Raises typer.BadParameter."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not an IP address; give the address of the interface, not its name"
        ) from None
    if not _is_ours(address):
        raise typer.BadParameter(f"{text}: no interface of this machine has that address")
    return str(address)


def _is_ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as exc:
        # Whatever else there is against it, using it will tell.
        return exc.errno != errno.EADDRNOTAVAIL
    except (TypeError, ValueError):
        # The zone of an IPv6 address can be any text, and not every text is one to look up.
        return False
    return True


Address = Annotated[
    str,
    typer.Argument(metavar="ADDR", help="Address or name of the device.", parser=parse_address),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Pair = Annotated[bool, typer.Option("--pair", help="Pair as part of connecting.")]
Seconds = Annotated[
    float | None, typer.Option("--for", metavar="SECONDS", min=0.0, help="How long to listen.")
]

# The options of whatever opens a fleet.

Proxies = Annotated[
    list[Proxy] | None,
    typer.Option(
        metavar="HOST[:PORT]",
        help="A proxy to use; may be repeated.",
        parser=parse_proxy,
        rich_help_panel=PANEL,
    ),
]
AskKey = Annotated[
    bool, typer.Option(KEY_OPTION, help="Ask for the encryption key.", rich_help_panel=PANEL)
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Configuration file, TOML.", rich_help_panel=PANEL),
]
NoDiscover = Annotated[
    bool,
    typer.Option("--no-discover", help="Look for no proxies by mDNS.", rich_help_panel=PANEL),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IP",
        help="Use mDNS only on the interface with this address; may be repeated.",
        parser=parse_interface,
        rich_help_panel=PANEL,
    ),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A local adapter to use too, such as hci0; may be repeated.",
        rich_help_panel=PANEL,
    ),
]
ListenOn = Annotated[
    int | None,
    typer.Option(
        LISTEN_OPTION,
        metavar="[PORT]",
        min=1,
        max=MAX_PORT,
        help=f"Take proxies that call by themselves; on port {LISTEN_PORT} without one.",
        rich_help_panel=PANEL,
    ),
]
Scan = Annotated[
    ScanMode | None,
    typer.Option(help="How proxies scan meanwhile; as they do without it.", rich_help_panel=PANEL),
]
NoOwner = Annotated[
    bool,
    typer.Option(
        "--no-owner",
        help="Go to the proxies directly, though `proxyconn serve` runs.",
        rich_help_panel=PANEL,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        help="Longest wait for proxies, device and link together.",
        rich_help_panel=PANEL,
    ),
]
Take = Annotated[
    bool | None,
    typer.Option(
        TAKE_OPTION,
        help="Take proxies over from a client that holds connections through them, or never "
        "do; without either it is asked, on a terminal.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Log to stderr; -vv logs what the libraries used do too.",
        rich_help_panel=PANEL,
    ),
]
