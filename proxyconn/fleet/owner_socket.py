"""Where this user's owner (`proxyconn serve`) is to be found, and what it says there.

Both ends are written here: the owner says one JSON object a line, and its programs read it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from platformdirs import user_runtime_path, user_state_path

RUNTIME_VARIABLE = "RUNTIME_DIRECTORY"
"""Environment variable in which systemd names a service's runtime folder (systemd.exec(5))."""

USERS_VARIABLE = "XDG_RUNTIME_DIR"
"""Environment variable in which a login names the user's runtime folder."""

SOCKET = "owner.sock"

OWNER_PATH = "/api/v1/owner"
"""What is asked for on the socket, as a path of HTTP."""

VERSION = 1
"""Of what is said there."""

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where an owner serves one radio to its programs.

    Attributes:
        host, port: on the loopback interface.
        mac: the MAC address that it has there.
        key: the encryption key, base64, for this run of the owner.
    """

    host: str
    port: int
    mac: str
    key: str


@dataclass(frozen=True, slots=True)
class LentRadio:
    """What an owner says of one radio.

    Attributes:
        name: its name.
        state: its `RadioState`, as text: a later owner may know more of them.
        problem: what is wrong with it, if anything.
        behind: host and port where it really is; None for what has no address.
        adapter: whether it is a local adapter.
        connectable: whether connections can be made through it.
        place: where it is served; None while it cannot be used.
    """

    name: str
    state: str
    problem: str | None
    behind: tuple[str, int] | tuple[None, None]
    adapter: bool
    connectable: bool
    place: Place | None = None

    def row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told: dict[str, Any] = {
            "name": self.name,
            "state": self.state,
            "problem": self.problem,
            "behind": list(self.behind),
            "adapter": self.adapter,
            "connectable": self.connectable,
        }
        if at := self.place:
            told |= {"host": at.host, "port": at.port, "mac": at.mac, "key": at.key}
        return told

    @classmethod
    def of_row(cls, row: Any) -> Self:
        """Return what JSON says. Raises AttributeError, KeyError, TypeError, ValueError."""
        host, port = row["behind"]
        lent = "key" in row
        return cls(
            name=row["name"],
            state=row["state"],
            problem=row["problem"],
            behind=(host, port),
            # Owners of before do not say it, and had nothing else without an address.
            adapter=bool(row.get("adapter", host is None)),
            connectable=row["connectable"],
            place=Place(row["host"], row["port"], row.get("mac", ""), row["key"]) if lent else None,
        )


@dataclass(frozen=True, slots=True)
class OwnerSays:
    """What an owner says at one moment.

    Attributes:
        pid: number of its process.
        radios: every radio that it has.
    """

    pid: int
    radios: tuple[LentRadio, ...]

    def row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"version": VERSION, "pid": self.pid, "radios": [one.row() for one in self.radios]}

    @classmethod
    def of_row(cls, told: Any) -> Self:
        """Return what JSON says. Raises ValueError if that is not what an owner says."""
        try:
            if told["version"] != VERSION:
                raise ValueError(
                    f"the owner speaks version {told['version']}, not {VERSION}; update one"
                )
            return cls(told["pid"], tuple(LentRadio.of_row(one) for one in told["radios"]))
        except (AttributeError, KeyError, TypeError) as exc:
            raise ValueError(f"not what an owner says: {exc!r}") from None
