"""The options of `proxyconn serve`: how each is written, read and explained."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from proxyconn_native_api.mdns import EVERY_ADDRESS
from proxyconn_owner.settings import LOOPBACK, Listen, parse_listen, parse_origin


def _listen(text: str, default_host: str = EVERY_ADDRESS) -> Listen:
    try:
        return parse_listen(text, default_host)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None


def _origin(text: str) -> str:
    try:
        return parse_origin(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None


def _name(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("a name has characters; leave it out to be called proxyconn")
    return text


Api = Annotated[
    Listen | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Where clients are welcome; 6053 on every address without it, 0 for any port.",
        parser=_listen,
    ),
]
One = Annotated[bool, typer.Option("--one", help="Serve the fleet as one proxy (the default).")]
Mirrored = Annotated[bool, typer.Option("--mirrored", help="Serve one proxy for each radio.")]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the one proxy.", parser=_name)
]
Web = Annotated[
    Listen | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Show the fleet on a web page there; 8053 is the usual port, 127.0.0.1 the host.",
        parser=partial(_listen, default_host=LOOPBACK),
    ),
]
WebTokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where the tokens for the web page are, or are put."),
]
WebOrigin = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="What browsers call the server with TLS that stands before the web page.",
        parser=_origin,
    ),
]
NoAnnounce = Annotated[
    bool, typer.Option("--no-announce", help="Do not announce the proxies by mDNS.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line for programs.")]
ShowKey = Annotated[
    bool, typer.Option("--show-key", help="Print the key that clients need, and end.")
]
StateFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where to keep what a restart must not lose."),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Share the proxies with other owners over this NATS."),
]

FleetName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the cluster's fleet; house without it.")
]

Site = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where in the cluster this owner is; home without it."),
]

Lease = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", help="After which a silent owner is replaced; 10 without it, 2 at least."
    ),
]
