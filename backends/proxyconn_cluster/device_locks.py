"""Keeps a device from being held twice: an entry for each, made before its link is asked for.

The entry is made by compare-and-set: of two owners that want one device at once, one has it. It
says whose it is; that of a member that has gone is taken over by whoever needs it next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from proxyconn.callbacks import log_failure
from proxyconn.errors import ErrorKind, LinkError, RadioUnavailableError
from proxyconn_cluster.bus.cancelling import cancelled
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import Message, MessageError, decode, encode
from proxyconn_cluster.bus.subjects import address_token
from proxyconn_cluster.members import Members

HANDOVER: Final = 0.5
"""Seconds for an entry to go whose device has just been let go."""

LOOK_AGAIN: Final = 0.03
"""Seconds between two looks meanwhile."""

ANSWERS_WITHIN: Final = 2.0
"""Seconds within which the store answers, or it is not there."""

FORGOTTEN_AFTER: Final = 24 * 3600.0
"""Seconds after which the store forgets an entry, and what is left of one that was taken out:
devices that change their addresses would fill it."""

RENEWED_EVERY: Final = FORGOTTEN_AFTER / 4
"""Seconds between two renewals of what is held."""

CONFIRM_EVERY: Final = 1.0
"""Seconds between two tries to enter what could not be entered."""

MOST_LEFT: Final = 4096
"""Entries that are to be taken out once the store is there: a program may never be let into it."""

TROUBLES: Final = (nats.errors.Error, JetStreamError, ClusterError, TimeoutError, OSError)

_LOGGER = logging.getLogger(__name__)


class Held(Message, frozen=True, kw_only=True):
    """The entry of a device.

    Attributes:
        run: of whose it is, with the sender's name.
        radio: identity of the radio.
    """

    run: str
    radio: str


@dataclass(eq=False)
class _Hold:
    """What we hold.

    Attributes:
        radio: identity of the radio.
        revision: of the entry; None while it could not be made.
        turn: how often it was held anew: what let an earlier turn go does not end this one.
    """

    radio: str
    revision: int | None = None
    turn: int = 0


class DeviceLocks:
    """The devices that we hold.

    Args:
        members: who is there.
        lose: called with the address of a device that turned out to be another one's.
        is_linked: says whether a radio, by its identity, has a slot for a device; None if nobody
            here knows.
    """

    def __init__(
        self,
        members: Members,
        lose: Callable[[str], Awaitable[None]],
        is_linked: Callable[[str, str], bool | None] = lambda radio, address: None,
    ) -> None:
        self._members = members
        self._bus = members.bus
        self._lose = lose
        self._is_linked = is_linked
        self._holds: dict[str, _Hold] = {}
        self._left: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._bucket: KeyValue | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._confirming: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._unregister: Callable[[], None] | None = None

    @property
    def addresses(self) -> list[str]:
        """The devices."""
        return list(self._holds)

    def start(self) -> None:
        """Mind the connection. The store is asked for nothing: a program may not be let into it."""
        self._unregister = self._bus.register_state_callback(self._connection_changed)
        self._renewing = asyncio.get_running_loop().create_task(self._renew())
        self._renewing.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Let every device go; idempotent."""
        if self._unregister:
            self._unregister()
            self._unregister = None
        await self._rest()
        for address in self.addresses:
            self.let_go(address)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # What could not be let go has had it confirmed again.
        await self._rest()

    async def _rest(self) -> None:
        await cancelled(task for task in (self._confirming, self._renewing) if task)

    async def hold(self, address: str, radio: str, timeout: float) -> None:
        """Hold a device, or learn that somebody else has it.

        Where the store is not to be reached the device is held all the same, and entered later: a
        site that is cut off goes on. Not for somebody else: who has asked is likely to be where the
        store is, and to ask another owner next.

        Raises:
            LinkError: somebody else has it (kind IN_USE).
            RadioUnavailableError: it is for somebody else, and the store is not to be reached.
        """
        async with self._lock(address):
            if known := self._holds.get(address):
                known.radio, known.revision = radio, None
            hold = self._holds[address] = known or _Hold(radio)
            hold.turn += 1
            try:
                hold.revision = await self._enter(address, radio, HANDOVER, timeout)
            except LinkError:
                self._holds.pop(address, None)
                raise
            except TROUBLES as exc:
                self._bucket = None
                if self._members.lends and self._members.lends(address):
                    self._spawn(self._leave(address, hold.turn))
                    why = exc or "the store does not answer"
                    raise RadioUnavailableError(f"{address}: it may be held: {why}") from None
                _LOGGER.warning("%s: held without the cluster's knowledge: %s", address, exc)
                self._confirm()
            except BaseException:
                # It may have been entered: the entry goes as that of any device that is let go.
                self._spawn(self._leave(address, hold.turn))
                raise

    def let_go(self, address: str) -> None:
        """Let others have a device; harmless if it is not held."""
        if hold := self._holds.get(address):
            self._spawn(self._leave(address, hold.turn))

    async def check(self) -> None:
        """See that every device is still ours, as after a sleep; end what is not."""
        for hold in self._holds.values():
            hold.revision = None
        await self._confirm_all()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWED_EVERY)
            await self.check()

    # The entries

    async def _store(self) -> KeyValue:
        if self._bucket is None:
            subjects = self._bus.subjects
            self._bucket = await self._bus.bucket(subjects.bucket("held"), FORGOTTEN_AFTER)
        return self._bucket

    async def _enter(
        self, address: str, radio: str, wait: float, timeout: float, *, linked: bool = False
    ) -> int:
        """Make the entry and return its revision.

        Args:
            address, radio: what it says.
            wait: seconds for one who is there to let the device go.
            timeout: seconds for one who says nothing any more to be gone.
            linked: whether we have the link already.

        Raises:
            LinkError: it is another one's (kind IN_USE).
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        until, at_most = now + min(wait, timeout), now + timeout
        value = encode(Held(sender=self._members.name, run=self._members.run, radio=radio))
        # Who has the link knows that nobody else has it.
        gone_since = float("-inf") if linked else None
        while True:
            now = loop.time()
            patient = gone_since is None or now < gone_since + self._members.lease
            async with asyncio.timeout(min(timeout, ANSWERS_WITHIN)):
                made = await self._try_to_enter(address, value, patient=patient)
            if isinstance(made, int):
                return made
            if gone_since is None and not self._members.is_there(made.sender, made.run):
                gone_since = now
            silent = self._members.may_go(made.sender, made.run)
            if now >= (at_most if silent else until):
                raise LinkError(
                    f"{address}: {made.sender} has it connected, or connects to it",
                    kind=ErrorKind.IN_USE,
                )
            await asyncio.sleep(LOOK_AGAIN)

    async def _try_to_enter(self, address: str, value: bytes, *, patient: bool) -> int | Held:
        """Return the revision of the entry that was made, or the one that stands in its way.

        That of a member that has gone stands in nobody's way, unless we are patient and its proxy
        may still have the link: nobody has taken it over yet, or it says so.
        """
        store, key = await self._store(), address_token(address)
        while True:
            with contextlib.suppress(KeyWrongLastSequenceError):
                return await store.create(key, value)
            with contextlib.suppress(KeyWrongLastSequenceError, KeyNotFoundError):
                entry = await store.get(key)
                held = self._of_another(entry.value)
                if held and self._members.is_there(held.sender, held.run):
                    return held
                if held and patient and self._is_linked(held.radio, address) is not False:
                    return held
                return await store.update(key, value, last=entry.revision)

    def _of_another(self, value: bytes | None) -> Held | None:
        """Return an entry that is not ours; None if it is, or says nothing."""
        try:
            held = decode(value or b"", Held)
        except MessageError:
            return None
        ours = (held.sender, held.run) == (self._members.name, self._members.run)
        return None if ours else held

    async def _leave(self, address: str, turn: int) -> None:
        async with self._lock(address):
            hold = self._holds.get(address)
            if hold is None or hold.turn != turn:
                return
            del self._holds[address]
            if not await self._take_out(address, hold.revision) and len(self._left) < MOST_LEFT:
                self._left.add(address)
                self._confirm()

    async def _take_out(self, address: str, revision: int | None = None) -> bool:
        """Take out an entry, if it is ours; return whether there is none of ours now."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                store, key = await self._store(), address_token(address)
                if revision is None:
                    entry = await store.get(key)
                    if self._of_another(entry.value):
                        return True
                    revision = entry.revision
                await store.delete(key, last=revision)
        except KeyNotFoundError:
            return True
        except TROUBLES as exc:
            _LOGGER.debug("%s: the entry is not taken out yet: %s", address, exc)
            return False
        return True

    def _lock(self, address: str) -> asyncio.Lock:
        if len(self._locks) > 4 * len(self._holds) + 64:
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
        return self._locks.setdefault(address, asyncio.Lock())

    # What could not be entered, or may have been lost

    def _connection_changed(self) -> None:
        self._bucket = None
        for hold in self._holds.values():
            # The store may have been lost with its server.
            hold.revision = None
        if self._holds:
            self._confirm()

    def _confirm(self) -> None:
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.get_running_loop().create_task(self._keep_confirming())
            self._confirming.add_done_callback(log_failure)

    async def _keep_confirming(self) -> None:
        while self._left or any(hold.revision is None for hold in self._holds.values()):
            await asyncio.sleep(CONFIRM_EVERY)
            await self._confirm_all()
            await self._take_out_left()

    async def _take_out_left(self) -> None:
        for address in list(self._left):
            async with self._lock(address):
                anew = address in self._holds
                if not anew and not (self._bus.connected and await self._take_out(address)):
                    # Others would be of no more use now.
                    self._bucket = None
                    return
                self._left.discard(address)

    async def _confirm_all(self) -> None:
        for address in self.addresses:
            if await self._confirm_one(address):
                continue
            await self._lose(address)

    async def _confirm_one(self, address: str) -> bool:
        """Enter a device, unless it is entered; return whether it may still be ours."""
        async with self._lock(address):
            hold = self._holds.get(address)
            if hold is None or hold.revision is not None or not self._bus.connected:
                return True
            try:
                hold.revision = await self._enter(
                    address, hold.radio, 0.0, ANSWERS_WITHIN, linked=True
                )
            except LinkError as exc:
                _LOGGER.warning("%s; our link is given up", exc)
                self._holds.pop(address, None)
                return False
            except TROUBLES as exc:
                _LOGGER.debug("%s: not entered yet: %s", address, exc)
                self._bucket = None
            return True

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)
