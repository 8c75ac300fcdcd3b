"""Everything that can be fuzzed, by name: each takes bytes, and raises if a property breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from .client_target import fuzz_client
from .hearing_target import fuzz_hearing
from .mdns_target import fuzz_mdns
from .owner_target import fuzz_owner
from .parts_targets import (
    fuzz_adverts,
    fuzz_config,
    fuzz_frames,
    fuzz_options,
    fuzz_services,
)
from .server_target import fuzz_server

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        "client": fuzz_client,
        "server": fuzz_server,
        "owner": fuzz_owner,
        "hearing": fuzz_hearing,
        "mdns": fuzz_mdns,
        "frames": fuzz_frames,
        "adverts": fuzz_adverts,
        "services": fuzz_services,
        "config": fuzz_config,
        "options": fuzz_options,
    }
)
