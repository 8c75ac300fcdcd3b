"""What a session says of itself to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aioesphomeapi.model import BluetoothProxyFeature

if TYPE_CHECKING:
    from ._session import ProxySession


def diagnostics(session: ProxySession) -> dict[str, Any]:
    """Return the state of a session as JSON-able values, without its key."""
    slots = session.ledger.allocations()
    info, proxy = session.info, session.proxy
    return {
        "name": session.name,
        "host": proxy.host,
        "port": proxy.port,
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
        "health": {"subscribed": session.subscription.held, **session.upkeep.diagnostics()},
    }
