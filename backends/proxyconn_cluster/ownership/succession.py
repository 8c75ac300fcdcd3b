"""Proves that the run of an owner before this one is gone: by the lock that it held while it lived.

Its leases are then ours at once, where those of any other owner that says nothing have to run out.
The proof is a lock on one file of one kernel: the system lets go of it once nothing of the process
is left, and one that is stopped keeps it. Whoever has copied the folder, or comes from another boot
or machine, has no proof.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

FILE: Final = "cluster-owner.json"
"""In the state folder: locked while an owner runs, and says which."""

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux: another one after each start of the kernel (random(4))."""

MOST_BYTES: Final = 4096

_LOGGER = logging.getLogger(__name__)


@dataclass
class Succession:
    """The lock of this run, and who had it before.

    Attributes:
        predecessor: id of the owner that ran before, from this folder, and is gone; None if there
            was none, or that cannot be proved.
    """

    predecessor: str | None
    _file: IO[str] | None
    _before: str = ""

    def end(self) -> None:
        """Let go of the lock, after all that was ours; idempotent. Who comes next succeeds us."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def give_up(self) -> None:
        """End what has not begun: who comes next succeeds whoever we were to."""
        self._end_with(self._before)

    def leave(self) -> None:
        """End with nothing of ours left: who comes next succeeds nobody."""
        self._end_with("")

    def _end_with(self, text: str) -> None:
        try:
            if self._file is not None:
                self._file.truncate(0)
                self._file.write(text)
                self._file.flush()
        except OSError as exc:
            _LOGGER.debug("who ran before is not written down: %s", exc)
        finally:
            self.end()


def succeed(folder: Path, owner: str) -> Succession:
    """Follow whoever ran from a folder before; reads and writes files.

    Args:
        folder: where the owner's state is kept.
        owner: its id in this run.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / FILE).open("a+", encoding="utf-8")
    except OSError as exc:
        _LOGGER.debug("%s: nobody's leases are taken over: %s", folder, exc)
        return Succession(None, None)
    try:
        before, predecessor = _exchange(file, owner)
        return Succession(predecessor, file, before)
    except (OSError, ValueError) as exc:
        # Another run may have the lock: two of one folder are two owners like any other two.
        _LOGGER.debug("%s: nobody's leases are taken over: %s", folder, exc)
        file.close()
        return Succession(None, None)


def _exchange(file: IO[str], owner: str) -> tuple[str, str | None]:
    """Lock a file, write down who we are; return what was there, and who has done so before us.

    Raises:
        OSError: somebody else has it, or it cannot be written.
        ValueError: what is in it is no text.
    """
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.seek(0)
    before, here = file.read(MOST_BYTES), _here(file)
    file.truncate(0)
    if here is None:
        return "", None
    file.write(json.dumps({"owner": owner, **here}))
    file.flush()
    return before, _predecessor(before, here)


def _here(file: IO[str]) -> dict[str, Any] | None:
    """Return what tells this file, under this kernel, from any copy of it; None if nothing does."""
    try:
        boot = BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    status = os.fstat(file.fileno())
    return {"boot": boot, "device": status.st_dev, "inode": status.st_ino}


def _predecessor(text: str, here: dict[str, Any]) -> str | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    owner = found.get("owner") if isinstance(found, dict) else None
    return owner if isinstance(owner, str) and found == {"owner": owner, **here} else None
