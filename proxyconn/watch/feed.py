"""The state of a fleet for readers: a snapshot, then events, each with time and number.

While nobody reads, only the log is kept. Events are bounded in rate and in number: a reader that
was away for too long is told so, and given a new snapshot.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.watch.changes import Table, table_changes
from proxyconn.watch.clock import WallClock
from proxyconn.watch.detail import device_detail
from proxyconn.watch.devices import Devices
from proxyconn.watch.encoding import encoded
from proxyconn.watch.picture import Clients, Picture, no_clients
from proxyconn.watch.record import Record
from proxyconn.watch.rows import Row

VERSION: Final = 1
"""Of the names and meanings in a snapshot; docs/api.md says what may change without a new one."""

EVERY: Final = 0.5
"""Seconds between two events about what is heard, at least."""

SOON: Final = 0.1
"""Seconds from a change of slots, links or radios to the event that tells of it, and for which a
snapshot need not look again."""

LINGER: Final = 30.0
"""Seconds for which changes are followed after the last reader has left, so that it may come back
and miss nothing."""

IDLE: Final = 15.0
"""Seconds without an event after which readers are told that nothing has happened."""

LOOK_EVERY: Final = 8
"""Events about what is heard between two looks at what nobody tells of, such as scan modes; the log
tells of alarms that have ripened."""

MOST_EVENTS: Final = 512
"""Events that are kept for readers that were away."""

MOST_BYTES: Final = 8 << 20
"""Characters of those events, all together."""

Changes = dict[str, dict[str, Row | None]]


class FeedClosedError(Exception):
    """The feed is closed: there is nothing to be seen any more."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a reader is told.

    Attributes:
        kind: `snapshot`, `change`, `missed`, or `idle` if nothing has happened for a while.
        id: what a reader that comes back names, to be told what came after.
        data: JSON text.
    """

    kind: str
    id: str
    data: str


class Feed:
    """Follows one fleet for any number of readers.

    Args:
        inspection: the inside of the fleet.
        clients: says who uses the fleet.
        about: what a snapshot says of the program itself.

    Attributes:
        inspection: as given.
        clock: makes times of the loop's seconds.
        client_rows: says who uses the fleet.
        record: the log.
        sequence: number of the last event.
    """

    def __init__(
        self,
        inspection: Inspection,
        clients: Clients = no_clients,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.inspection = inspection
        self._loop = inspection.loop
        self.clock = WallClock(self._loop)
        self.client_rows = clients
        self._about = dict(about or {})
        self._epoch = secrets.token_hex(4)
        self.record = Record(inspection, self.clock)
        self._devices = Devices(inspection, self.clock)
        self._picture = Picture(inspection, self.clock, clients)
        self._tables: dict[str, Table] = {}
        self.sequence = 0
        self._events: deque[Message] = deque()
        self._first_event = 1
        self._bytes = 0
        self._news: list[Row] = []
        self._readers = 0
        self._read_at = 0.0
        self._awake = False
        self._radios_changed = False
        self._ticks = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._urgent: asyncio.TimerHandle | None = None
        self._looked_at = -SOON
        self._unregister: list[Callable[[], None]] = []

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    @property
    def is_awake(self) -> bool:
        """Whether changes are followed: somebody reads, or has read lately."""
        return self._awake

    def close(self) -> None:
        """End every reader's stream, and follow nothing more; idempotent."""
        self._closed = True
        self._sleep()
        self.record.close()
        self._tell()

    def hurry(self) -> None:
        """Something has changed that readers should know of soon, such as the clients."""
        if self._awake and not self._urgent:
            self._urgent = self._loop.call_later(SOON, self._look_around)

    # Readers

    def snapshot(self) -> Row:
        """Return everything, and the number of the last event that is part of it.

        It is as of SOON ago at the latest, what is heard as of EVERY ago: those who ask make no
        more events than there are without them.

        Raises:
            FeedClosedError: the feed is closed.
        """
        if self._closed:
            raise FeedClosedError("the fleet is not followed any more")
        self._wake()
        if self._loop.time() - self._looked_at >= SOON:
            self._look_around()
        return {
            "version": VERSION,
            "id": self._id(self.sequence),
            "sequence": self.sequence,
            "time": self.clock.now(),
            "about": self._about,
            **self._tables,
            "devices": self._devices.devices,
            "heard": self._devices.heard,
            # What is told with the next event is no part of it yet.
            "log": list(self.record.entries)[: max(len(self.record.entries) - len(self._news), 0)],
        }

    def device(self, address: str) -> Row | None:
        """Return all that is known of one device; None if nothing is."""
        return device_detail(self.inspection, self._picture, self.clock, address)

    async def follow(self, after: str | None = None) -> AsyncGenerator[Message, None]:
        """Yield what happens: a snapshot and then events, until the feed is closed.

        Args:
            after: id of the last message that the reader has; None for none. If what came after is
                still known, there is no snapshot.
        """
        self._readers += 1
        try:
            self._wake()
            sequence = self._known(after)
            missed = after if sequence is None else None
            while not self._closed:
                if missed:
                    yield self._missed(missed)
                    missed = None
                elif sequence is None:
                    snapshot, sequence = self._snapshot_message(), self.sequence
                    yield snapshot
                elif sequence + 1 < self._first_event:
                    missed, sequence = self._id(sequence), None
                elif sequence < self.sequence:
                    event = self._events[sequence + 1 - self._first_event]
                    sequence += 1
                    yield event
                elif not await self._something():
                    yield Message("idle", self._id(sequence), "{}")
        finally:
            self._readers -= 1
            self._read_at = self._loop.time()

    async def _something(self) -> bool:
        """Wait for the next event, or the end; False if there is none for IDLE seconds."""
        try:
            async with asyncio.timeout(IDLE):
                return await self._changed.wait()
        except TimeoutError:
            return False

    def _known(self, after: str | None) -> int | None:
        """Return the number that an id means, if everything since is still known."""
        epoch, _, number = (after or "").partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdecimal()):
            return None
        sequence = int(number)
        return sequence if self._first_event - 1 <= sequence <= self.sequence else None

    def _id(self, sequence: int) -> str:
        return f"{self._epoch}-{sequence}"

    def _snapshot_message(self) -> Message:
        data = encoded(self.snapshot())
        return Message("snapshot", self._id(self.sequence), data)

    def _missed(self, after: str) -> Message:
        told = {"after": after, "oldest": self._id(self._first_event - 1)}
        return Message("missed", self._id(self.sequence), encoded(told))

    # Following

    def _wake(self) -> None:
        self._read_at = self._loop.time()
        if self._awake or self._closed:
            return
        self._awake = True
        # Nobody knows what has happened since: whoever comes back has missed it.
        self.sequence += 1
        self._first_event = self.sequence + 1
        inspection = self.inspection
        self._unregister = [
            inspection.register_reports_callback(self._devices.take),
            inspection.register_slots_callback(self.hurry),
            inspection.register_state_callback(self._on_state),
            inspection.journal.callbacks.register(lambda connect, step: self.hurry()),
            self.record.callbacks.register(self._on_entry),
        ]
        self._devices.begin()
        self._tables = self._picture.tables()
        self._news.clear()
        self._timer = self._loop.call_later(EVERY, self._tick)

    def _sleep(self) -> None:
        self._awake = False
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        for timer in (self._timer, self._urgent):
            if timer:
                timer.cancel()
        self._timer = self._urgent = None
        self._events.clear()
        self._bytes = 0
        self._first_event = self.sequence + 1
        self._devices.end()
        self._tables = {}

    def _on_state(self) -> None:
        self._radios_changed = True
        self.hurry()

    def _on_entry(self, entry: Row) -> None:
        self._news.append(entry)
        self.hurry()

    def _tick(self) -> None:
        if not self._readers and self._loop.time() - self._read_at >= LINGER:
            self._sleep()
            return
        self._timer = self._loop.call_later(EVERY, self._tick)
        self._ticks += 1
        around = self._urgent or self._ticks % LOOK_EVERY == 0
        self._add((self._around() if around else {}) | self._heard())

    def _look_around(self) -> None:
        """Look at everything but what is heard, and make an event of what has changed."""
        self._add(self._around())

    def _around(self) -> Changes:
        """Return what has changed but for what is heard."""
        self._looked_at = self._loop.time()
        if self._urgent:
            self._urgent.cancel()
            self._urgent = None
        changes: Changes = {}
        for name, after in self._picture.tables().items():
            changes[name] = table_changes(self._tables[name], after)
            self._tables[name] = after
        return changes

    def _heard(self) -> Changes:
        """Return what has changed of what is heard."""
        changes: Changes = {}
        if self._radios_changed:
            self._radios_changed = False
            changes = self._devices.radios_changed()
        for name, heard in self._devices.changes().items():
            table: dict[str, Row | None] = changes.setdefault(name, {})
            for key, row in heard.items():
                known = table.get(key)
                table[key] = {**known, **row} if known and row else row
        return changes

    def _add(self, changes: Changes) -> None:
        """Make an event of changes and of the new entries of the log, if there are any."""
        changes = {name: table for name, table in changes.items() if table}
        if not changes and not self._news:
            return
        news, self._news = self._news, []
        self.sequence += 1
        event = {
            "sequence": self.sequence,
            "time": self.clock.now(),
            "changes": changes,
            "log": news,
        }
        data = encoded(event)
        self._events.append(Message("change", self._id(self.sequence), data))
        self._bytes += len(data)
        while len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._bytes -= len(self._events.popleft().data)
            self._first_event += 1
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
