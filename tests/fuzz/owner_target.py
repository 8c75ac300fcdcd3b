"""An owner's server against clients that send what they like, with the right key and without."""

from __future__ import annotations

import asyncio

from proxyconn import Fleet, Proxy
from proxyconn_owner.serving.served_proxy import ServedProxy
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from proxyconn_virtual.simulated import SimulatedAir

from .choices import Choices
from .client_target import KEY, peripherals
from .server_target import SETTLED, good, hostile
from .world import BrokenError, run

READY = 30.0
"""Seconds for the fleet to be ready, and for nothing to be held any more."""


class Quiet:
    """Is told of clients, and says nothing."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has said Hello."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""

    def operated(self, operation: str, seconds: float) -> None:
        """Nothing to say."""


def fuzz_owner(tape: bytes) -> None:
    """Run hostile clients beside each other, then a good one. Raises BrokenError."""
    run(_session(Choices(tape)))


async def _session(choices: Choices) -> None:
    air = SimulatedAir(peripherals(), 0)
    real = VirtualProxy(ProxySpec(name="kitchen", noise_psk=KEY), air.radio("kitchen"))
    await air.start()
    await real.start()
    try:
        proxies = [Proxy(real.host, real.port, KEY)]
        async with Fleet(proxies, discover=False, state=None, owner=False) as fleet:
            await fleet.ready(1, READY)
            await _serve(fleet, real, choices)
    finally:
        await real.stop()
        await air.stop()


async def _serve(fleet: Fleet, real: VirtualProxy, choices: Choices) -> None:
    lending = fleet.lending()
    served = ServedProxy(
        "box",
        "02:00:00:00:00:01",
        KEY,
        lending,
        holder=lending.holder,
        party_of=lambda name, host, port: f"{name} at {port}",
        events=Quiet(),
    )
    await served.start("127.0.0.1", 0)
    try:
        tapes = [Choices(choices.bytes(300)) for _ in range(choices.below(3))]
        await asyncio.gather(*(hostile(served, one) for one in (*tapes, choices)))
        await asyncio.sleep(SETTLED)
        if served.clients:
            raise BrokenError(f"clients left: {served.clients}")
        await good(served)
        await asyncio.sleep(1)
        if held := real.snapshot().slots:
            raise BrokenError(f"still held: {held}")
    finally:
        await served.aclose()
