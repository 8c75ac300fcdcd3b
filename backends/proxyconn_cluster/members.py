"""Who is in the cluster, each with its radios: heard of, and told of ourselves.

Owners speak on subjects of their own, which a server lets no program speak on; what is said
elsewhere is no owner's word, and gives nobody radios.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace
from nats.aio.msg import Msg

from proxyconn.callbacks import Callbacks, log_failure
from proxyconn.radio import ScanWish
from proxyconn_cluster.bus.connection import Bus, Subscribed
from proxyconn_cluster.bus.messages import MessageError, OtherVersionError, decode, encode
from proxyconn_cluster.bus.refused import Refused
from proxyconn_cluster.bus.subjects import Kind, token
from proxyconn_cluster.exchange.interest import Interest
from proxyconn_cluster.exchange.status import RadioStatus, Status
from proxyconn_cluster.settings import LONGEST_LEASE, SHORTEST_LEASE

BEAT: Final = 2.0
"""Seconds between two messages of a member to which nothing happens, at most."""

BEATS: Final = 5
"""Messages of a member within its lease, at least."""

WHOLE_EVERY: Final = 5
"""Beats after which a member tells all of its radios again: a message may have been lost."""

SILENT_AFTER: Final = 0.5
"""Share of its lease after which nothing more is asked of a member that says nothing."""

TOGETHER: Final = 0.03
"""Seconds within which what changes is told together."""

LOOK_EVERY: Final = 0.5
LOOKS: Final = 8
"""Seconds between two looks for members that say nothing, at most; looks within our lease, at
least."""

MOST_MEMBERS: Final = 10_000

MOST_RADIOS: Final = 4096
"""Radios of one member that are remembered: as many as one message can tell of, or an owner use."""

MOST_LEFT: Final = 64
"""Members that have said goodbye, and of which a message may still be late."""

_LOGGER = logging.getLogger(__name__)

Key = tuple[str, str]
"""Name and run of a member."""


@dataclass(eq=False)
class Member:
    """Another program of the cluster.

    Attributes:
        name, run: who it is.
        site: where it is.
        lease: seconds of silence after which it has gone, and so have its links.
        owner: whether it has radios for others.
        interest: what it wants to hear; None for nothing.
        scan: what it wishes of how radios of others scan.
        radios: its radios, by identity.
        heard_at: when it was heard of last, in the loop's seconds.
        number: of the last message that it has sent.
        kind: where it speaks: an owner that has spoken as one is heard nowhere else.
        silent: whether it has said nothing for too long to be asked.
    """

    name: str
    run: str
    site: str
    lease: float
    heard_at: float
    owner: bool = False
    interest: Interest | None = None
    scan: frozenset[ScanWish] = frozenset()
    radios: dict[str, RadioStatus] = field(default_factory=dict)
    number: int = 0
    kind: str = Kind.MEMBER
    silent: bool = False

    @property
    def key(self) -> Key:
        """Name and run."""
        return self.name, self.run


class Members:
    """The others, and what they are told of us.

    Args:
        bus: the connection.

    Attributes:
        run: what tells us from an earlier run of the same name.
        lease: seconds of silence after which others take us for gone.
        changed: called with a member that has come or says something new.
        gone: called with a member that is not there any more.
        woke: called after a sleep, during which others may have taken us for gone.
        own_radios: says which radios we have for others; None for a client, which has none.
        lends: says whether a device is connected for somebody else, or is to be; None for never.
        interest: what we want to hear; None for nothing.
        scan: what we wish of how the radios of others scan.
        buried: name of a member that is known to be gone, whatever it said last; None for none.
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.name = token(bus.name)
        self.site = bus.settings.site
        self.run = secrets.token_hex(4)
        self.lease = bus.settings.lease
        self.changed = Callbacks[Member]("the cluster")
        self.gone = Callbacks[Member]("the cluster")
        self.woke = Callbacks[[]]("the cluster")
        self.own_radios: Callable[[], Iterable[RadioStatus]] | None = None
        self.lends: Callable[[str], bool] | None = None
        self.interest: Interest | None = None
        self.scan: frozenset[ScanWish] = frozenset()
        self.buried: str | None = None
        self._members: dict[Key, Member] = {}
        self._told: tuple[object, ...] = ()
        self._told_radios: dict[str, RadioStatus] = {}
        self._kind = Kind.MEMBER
        self._subscribed: list[Subscribed] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._listens_since = self._loop.time()
        self._forget_bus: Callable[[], None] | None = None
        self._refused = Refused(self._loop.time)
        self._told_of: set[str] = set()
        self._number = 0
        self._left: deque[tuple[str, Key]] = deque(maxlen=MOST_LEFT)

    # Subjects of our own, and of others

    def subject(self, kind: str, *parts: str) -> str:
        """Return a subject that is ours."""
        return self.bus.subjects.of_site(self.site, kind, self.name, self.run, *parts)

    def subject_of(self, member: Member, kind: str, *parts: str) -> str:
        """Return a subject of another member."""
        return self.bus.subjects.of_site(member.site, kind, member.name, member.run, *parts)

    # Who is there

    @property
    def all(self) -> Mapping[Key, Member]:
        """Everybody else."""
        return self._members

    def owners(self) -> list[Member]:
        """Return those who have radios for others, and speak."""
        return [one for one in self._members.values() if one.owner and not one.silent]

    @property
    def troubles(self) -> tuple[str, ...]:
        """Who speaks, and cannot be understood, in sentences that say why."""
        return self._refused.troubles(max(self.lease, BEATS * BEAT))

    def is_there(self, name: str, run: str) -> bool:
        """Whether a member is there, or may be, for all that can be known yet."""
        if name == self.buried:
            return False
        known = (name, run) in self._members or (name, run) == (self.name, self.run)
        listened = self._loop.time() - self._listens_since
        return known or listened < self.lease or self._refused.is_there(name, run, self.lease)

    def may_go(self, name: str, run: str) -> bool:
        """Whether a member has said nothing for so long that it is likely to have gone soon."""
        member = self._members.get((name, run))
        return member is None or member.silent

    # Our own life

    async def start(self) -> None:
        """Say hello, and begin to listen to the others; once only."""
        if self._tasks:
            return
        self._forget_bus = self.bus.register_state_callback(self._listen_anew)
        for kind in (Kind.MEMBER, Kind.OWNER):
            every = self.bus.subjects.of_site("*", kind, "*", "*")
            self._subscribed.append(await self.bus.subscribe(every, self._on_status))
        await self._tell(hello=True, whole=True)
        self._tasks = [
            self._loop.create_task(self._beat()),
            self._loop.create_task(self._look()),
        ]
        for task in self._tasks:
            task.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Say goodbye; idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._forget_bus:
            self._forget_bus()
            self._forget_bus = None
        if self._subscribed:
            for one in self._subscribed:
                await self.bus.unsubscribe(one)
            self._subscribed.clear()
            await self._tell(leaving=True)

    def _listen_anew(self) -> None:
        """Take it that somebody may have come unheard."""
        self._listens_since = self._loop.time()

    def hurry(self) -> None:
        """Tell the others soon: something has changed."""
        self._hurry.set()

    async def _beat(self) -> None:
        count = 0
        while True:
            try:
                async with asyncio.timeout(min(BEAT, self.lease / BEATS)):
                    await self._hurry.wait()
            except TimeoutError:
                count += 1
                self._hurry.clear()
                await self._tell(whole=count % WHOLE_EVERY == 0)
            else:
                await asyncio.sleep(TOGETHER)
                self._hurry.clear()
                await self._tell(news_only=True)

    async def _tell(
        self,
        *,
        hello: bool = False,
        leaving: bool = False,
        whole: bool = False,
        news_only: bool = False,
    ) -> None:
        now = {one.id: one for one in self.own_radios()} if self.own_radios else {}
        told = self.own_radios is not None, self.interest, self.scan, now
        # What others say may change our radios in no way, and must not set them talking.
        if news_only and told == self._told:
            return
        if self.own_radios is not None:
            self._kind = Kind.OWNER
        before, self._told, self._told_radios = self._told_radios, told, now
        self._number += 1
        status = Status(
            sender=self.name,
            site=self.site,
            run=self.run,
            number=self._number,
            lease=self.lease,
            owner=self.own_radios is not None,
            hello=hello,
            leaving=leaving,
            interest=self.interest,
            scan=tuple(self.scan),
            whole=whole,
            radios=tuple(
                one for identity, one in now.items() if whole or before.get(identity) != one
            ),
            gone=tuple(identity for identity in before if identity not in now),
        )
        await self.bus.publish(self.subject(self._kind), encode(status))
        if self._kind == Kind.OWNER and self._refused.anybody(self.lease):
            # One of an older version hears owners nowhere, and would take what they hold for free.
            bare = replace(status, owner=False, hello=False, radios=(), gone=(), interest=None)
            await self.bus.publish(self.subject(Kind.MEMBER), encode(bare))

    # The others

    async def _on_status(self, message: Msg) -> None:
        kind = message.subject.split(".")[-3]
        try:
            status = decode(message.data, Status)
            own = self.bus.subjects.of_site(status.site, kind, status.sender, status.run)
        except OtherVersionError as exc:
            self._refused.take(message.subject, exc)
            return
        except (MessageError, ValueError) as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            return
        if message.subject != own:
            # What a server lets somebody say of itself is said by the subject.
            _LOGGER.debug("%s: this is not where %s speaks", message.subject, status.sender)
        elif kind == Kind.MEMBER and (status.owner or status.radios):
            self._say_once(
                own,
                f"{status.sender} says to have radios where no owner speaks; it is not believed",
            )
        elif (status.sender, status.run) != (self.name, self.run):
            self._take(status, kind)
            if status.hello:
                await self._tell(whole=True)

    def _say_once(self, about: str, text: str) -> None:
        """Warn of a member, once of each."""
        if about not in self._told_of and len(self._told_of) < MOST_MEMBERS:
            self._told_of.add(about)
            _LOGGER.warning("%s", text)

    def _take(self, status: Status, kind: str) -> None:
        key = status.sender, status.run
        known = self._members.get(key)
        if known and known.kind == Kind.OWNER and kind == Kind.MEMBER:
            _LOGGER.debug("%s: this is not where it speaks", known.name)
            return
        if status.leaving:
            self._left.append((kind, key))
            self._lose(key)
        if (kind, key) in self._left:
            return
        member = known or self._new(status)
        if member is None:
            return
        if member.kind != kind:
            member.kind, member.number = kind, 0
        if status.number <= member.number:
            return
        member.number = status.number
        self._follow(member, status)

    def _new(self, status: Status) -> Member | None:
        """Return a member that was not known; None if there are too many."""
        if len(self._members) >= MOST_MEMBERS:
            return None
        lease = min(max(status.lease, SHORTEST_LEASE), LONGEST_LEASE)
        member = Member(status.sender, status.run, status.site, lease, self._loop.time())
        self._members[member.key] = member
        return member

    def _follow(self, member: Member, status: Status) -> None:
        """Take what a member says of itself."""
        news = status.radios or status.gone or status.whole
        others = (member.owner, member.interest, member.scan, member.silent)
        member.heard_at, member.silent = self._loop.time(), False
        member.owner, member.interest = status.owner, status.interest
        member.scan = frozenset(status.scan)
        told = {one.id: one for one in status.radios}
        radios = told if status.whole else {**member.radios, **told}
        for identity in status.gone:
            radios.pop(identity, None)
        if len(radios) > MOST_RADIOS:
            radios = dict(itertools.islice(radios.items(), MOST_RADIOS))
            self._say_once(
                f"radios of {member.key}",
                f"{member.name} says to have more than {MOST_RADIOS} radios; the others are not "
                "used: share its proxies out among more owners",
            )
        member.radios = radios
        if news or others != (member.owner, member.interest, member.scan, False):
            self.changed(member)

    def _lose(self, key: Key) -> None:
        if member := self._members.pop(key, None):
            member.silent = True
            _LOGGER.info("%s (%s) has left the cluster", member.name, member.site)
            self.gone(member)

    async def _look(self) -> None:
        """Mind those who say nothing; what we could not hear does not count."""
        before, every = self._loop.time(), min(LOOK_EVERY, self.lease / LOOKS)
        while True:
            await asyncio.sleep(every)
            now = self._loop.time()
            passed, before = now - before, now
            deaf = passed if not self.bus.connected else max(passed - 2 * every, 0.0)
            if deaf > SILENT_AFTER * self.lease and self.bus.connected:
                _LOGGER.warning("this program has slept for %.1f s", deaf)
                self._listen_anew()
                self.woke()
            for key, member in list(self._members.items()):
                member.heard_at = min(member.heard_at + deaf, now)
                silence = now - member.heard_at
                if silence > member.lease:
                    self._lose(key)
                elif silence > SILENT_AFTER * member.lease and not member.silent:
                    member.silent = True
                    self.changed(member)
