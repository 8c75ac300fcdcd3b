"""The option `--dial`: whom virtual proxies call by themselves."""

from __future__ import annotations

import re

import typer

from proxyconn.ports import LISTEN_PORT, MAX_PORT
from proxyconn_native_api.dialling import OutgoingConnection

DIAL_DELAY, DIAL_RETRY = 1.0, 1.0
"""Seconds until proxies call, and between two calls; firmware waits up to 60 and 300."""

_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")


def parse_dial(text: str) -> OutgoingConnection:
    """Return whom a `--dial` option says to call. Raises typer.BadParameter."""
    match = _ADDRESS.fullmatch(text)
    port = int((match and match["port"]) or LISTEN_PORT)
    if match is None or not 1 <= port <= MAX_PORT:
        raise typer.BadParameter(f"{text!r} is not IP or IP:PORT; put an IPv6 address in brackets")
    try:
        return OutgoingConnection(
            host=match["v6"] or match["host"],
            port=port,
            delay=DIAL_DELAY,
            longest_retry=DIAL_RETRY,
        )
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} does not begin with an IP address, and a proxy resolves no names"
        ) from None
