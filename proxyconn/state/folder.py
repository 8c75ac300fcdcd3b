"""Where the state is kept."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_state_path

STATE_VARIABLE = "STATE_DIRECTORY"
"""Environment variable in which systemd names a service's state folder (systemd.exec(5))."""


def state_folder(given: str | Path | None = None) -> Path:
    """Return the folder given, else systemd's, else this user's own."""
    if given is not None:
        return Path(given)
    named = os.environ.get(STATE_VARIABLE, "").partition(":")[0]
    return Path(named) if named else user_state_path("proxyconn")
