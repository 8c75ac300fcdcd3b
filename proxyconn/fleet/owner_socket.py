"""Where this user's owner (`proxyconn serve`) is to be found."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from platformdirs import user_runtime_path, user_state_path

RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
"""Environment variable in which systemd names a service's runtime folder (systemd.exec(5))."""

USERS_VARIABLE = "XDG_RUNTIME_DIR"
"""Environment variable in which a login names the user's runtime folder."""

SOCKET = "owner.sock"

_LOGGER = logging.getLogger(__name__)


def runtime_folder() -> Path:
    """Return the folder for what lives as long as an owner does.

    Raises:
        OSError: there is none that is this user's alone.
    """
    if named := os.environ.get(RUNTIME_VARIABLE, "").partition(":")[0]:
        return Path(named)
    if os.environ.get(USERS_VARIABLE):
        return user_runtime_path("proxyconn")
    # A folder in the one for temporary files could be anybody's.
    return user_state_path("proxyconn") / "run"


def owner_socket() -> Path:
    """Return where the socket of this user's owner is, or would be. Raises as `runtime_folder`."""
    return runtime_folder() / SOCKET


def find_owner() -> Path | None:
    """Return the socket of this user's owner, if there may be one."""
    try:
        socket = owner_socket()
        return socket if socket.exists() else None
    except OSError as exc:
        # The runtime folder of another user, after `su`: whoever is there is not ours.
        _LOGGER.debug("going without an owner: %s", exc)
        return None
