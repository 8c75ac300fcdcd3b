"""What the extra `web` installs, and what to say without it."""

from __future__ import annotations

import importlib
from types import ModuleType


class MissingExtraError(Exception):
    """Something is not installed; the text says how to install it."""


def need(name: str) -> ModuleType:
    """Return a module that the extra `web` installs. Raises MissingExtraError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            f"{exc.name} is not installed, and the web page needs it: "
            "pip install 'proxyconn[web]', or go without --web"
        ) from None
