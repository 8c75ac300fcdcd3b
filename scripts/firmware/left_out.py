"""Cases in which the virtual proxy is not like the firmware, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LEFT_OUT: Final[Mapping[str, str]] = {
    "burst": "the virtual proxy has no queue of radio events that could be full",
    "owed_order": "what comes first depends on which turn of the loop finds room in the socket",
}
"""Reason by the name of the case; at most five."""
