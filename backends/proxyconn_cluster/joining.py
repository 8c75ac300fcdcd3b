"""Joining a cluster, if there is one: for whoever goes without nats-py otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from proxyconn_cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from proxyconn_cluster.membership import Membership


class CannotJoinError(Exception):
    """The cluster cannot be used; the text says why, and what to do."""


@asynccontextmanager
async def member_of(
    settings: ClusterSettings | None, folder: Path | None = None
) -> AsyncIterator[Membership | None]:
    """Yield an owner's membership of a cluster; None where there is none.

    Args:
        settings: which cluster, and as whom; None for none.
        folder: where the owner's state is kept; None for nowhere.

    Raises:
        CannotJoinError: the cluster cannot be used.
    """
    if settings is None:
        yield None
        return
    from proxyconn_cluster.bus.errors import ClusterError
    from proxyconn_cluster.membership import joined

    try:
        async with joined(settings, folder) as member:
            yield member
    except ClusterError as exc:
        raise CannotJoinError(str(exc)) from None
