"""What would keep a cluster from working: looked at, and said with what to do.

Here: the entry point of `proxyconn.checks`, which needs no nats-py where no cluster is configured.
`cluster.py` looks at the broker and its store, `permissions.py` at what we may do there,
`owners.py` at who is there; `clocks.py` compares what they say that the time is.
May import: `survey.py`, `members.py`, `exchange/`, `bus/`, `configuration.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from proxyconn.cli.config_file import ConfigError, Table
from proxyconn.extras import MissingExtraError
from proxyconn.radio import Finding, FleetOptions, Level, Radio
from proxyconn_cluster.configuration import parse_cluster
from proxyconn_cluster.extra import check_extra


async def checks(options: FleetOptions, radios: Sequence[Radio]) -> list[Finding]:
    """Return what is found about the cluster of the configuration; nothing without one.

    Args:
        options: of the fleet; `cluster` is the table of the configuration, or None.
        radios: of the fleet; nothing is said about them.
    """
    if not isinstance(options.cluster, Table):
        return []
    try:
        settings = parse_cluster(options.cluster)
        await asyncio.to_thread(check_extra)
    except (ConfigError, MissingExtraError) as exc:
        return [Finding("cluster", Level.PROBLEM, None, str(exc))]
    if settings is None:
        return []
    module: Any = await asyncio.to_thread(import_module, "proxyconn_cluster.checks.cluster")
    found: list[Finding] = await module.examine(settings)
    return found
