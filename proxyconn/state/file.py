"""Reads and writes the state: one SQLite file, which several processes may have open at once.

SQLite writes whole transactions or nothing, also when the process is killed in the middle. A file
that cannot be used is set aside under another name, never overwritten, and what could still be read
of it goes on in the new one.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from proxyconn.state.bounds import BOND, MOST
from proxyconn.state.facts import Fact, Key

FILE = "state.db"
VERSION = 1
"""Kept in the file's own `user_version`."""

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that is writing."""

LOOK_AGAIN = 0.01
"""Seconds between two attempts where SQLite itself does not wait."""

PRIMARY_CODE = 0xFF
"""The part of a result code that is not its extension (sqlite.org/rescode.html)."""

PRUNE_EVERY = 500
"""Writes between two looks for facts that are too many, by what several programs have put."""

_LOGGER = logging.getLogger(__name__)

_TABLE = """
CREATE TABLE IF NOT EXISTS facts (
    kind TEXT NOT NULL, radio TEXT NOT NULL, device TEXT NOT NULL,
    value TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (kind, radio, device)
) WITHOUT ROWID
"""


_TABLES = "SELECT name FROM sqlite_master"

_PRUNE = """
DELETE FROM facts WHERE (kind, radio, device) IN (
    SELECT kind, radio, device FROM (
        SELECT kind, radio, device, ROW_NUMBER() OVER (PARTITION BY kind ORDER BY at DESC) AS place
        FROM facts WHERE kind <> ?
    ) WHERE place > ?
)
"""
"""Keeps every fact of one kind, and of each other kind the newest."""


class StateError(Exception):
    """The state cannot be read or written; the text says what to do."""


class StateFile:
    """The file in a folder. Every method blocks: call them in a thread, in any.

    What is written first opens it, and `close` closes it.

    Args:
        folder: where it is; made when something is written first.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._writes = 0

    def read(self) -> dict[Key, Fact]:
        """Return every fact; none if there is no file yet.

        Raises:
            StateError: the file is there and cannot be opened, or the folder is not to be entered.
        """
        try:
            if not self.path.exists():
                return {}
            with closing(self._open()) as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version == VERSION:
                    return _facts(database)
                if version == 0 and not database.execute(_TABLES).fetchall():
                    # Another process is just about to write the first fact.
                    return {}
        except (OSError, sqlite3.OperationalError) as exc:
            raise self._not_ours(exc) from None
        except sqlite3.DatabaseError as exc:
            return self._set_aside(str(exc))
        return self._set_aside(f"it is of version {version}, and this is {VERSION}")

    def _not_ours(self, error: Exception) -> StateError:
        why = error.strerror if isinstance(error, OSError) else error
        return StateError(
            f"{self.path}: {why}; give this user the right to it, or name another folder"
        )

    def write(self, changes: Iterable[tuple[Key, Fact | None]], *, synced: bool = False) -> None:
        """Write facts, and remove those that are None; all of them or, on an error, none.

        Args:
            changes: what is another one now.
            synced: whether it is to outlive a loss of power, too, and not only this process.

        Raises:
            StateError: it cannot be written.
        """
        with self._lock:
            try:
                database = self._ready()
                database.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
                with database:
                    for key, fact in changes:
                        _change(database, key, fact)
                    if self._writes % PRUNE_EVERY == 0:
                        database.execute(_PRUNE, (BOND, MOST))
                self._writes += 1
            except (OSError, sqlite3.Error) as exc:
                self._close()
                raise StateError(
                    f"{self.path}: {exc}; give this user the right to write it, or name another "
                    "folder"
                ) from None

    def close(self) -> None:
        """Close the file; idempotent. What is written later opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._database:
            self._database.close()
            self._database = None

    def _ready(self) -> sqlite3.Connection:
        """Return the open file; another one if it was taken away or set aside meanwhile."""
        if self._database and self._opened == self._identity():
            return self._database
        self._close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What SQLite makes beside it has its mode. To close one that is there would drop the locks
        # that SQLite has in this process (sqlite.org/howtocorrupt.html 2.2).
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self.path.chmod(0o600)
        database = self._database = self._open()
        self._opened, self._writes = self._identity(), 0
        # Nobody may see the one without the other.
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {VERSION}")
        return database

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, check_same_thread=False)
        try:
            _use_wal(database)
            database.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _set_aside(self, why: str) -> dict[Key, Fact]:
        """Move a file away that cannot be used, and return what could be read of it.

        Raises:
            StateError: it cannot be moved.
        """
        saved: dict[Key, Fact] = {}
        try:
            with closing(self._open()) as database:
                for row in database.execute("SELECT kind, radio, device, value, at FROM facts"):
                    saved |= _fact(row)
        except sqlite3.Error as exc:
            _LOGGER.debug("%s: no more can be read: %s", self.path, exc)
        aside = self.path.with_name(f"{self.path.stem}.set-aside-{secrets.token_hex(3)}.db")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except FileNotFoundError:
            # Another process has set it aside just now, and goes on with what is in it.
            return saved
        except OSError as exc:
            raise self._not_ours(exc) from None
        _LOGGER.warning(
            "%s cannot be used: %s; it is kept as %s, and %d facts of it go on",
            self.path,
            why,
            aside.name,
            len(saved),
        )
        if saved:
            self.write(saved.items())
            self.close()
        return saved


def _use_wal(database: sqlite3.Connection) -> None:
    """Have it written ahead; raises sqlite3.Error.

    While another process begins or ends that, SQLite refuses at once, whatever its timeout.
    """
    until = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            busy = exc.sqlite_errorcode & PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(LOOK_AGAIN)
        else:
            return


def _change(database: sqlite3.Connection, key: Key, fact: Fact | None) -> None:
    names = (key.kind, key.radio, key.device)
    if fact is None:
        database.execute("DELETE FROM facts WHERE kind = ? AND radio = ? AND device = ?", names)
    else:
        database.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)",
            (*names, json.dumps(fact.value), fact.at),
        )


def _facts(database: sqlite3.Connection) -> dict[Key, Fact]:
    found: dict[Key, Fact] = {}
    for row in database.execute("SELECT kind, radio, device, value, at FROM facts"):
        found |= _fact(row)
    return found


def _fact(row: tuple[Any, ...]) -> dict[Key, Fact]:
    kind, radio, device, text, at = row
    try:
        return {Key(kind, radio, device): Fact(json.loads(text), float(at))}
    except (TypeError, ValueError) as exc:
        _LOGGER.debug("a fact cannot be read: %r: %s", row[:3], exc)
        return {}
