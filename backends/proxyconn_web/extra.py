"""What the extra `web` installs."""

from __future__ import annotations

from types import ModuleType

from proxyconn import extras


def need(name: str) -> ModuleType:
    """Return a module that the extra `web` installs. Raises MissingExtraError."""
    return extras.need(name, "web", "the web page", ", or go without --web")
