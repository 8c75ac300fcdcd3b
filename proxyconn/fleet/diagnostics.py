"""Says of a fleet what is known of it, as values that can be written as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from proxyconn.fleet.alarms import Alarm
from proxyconn.fleet.radio_hub import Hub


def fleet_diagnostics(hub: Hub, alarms: Iterable[Alarm]) -> dict[str, Any]:
    """Return the state of a fleet as JSON-able values, without keys."""
    return {
        "alarms": [alarm.diagnostics() for alarm in alarms],
        "radios": [radio.diagnostics() for radio in hub.radios],
        "waiting": hub.queue.waiting,
        "devices": {
            address: [
                {
                    "source": path.source,
                    "rssi": path.rssi,
                    "age": round(path.age, 3) if isfinite(path.age) else None,
                    "failures": round(path.failures, 2),
                    "score": round(path.score, 1),
                    "usable": path.usable,
                }
                for path in hub.paths(address)
            ]
            for address in hub.sightings
        },
    }
