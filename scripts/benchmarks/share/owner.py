"""The owner of the sharing benchmark, in a process of its own.

Arguments: port and key of its proxy, and its own key. Prints its port; answers each line of its
standard input with the CPU seconds that it has used so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from proxyconn import Fleet, Proxy
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings


class Nobody:
    """Is told everything, and does nothing about it."""

    def served(self, owner: Owner) -> None:
        """A proxy is served."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has come."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""


async def run(port: int, noise_psk: str, own: str) -> None:
    """Serve until standard input ends."""
    proxy = Proxy("127.0.0.1", port, noise_psk=noise_psk)
    settings = ServeSettings(api=Listen("127.0.0.1", 0), announce=False, noise_psk=own)
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with Fleet([proxy], discover=False, state=None, owner=False) as fleet:
            await fleet.ready()
            async with serving(fleet, settings, place, place, Nobody()) as owner:
                print(json.dumps({"port": owner.proxies[None].port}), flush=True)
                while await loop.run_in_executor(None, sys.stdin.readline):
                    print(json.dumps({"cpu": time.process_time()}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), *sys.argv[2:]))
