"""What the extra `cluster` installs, and what to say without it."""

from __future__ import annotations

import importlib
from typing import Final

NEEDED: Final = ("nats", "nkeys", "msgspec")


class MissingExtraError(Exception):
    """Something is not installed; the text says how to install it."""


def check_extra() -> None:
    """Raise MissingExtraError unless everything is there that a cluster needs."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as exc:
            raise MissingExtraError(
                f"{exc.name} is not installed, and a cluster needs it: "
                "pip install 'proxyconn[cluster]'"
            ) from None
