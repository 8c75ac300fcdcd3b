"""The backend `cluster`: a fleet joins a cluster, as an owner or as a client.

Nothing that it imports takes nats-py, which is an extra, until a fleet wants a cluster.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from proxyconn.extras import MissingExtraError
from proxyconn.radio import Backend, FleetOptions, RadioSink, UnsupportedError
from proxyconn_cluster.extra import check_extra


def backend(options: FleetOptions, sink: RadioSink) -> Backend | None:
    """Return the backend of a fleet that joins a cluster; None for any other.

    Raises:
        UnsupportedError: what it takes is not installed; names the extra.
        ValueError: `cluster` is neither a URL nor anything of this package.
    """
    if options.cluster is None:
        return None
    try:
        check_extra()
    except MissingExtraError as exc:
        raise UnsupportedError(str(exc)) from None
    module: Any = import_module("proxyconn_cluster.joined")
    made: Backend = module.Joined(options.cluster, sink)
    return made
