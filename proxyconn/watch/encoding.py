"""Rows as JSON text: by orjson where that is installed, which is ten times as fast."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]


def encoded(value: Any) -> str:
    """Return JSON on one line."""
    if orjson is not None:
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            # A name with half a surrogate pair in it, or a number of more than 64 bits.
            pass
    return json.dumps(value, separators=(",", ":"))
