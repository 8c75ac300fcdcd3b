"""All that is known of one device: its paths and why the best one leads, its table, its links."""

from __future__ import annotations

from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.routing.path_score import explain
from proxyconn.watch.clock import WallClock
from proxyconn.watch.picture import Picture
from proxyconn.watch.rows import Row, path_row, said_row, service_rows


def device_detail(
    inspection: Inspection, picture: Picture, clock: WallClock, address: str
) -> Row | None:
    """Return all that is known of a device; None if no radio hears it and nobody wants it."""
    sighting = inspection.sightings.get(address)
    if sighting is None and address not in inspection.links:
        return None
    paths = inspection.paths(address)
    pins = inspection.pins(address)
    services = inspection.services(address)
    return {
        "address": address,
        "time": clock.now(),
        "name": sighting.device.name if sighting else None,
        **said_row(sighting.last() if sighting else None),
        "paths": [path_row(path) for path in paths],
        "why": explain(paths),
        "pins": {
            "prefer": sorted(pins.prefer),
            "avoid": sorted(pins.avoid),
            "require": sorted(pins.require),
            "ban": sorted(pins.ban),
        },
        "services": service_rows(services) if services else None,
        "mtu": inspection.mtu(address),
        "connects": [
            picture.connect(connect)
            for connect in inspection.journal.connects
            if connect.address == address
        ],
    }
