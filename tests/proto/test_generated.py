"""The checked-in code states the protobuf version that the packaging promises."""

from __future__ import annotations

import re
from pathlib import Path

from proxyconn_proto import bluetooth_proxy_pb2 as pb


def test_generated_floor() -> None:
    """The generated code accepts protobuf 6.31, the oldest runtime that is supported."""
    source = Path(str(pb.__file__)).read_text(encoding="utf-8")
    found = re.search(r"^# Protobuf Python Version: (\d+)\.(\d+)\.(\d+)$", source, re.MULTILINE)
    assert found is not None
    assert tuple(int(part) for part in found.groups()) <= (6, 31, 0)
