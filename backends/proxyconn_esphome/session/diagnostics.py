"""What a session says of itself to people."""

from __future__ import annotations

from typing import Any, Protocol

from aioesphomeapi.model import BluetoothProxyFeature, DeviceInfo

from proxyconn.radio import Proxy
from proxyconn_esphome.session.listener import SessionView
from proxyconn_esphome.session.proxy_reports import ReportingProxy
from proxyconn_esphome.wire.moving_connection import MovingConnection


class DescribedSession(SessionView, ReportingProxy, Protocol):
    """A session with all that is told of it.

    Attributes:
        reach: keeps the proxy connected.
    """

    reach: MovingConnection

    @property
    def proxy(self) -> Proxy:
        """Where the proxy is now, and its key."""
        ...

    @property
    def info(self) -> DeviceInfo | None:
        """What the proxy says of itself; None until it has."""
        ...


def diagnostics(session: DescribedSession) -> dict[str, Any]:
    """Return the state of a session as JSON-able values, without its key."""
    slots = session.ledger.allocations()
    info, proxy = session.info, session.proxy
    host, port = proxy.behind or (proxy.host, proxy.port)
    return {
        "name": session.name,
        "host": host,
        "port": port or None,
        "called_from": session.reach.connection.called_from,
        "encrypted": proxy.noise_psk is not None,
        "state": str(session.state),
        "problem": session.problem.text if session.problem else None,
        "mac": info.mac_address if info else None,
        "esphome_version": info.esphome_version if info else None,
        "features": [flag.name for flag in BluetoothProxyFeature if flag in session.features],
        "slots": None
        if slots is None
        else {"limit": slots.slots, "free": slots.free, "allocated": slots.allocated},
        "links": {link.address: link.state.name for link in session.dispatcher.links.values()},
        "attempts": {
            "opening": sorted(session.attempts.opening),
            "abandoned": sorted(session.attempts.abandoned),
        },
        "waiting": session.queue.waiting,
        "subscription": {"held": session.subscription.held, **session.other_clients.diagnostics()},
        "health": {
            "subscribed": session.subscription.held,
            **session.periodic_checks.diagnostics(),
        },
    }
