"""Says what to install where a package of an optional extra is missing."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(Exception):
    """Something is not installed; the text says how to install it."""


def need(module: str, extra: str, by: str, otherwise: str = "") -> ModuleType:
    """Return a module that an extra installs.

    Args:
        module: its name.
        extra: name of the extra, as in `pip install 'proxyconn[extra]'`.
        by: what needs it, as the text names it.
        otherwise: how to do without it, as the text ends; empty where there is no way.

    Raises:
        MissingExtraError: it, or what it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"{exc.name} is not installed, and {by} needs it: "
            f"pip install 'proxyconn[{extra}]'{otherwise}"
        ) from None
