"""What a user of the broker may do there: each right is tried, in a way that nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js.kv import KV_DEL, KV_OP

from proxyconn.radio import Finding, Level
from proxyconn_cluster.bus.credentials import INBOX, identification
from proxyconn_cluster.bus.dialling import CONNECT_TIMEOUT
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.subjects import Kind, Subjects
from proxyconn_cluster.settings import ClusterSettings

CHECK: Final = "cluster-permissions"

NOBODY: Final = "_doctor"
"""Stands where a member, a key or a consumer is named that there is not."""

IMPOSSIBLE: Final = {KV_OP: KV_DEL, "Nats-Expected-Last-Sequence": str(2**53)}
"""Headers of an entry that the store refuses, and that says nothing to who hears it anyway."""

MOST_NAMED: Final = 6
"""Subjects that a finding names."""

ADVICE: Final = (
    'give this user what docs/cluster.md has for it, under "Who may do what"; the names of the '
    "fleet and of a JetStream domain are in every subject"
)


class Role(IntEnum):
    """What somebody may be in a cluster; each may do what those before may."""

    VIEWER = 1
    PROGRAM = 2
    OWNER = 3


@dataclass(frozen=True, slots=True)
class Right:
    """Something that one may do.

    Attributes:
        role: the first of those who must be able to.
        subject: where.
        publishes: whether it is to send there; else, to hear.
        store: whether it is the store's bucket of leases.
    """

    role: Role
    subject: str
    publishes: bool = True
    store: bool = False

    def __str__(self) -> str:
        return f"{'publish to' if self.publishes else 'subscribe to'} {self.subject}"


@dataclass(frozen=True, slots=True)
class Lacking:
    """What is not allowed.

    Attributes:
        rights: each of them.
    """

    rights: tuple[Right, ...] = field(default=())

    @property
    def role(self) -> Role | None:
        """What this user may be at most; None for nothing."""
        first = min((one.role for one in self.rights), default=None)
        if first is None:
            return Role.OWNER
        return Role(first - 1) if first > Role.VIEWER else None

    @property
    def store(self) -> bool:
        """Whether the store cannot be looked at."""
        return any(one.store for one in self.rights)


def rights(subjects: Subjects, site: str, inbox: str = INBOX) -> Iterator[Right]:
    """Yield what a user must be able to do.

    Args:
        subjects: of the fleet.
        site: where the user is.
        inbox: how the subjects begin on which the user waits for answers.
    """
    yield Right(Role.VIEWER, subjects.ask_owners())
    yield Right(Role.VIEWER, f"{inbox}.>", publishes=False)
    yield Right(Role.OWNER, f"{INBOX}.{NOBODY}")
    for kind in (Kind.OWNER, Kind.MEMBER, Kind.ANSWER, Kind.EVENT):
        yield Right(Role.VIEWER, subjects.of_site("*", kind, "*", "*"), publishes=False)
    yield Right(Role.OWNER, subjects.of_site(site, Kind.LINK, NOBODY, NOBODY, "*"), publishes=False)
    for kind in (Kind.MEMBER, Kind.LINK):
        yield Right(Role.PROGRAM, subjects.of_site(site, kind, NOBODY, NOBODY))
    for kind in (Kind.OWNER, Kind.ANSWER, Kind.EVENT):
        yield Right(Role.OWNER, subjects.of_site(site, kind, NOBODY, NOBODY))
    yield Right(Role.VIEWER, subjects.of_site("*", Kind.ADVERTS, "*"), publishes=False)
    yield Right(Role.PROGRAM, subjects.of_all(Kind.ASK))
    yield Right(Role.OWNER, subjects.of_site(site, Kind.ADVERTS, NOBODY))
    yield from _bucket(Role.PROGRAM, subjects.bucket("held"), subjects.domain)
    for bucket in (subjects.leases, subjects.owners, subjects.seen, subjects.wishes):
        yield Right(Role.OWNER, subjects.entries(bucket), publishes=False)
        yield from _bucket(Role.OWNER, bucket, subjects.domain, store=bucket == subjects.leases)


def _bucket(role: Role, name: str, domain: str | None, *, store: bool = False) -> Iterator[Right]:
    api = f"$JS.{domain}.API" if domain else "$JS.API"
    yield Right(role, f"$KV.{name}.{NOBODY}")
    yield Right(role, f"{api}.STREAM.INFO.KV_{name}", store=store)
    for verb in ("STREAM.CREATE", "STREAM.MSG.GET", "CONSUMER.CREATE"):
        yield Right(role, f"{api}.{verb}.KV_{name}")


async def lacking(settings: ClusterSettings, subjects: Subjects) -> Lacking:
    """Try every right, and return those that are refused.

    What is sent is empty and for nobody, and what goes to a store is what it refuses.

    Raises:
        ClusterError: the connection is lost meanwhile.
    """
    refusals = 0

    async def refused(error: Exception) -> None:
        nonlocal refusals
        refusals += 1

    options = await asyncio.to_thread(identification, settings)
    client = Client()
    found: list[Right] = []
    try:
        async with asyncio.timeout(2 * CONNECT_TIMEOUT):
            await client.connect(
                servers=list(settings.servers),
                name="proxyconn doctor (permissions)",
                allow_reconnect=False,
                error_cb=refused,
                **options,
            )
            for one in rights(subjects, settings.site, options.get("inbox_prefix", INBOX)):
                before = refusals
                await _try(client, one)
                if refusals > before:
                    found.append(one)
    except (nats.errors.Error, TimeoutError, OSError) as exc:
        why = str(exc) or type(exc).__name__
        raise ClusterError(f"what this user may do could not be tried: {why}") from None
    finally:
        await client.close()
    return Lacking(tuple(found))


async def _try(client: Client, right: Right) -> None:
    """Do what one may or may not; the server's refusal is there before its answer to the flush."""
    heard: Subscription | None = None
    if right.publishes:
        stored = right.subject.startswith("$KV.")
        await client.publish(right.subject, b"", headers=IMPOSSIBLE if stored else None)
    else:
        heard = await client.subscribe(right.subject, cb=_ignore)
    # The first ping of nats-py may overtake what it was to follow.
    await client.flush()
    await client.flush()
    if heard:
        await heard.unsubscribe()


async def _ignore(_: object) -> None:
    """Nothing is read."""


def of_permissions(missing: Lacking) -> Finding:
    """Return what is found about the rights of this user."""
    if not missing.rights:
        return Finding(CHECK, Level.OK, None, "this user may do all that an owner does")
    named = "; ".join(str(one) for one in missing.rights[:MOST_NAMED])
    more = len(missing.rights) - MOST_NAMED
    seen = f"this user may not {named}{f'; and {more} more' if more > 0 else ''}"
    if missing.role is None:
        return Finding(CHECK, Level.PROBLEM, None, seen, ADVICE)
    will_do = {Role.VIEWER: "to look", Role.PROGRAM: "for programs that own nothing"}
    seen = f"enough {will_do[missing.role]}, not for `proxyconn serve`: {seen}"
    return Finding(CHECK, Level.WARNING, None, seen, ADVICE)
