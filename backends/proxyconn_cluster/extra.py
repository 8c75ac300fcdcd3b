"""What the extra `cluster` installs."""

from __future__ import annotations

from typing import Final

from proxyconn.extras import need

NEEDED: Final = ("nats", "nkeys", "msgspec")


def check_extra() -> None:
    """Raise MissingExtraError unless everything is there that a cluster needs."""
    for name in NEEDED:
        need(name, "cluster", "a cluster")
