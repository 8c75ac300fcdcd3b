"""What would keep ESPHome proxies from working: looked at, and said with what to do.

Here: the entry point of `proxyconn.checks`. `network.py` looks at mDNS, `proxies.py` at each proxy.
May import: everything of `proxyconn_esphome` but `radio.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from proxyconn.radio import Finding, FleetOptions, Radio
from proxyconn_esphome.checks.network import discovery, multicast, names
from proxyconn_esphome.checks.proxies import of_proxy, of_wifi
from proxyconn_esphome.proxy_radio import ESPHomeRadio


async def checks(options: FleetOptions, radios: Sequence[Radio]) -> list[Finding]:
    """Return what is found about mDNS and each proxy.

    Args:
        options: of the fleet; `zeroconf` is None where mDNS cannot be spoken.
        radios: of the fleet; those of other backends are passed over.
    """
    sessions = [radio.session for radio in radios if isinstance(radio, ESPHomeRadio)]
    found: list[Finding] = []
    if options.discover:
        heard, spoken = await asyncio.gather(
            discovery(options.zeroconf), multicast(options.zeroconf)
        )
        found += [spoken, *names(heard, sessions)]
    signals = await asyncio.gather(*map(of_wifi, sessions))
    for session, signal in zip(sessions, signals, strict=True):
        found += [*of_proxy(session), *signal]
    return found
