"""Looks at a cluster in the order in which things must work: broker, rights, store, owners."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec
import nats.errors
from nats.js.errors import NotFoundError

from proxyconn.radio import Finding, Level
from proxyconn_cluster.bus.connection import API_TIMEOUT, Bus, opened
from proxyconn_cluster.bus.errors import ClusterError, why_no_bucket
from proxyconn_cluster.checks.clocks import Reading, of_clocks
from proxyconn_cluster.checks.owners import of_owners
from proxyconn_cluster.checks.permissions import lacking, of_permissions
from proxyconn_cluster.settings import ClusterSettings

BROKER: Final = "cluster"
STORE: Final = "cluster-store"

WHO: Final = "proxyconn doctor"


class _Info(msgspec.Struct):
    """An answer of JetStream about a stream: when it was given, by the broker's clock."""

    ts: datetime | None = None


async def examine(settings: ClusterSettings) -> list[Finding]:
    """Return what is found; changes nothing, and nobody notices."""
    found: list[Finding] = []
    try:
        async with opened(settings, WHO) as bus:
            async for one in _look(bus, settings):
                found.append(one)  # noqa: PERF401 - what was found before it broke off counts
    except ClusterError as exc:
        found.append(Finding(BROKER, Level.PROBLEM, None, str(exc)))
    return found


async def _look(bus: Bus, settings: ClusterSettings) -> AsyncIterator[Finding]:
    yield Finding(BROKER, Level.OK, None, f"{bus.servers} answers, and lets us in")
    missing = await lacking(settings, bus.subjects)
    yield of_permissions(missing)
    readings: list[Reading] = []
    if not missing.store:
        yield await _of_store(bus, settings)
        readings += await _broker_clock(bus)
    if missing.role is not None:
        found, told = await of_owners(bus)
        for one in found:
            yield one
        readings += told
    for one in of_clocks(readings):
        yield one


async def _of_store(bus: Bus, settings: ClusterSettings) -> Finding:
    try:
        bucket = await bus.jetstream.key_value(bus.subjects.leases)
        ttl = (await bucket.status()).ttl
    except NotFoundError:
        seen = f"JetStream is there; no owner of fleet {settings.fleet} has ever been"
        return Finding(STORE, Level.OK, None, seen)
    except (nats.errors.Error, TimeoutError) as exc:
        return Finding(STORE, Level.PROBLEM, None, why_no_bucket(exc, bus.servers))
    if ttl != settings.lease:
        return Finding(
            STORE,
            Level.NOTE,
            None,
            f"leases are for {ttl or 0:g} s here, and not for {settings.lease:g} as is configured",
            "the first owner has said so; for another length end all owners, and delete the bucket "
            f"{bus.subjects.leases}",
        )
    return Finding(STORE, Level.OK, None, f"JetStream is there; leases are for {ttl:g} s")


async def _broker_clock(bus: Bus) -> list[Reading]:
    """Return what the broker says that the time is, if it does."""
    domain = bus.settings.domain
    api = f"$JS.{domain}.API" if domain else "$JS.API"
    asked = time.time()
    try:
        answer = await bus.request(f"{api}.STREAM.INFO.KV_{bus.subjects.leases}", b"", API_TIMEOUT)
        info = msgspec.json.decode(answer.data, type=_Info)
    except (ClusterError, msgspec.DecodeError):
        return []
    return [Reading("the broker", info.ts.timestamp(), asked, time.time())] if info.ts else []
