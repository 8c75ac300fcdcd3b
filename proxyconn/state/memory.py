"""Remembers facts, and writes them to the file: bonds before they are told, the rest soon."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any, ParamSpec

from proxyconn.state.bounds import REFRESH_AFTER, too_old
from proxyconn.state.facts import Fact, Key, Memory
from proxyconn.state.file import StateError, StateFile
from proxyconn.state.folder import state_folder
from proxyconn.state.runs import Runs

WRITE_AFTER = 5.0
"""Seconds for which a change may wait to be written: what a process that is killed may lose."""

WRITE_SOON = 0.02
"""Seconds for which one may that matters more: no device answers a request for a link sooner (it
advertises every 20 ms at most often, Core Specification vol 6 B 4.4.2.2). What is put and dropped
within is never written."""

RETRY_AFTER = 60.0
"""Seconds after which what could not be written is tried again."""

SAVED_WITHIN = 2.0
"""Seconds that somebody waits for a change to be written, at most: it is written later then."""

_LOGGER = logging.getLogger(__name__)

P = ParamSpec("P")


class FileMemory:
    """What is remembered.

    Args:
        file: where it is kept; None to forget it with the process.
    """

    def __init__(self, file: StateFile | None = None) -> None:
        self._file = file
        self._runs = Runs(file.path.parent if file else None)
        self._facts: dict[Key, Fact] = {}
        self._changed: dict[Key, Fact | None] = {}
        self._stored: dict[Key, float] = {}
        self._counts: Counter[str] = Counter()
        self._closing = self._failing = self._synced = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read what is known from before; what cannot be read is said in the log."""
        if self._file is None:
            return
        try:
            self._facts = await asyncio.to_thread(self._file.read)
        except StateError as exc:
            _LOGGER.warning("going without what was remembered: %s", exc)
            self._file = None
            return
        self._stored = {key: fact.at for key, fact in self._facts.items()}
        self._counts = Counter(key.kind for key in self._facts)
        await self._runs.open()

    async def aclose(self) -> None:
        """Write what has changed, and end this run; idempotent."""
        self._closing, self._failing = True, False
        self._stop_timer()
        while not self._failing and (writing := self._write_under_way()):
            await asyncio.wait([writing])
        await self._runs.aclose()
        if self._file:
            await _in_thread(self._file.close)

    @property
    def run(self) -> str:
        """Name of this run, by which later ones know what it has put."""
        return self._runs.me

    def silence(self, run: str) -> float | None:
        """Return for how many seconds a run has been dead at most; None while it lives."""
        return self._runs.silence(run)

    def get(self, kind: str, radio: str = "", device: str = "") -> Any:
        """Return what is known about something; None if nothing is."""
        fact = self._facts.get(Key(kind, radio, device))
        return None if fact is None else fact.value

    def age(self, kind: str, radio: str = "", device: str = "") -> float:
        """Return how many seconds ago something was put; infinite if it is not known."""
        fact = self._facts.get(Key(kind, radio, device))
        return inf if fact is None else max(0.0, time.time() - fact.at)

    def facts(self, kind: str) -> Iterator[tuple[Key, Any, float]]:
        """Yield every fact of a kind: key, value, and how many seconds old it is."""
        now = time.time()
        for key, fact in list(self._facts.items()):
            if key.kind == kind:
                yield key, fact.value, max(0.0, now - fact.at)

    def put(
        self,
        kind: str,
        radio: str = "",
        device: str = "",
        *,
        value: Any = True,
        soon: bool = False,
    ) -> None:
        """Remember something; the oldest of its kind goes if they are too many.

        Args:
            kind: which sort of fact.
            radio: identity of the radio that it is about.
            device: address of the device that it is about.
            value: what can be written as JSON.
            soon: whether it matters enough to be written within a fraction of a second.
        """
        key, fact = Key(kind, radio, device), Fact(value, time.time())
        old = self._facts.get(key)
        self._facts[key] = fact
        if old is None:
            self._counts[kind] += 1
            for one in too_old(self._facts, kind, self._counts[kind]):
                self.drop(*one)
        in_time = fact.at - self._stored.get(key, fact.at) < REFRESH_AFTER
        if old is None or old.value != value or not in_time:
            self._change(key, fact, soon=soon)

    def drop(self, kind: str, radio: str = "", device: str = "", *, soon: bool = False) -> None:
        """Forget something; harmless if it is not known."""
        key = Key(kind, radio, device)
        if self._facts.pop(key, None) is None:
            return
        self._counts[kind] -= 1
        if key in self._stored:
            self._change(key, None, soon=soon)
        else:
            self._changed.pop(key, None)

    def _change(self, key: Key, fact: Fact | None, *, soon: bool) -> None:
        if self._file is None:
            return
        self._changed[key] = fact
        if not self._failing:
            self._later(WRITE_SOON if soon else WRITE_AFTER)

    async def saved(self) -> None:
        """Wait until what is known now outlives a loss of power, for SAVED_WITHIN at most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SAVED_WITHIN
        self._synced = True
        while (left := until - loop.time()) > 0 and (writing := self._write_under_way()):
            await asyncio.wait([writing], timeout=left)
            if writing.done() and self._failing:
                return

    async def other_run(self, kind: str, radio: str = "", device: str = "") -> str | None:
        """Return the run that the value names, as it is kept now, if it is another that lives."""
        if self._file is None:
            return None
        key = Key(kind, radio, device)
        return await asyncio.to_thread(self._other_run, self._file, key)

    def _other_run(self, file: StateFile, key: Key) -> str | None:
        try:
            fact = file.read().get(key)
        except (StateError, OSError) as exc:
            _LOGGER.debug("what other runs know is not known: %s", exc)
            return None
        run = fact.value.get("run") if fact and isinstance(fact.value, dict) else None
        return run if isinstance(run, str) and self._runs.lives(run) else None

    # Writing

    def _later(self, seconds: float) -> None:
        """Write in some time, unless it is done sooner anyway."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._closing or (self._timer and self._timer.when() <= when):
            return
        self._stop_timer()
        self._timer = loop.call_at(when, self._due)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._write_under_way()

    def _write_under_way(self) -> asyncio.Task[None] | None:
        """Return the write that is under way, which may be a new one; None if there is no need."""
        if self._writing is None or self._writing.done():
            if self._file is None or not self._changed:
                return None
            self._stop_timer()
            self._writing = asyncio.get_running_loop().create_task(self._write(self._file))
        return self._writing

    async def _write(self, file: StateFile) -> None:
        changes, self._changed = self._changed, {}
        synced, self._synced = self._synced, False
        for key, fact in changes.items():
            if fact is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = fact.at
        try:
            await _in_thread(self._write_now, file, changes, synced)
        except (StateError, OSError) as exc:
            _LOGGER.log(
                logging.DEBUG if self._failing else logging.WARNING, "not remembered yet: %s", exc
            )
            self._failing = True
            # Some of it may be there.
            self._stored |= {key: fact.at if fact else 0.0 for key, fact in changes.items()}
            self._changed = {**changes, **self._changed}
            self._later(RETRY_AFTER)
            return
        self._failing = False
        if not self._closing:
            self._runs.watch()
        if self._changed:
            self._later(WRITE_SOON)

    def _write_now(self, file: StateFile, changes: dict[Key, Fact | None], synced: bool) -> None:
        # Whoever finds what this run has put must see that it lives.
        if not self._closing:
            self._runs.begin()
        file.write(changes.items(), synced=synced)


async def _in_thread(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    call = functools.partial(function, *args, **kwargs)
    try:
        await asyncio.to_thread(call)
    except RuntimeError:
        # The interpreter is ending, and starts no more threads.
        call()


Choice = bool | str | Path | None
"""Where to remember: True for this user's folder, another's path, False or None for nowhere."""


async def remembered(choice: Choice) -> FileMemory:
    """Return the state, with what is known from before."""
    if choice is None or choice is False:
        return FileMemory()
    folder = state_folder(None if choice is True else choice)
    state = FileMemory(StateFile(folder))
    await state.open()
    return state


_memory_fits: type[Memory] = FileMemory
