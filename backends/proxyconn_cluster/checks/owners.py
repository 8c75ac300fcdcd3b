"""Who is in the cluster: versions, who has lost the store, who cannot be understood."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from nats.aio.msg import Msg

from proxyconn.radio import Finding, Level
from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.messages import MessageError, OtherVersionError, decode
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.checks.clocks import Reading
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.members import BEAT
from proxyconn_cluster.ownership.records import OwnerState
from proxyconn_cluster.survey import Survey, survey

CHECK: Final = "cluster-owners"

LISTEN: Final = BEAT
"""Seconds to listen to who speaks: each says something within them."""

MOST_NAMED: Final = 8
"""Owners that a finding names."""


async def of_owners(bus: Bus) -> tuple[list[Finding], list[Reading]]:
    """Ask who is there, and listen to who speaks in a way that is not understood here.

    Returns what is found, and what owners say that the time is. Raises ClusterError.
    """
    strange: set[str] = set()

    async def hear(msg: Msg) -> None:
        try:
            decode(msg.data, Status)
        except OtherVersionError as exc:
            strange.add(str(exc))
        except MessageError:
            pass

    # Another major version speaks elsewhere, and does not hear what it is asked here.
    every = [
        bus.subjects.of_every_version("*", kind, "*", "*") for kind in (Kind.MEMBER, Kind.OWNER)
    ]
    heard = [await bus.subscribe(subject, hear) for subject in every]
    asked = time.time()
    found = await survey(bus)
    answered = time.time()
    await asyncio.sleep(LISTEN)
    for one in heard:
        await bus.unsubscribe(one)
    readings = [
        Reading(one.owner, one.clock, asked, answered)
        for one in found.owners
        if one.clock is not None
    ]
    return _findings(found, [*sorted(strange), *found.troubles]), readings


def _findings(found: Survey, troubles: list[str]) -> list[Finding]:
    if not found.owners:
        seen = "no owner answers"
        made = [Finding(CHECK, Level.NOTE, None, seen, "start one: `proxyconn serve`")]
    else:
        named = ", ".join(f"{one.owner} ({one.site})" for one in found.owners[:MOST_NAMED])
        more = len(found.owners) - MOST_NAMED
        seen = f"{named}{f' and {more} more' if more > 0 else ''} answer"
        made = [Finding(CHECK, Level.OK, None, seen)]
    made += [
        Finding(
            CHECK,
            Level.WARNING,
            None,
            f"{one.owner} does not reach the store of leases",
            "see its log, and the JetStream of the broker that it uses",
        )
        for one in found.owners
        if one.cut_off
    ]
    made += _versions(found.owners)
    return made + [Finding(CHECK, Level.PROBLEM, None, text) for text in dict.fromkeys(troubles)]


def _versions(owners: list[OwnerState]) -> list[Finding]:
    versions = sorted({one.version for one in owners})
    if len(versions) < 2:
        return []
    seen = f"owners have versions {', '.join(versions)} of proxyconn, and understand each other"
    return [Finding(CHECK, Level.NOTE, None, seen, "update them when it suits")]
