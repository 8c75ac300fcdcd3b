"""Keeps who the owner is: its key, its MAC address, and which port each mirrored radio has."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxyconn import InvalidKeyError
from proxyconn.keys import KEY_BYTES, check_key, is_open_to_others
from proxyconn.state.file import StateError

FILE: Final = "owner.json"
VERSION: Final = 1

LOCALLY_ADMINISTERED: Final = 0x02
"""Bit of a MAC address that no manufacturer gave out (IEEE 802, clause 8.2)."""

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Identity:
    """Who an owner is to its clients.

    Attributes:
        noise_psk: its key, base64 of 32 bytes.
        mac: its MAC address, six colon-separated hex octets; locally administered.
        places: radio -> which of the ports behind the first one is its own, from 1.
    """

    noise_psk: str = field(repr=False)
    mac: str
    places: dict[str, int] = field(default_factory=dict)

    def mac_for(self, radio: str) -> str:
        """Return the MAC address of a mirrored radio, always the same one."""
        digest = hashlib.sha256(f"{self.mac} {radio}".encode()).digest()
        return _local_mac(digest[:6])

    def place_of(self, radio: str) -> int:
        """Return the place of a radio among the mirrored ones; a new one gets the next free."""
        if radio not in self.places:
            taken = set(self.places.values())
            self.places[radio] = next(n for n in range(1, len(taken) + 2) if n not in taken)
        return self.places[radio]


class UnusableStateError(StateError):
    """What is kept is damaged, or of another version."""


def read_identity(folder: Path) -> Identity | None:
    """Return who the owner is, as it is kept; None if nothing is. Changes nothing.

    Raises:
        UnusableStateError: the file is damaged, or of another version.
        StateError: it cannot be read.
    """
    file = folder / FILE
    try:
        identity = _parsed(json.loads(file.read_text(encoding="utf-8")))
        if is_open_to_others(file.stat().st_mode):
            _LOGGER.warning(
                "%s: others can read it, and the key in it; run: chmod 600 %s", file, file
            )
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _no_right(file, "read", exc) from None
    except (ValueError, KeyError, TypeError, AttributeError, InvalidKeyError) as exc:
        raise UnusableStateError(f"{file} cannot be used ({type(exc).__name__})") from None
    return identity


def load_identity(folder: Path) -> tuple[Identity, str | None]:
    """Return who the owner is, made anew on the first start; and what was wrong with the file.

    A file that cannot be used is set aside under another name, never overwritten. To be called by
    the only owner.

    Raises:
        StateError: the folder or the file cannot be read or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _no_right(folder, "made", exc) from None
    try:
        return read_identity(folder) or _made(folder), None
    except UnusableStateError as exc:
        why = str(exc)
    file = folder / FILE
    aside = file.with_suffix(f".set-aside-{secrets.token_hex(3)}.json")
    try:
        file.rename(aside)
    except OSError as exc:
        raise StateError(
            f"{why}, and not be set aside: {exc.strerror}; give this user the right to write "
            f"{folder}, or choose another folder with --state"
        ) from None
    return _made(folder), f"{why}; it is kept as {aside.name}, and a new key was made"


def save_identity(folder: Path, identity: Identity) -> None:
    """Write the state atomically, for this user alone.

    Raises:
        StateError: it cannot be written.
    """
    text = json.dumps(
        {
            "version": VERSION,
            "noise_psk": identity.noise_psk,
            "mac": identity.mac,
            "places": identity.places,
        },
        indent=1,
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=f".{FILE}.", delete=False
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(folder / FILE)
    except OSError as exc:
        raise _no_right(folder, "written", exc) from None


def with_places(folder: Path, identity: Identity, radios: Iterable[str]) -> None:
    """Give every radio its place, and keep new ones.

    Raises:
        StateError: they cannot be kept; no radio has a new place then.
    """
    before = dict(identity.places)
    for radio in radios:
        identity.place_of(radio)
    if identity.places == before:
        return
    try:
        save_identity(folder, identity)
    except StateError:
        identity.places = before
        raise


def _no_right(what: Path, done: str, exc: OSError) -> StateError:
    return StateError(
        f"{what}: cannot be {done}: {exc.strerror}; give this user the right to, or choose "
        "another folder with --state"
    )


def _made(folder: Path) -> Identity:
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    identity = Identity(key, _local_mac(secrets.token_bytes(6)))
    save_identity(folder, identity)
    return identity


def _parsed(value: Any) -> Identity:
    if value["version"] != VERSION:
        raise ValueError("another version")
    key, mac = value["noise_psk"], value["mac"]
    places = {str(name): int(place) for name, place in value["places"].items()}
    check_key(key, FILE)
    if len(bytes.fromhex(mac.replace(":", ""))) != 6 or len(set(places.values())) != len(places):
        raise ValueError("not what was written")
    return Identity(key, mac, places)


def _local_mac(octets: bytes) -> str:
    first = (octets[0] & 0xFC) | LOCALLY_ADMINISTERED
    return bytes([first, *octets[1:6]]).hex(":").upper()
