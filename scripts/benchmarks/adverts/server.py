"""The virtual proxies of the advertisement benchmark, in a process of their own.

Arguments: how many devices there are, the share of advertisements that say something new, and the
names of the proxies. Prints each one's port and key; then each line of the input is an order, and
each line of the output its result. The end of the input ends it.

The simulated air is silent: the messages are made here and go through each proxy's session, so
that framing, encryption and TCP are those of any other message.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .traffic import Device, Traffic

SUBSCRIBE_LIMIT = 10.0
"""Seconds that a client has to subscribe."""

FLUSH = 0.1
"""Seconds after which a proxy sends what it has heard (ESPHome bluetooth_proxy.cpp)."""

STEPS = 10
"""Moments of a flush interval at which proxies report, unless each has a moment of its own."""

LATE = 0.002
"""Seconds before a moment that are waited without the loop, whose timers are rough."""

SHIFT = 5
"""Devices by which what a proxy hears is shifted from what its neighbour hears."""


async def subscribed(proxy: VirtualProxy) -> None:
    """Wait for the client. Raises TimeoutError."""
    async with asyncio.timeout(SUBSCRIBE_LIMIT):
        while proxy.snapshot().subscriber is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


class Stream:
    """Sends through one proxy as many advertisements as are asked for, at once."""

    def __init__(self, proxy: VirtualProxy, traffic: Traffic) -> None:
        self._proxy = proxy
        self._traffic = traffic

    async def send(self, batches: int) -> dict[str, int]:
        """Send full batches and the marker; return how many advertisements, and messages lost."""
        await subscribed(self._proxy)
        before = self._proxy.snapshot().messages_lost
        for _ in range(batches):
            self._proxy.send_subscriber(self._traffic.next_batch())
        self._proxy.send_subscriber(self._traffic.mark())
        lost = self._proxy.snapshot().messages_lost - before
        return {"lost": lost}


class Pace:
    """Sends through many proxies as real ones do: what each has heard since its last message.

    Every device advertises once a second. Each proxy hears as many of them as it has to report in
    a second, other ones than its neighbour but for an overlap.
    """

    def __init__(self, proxies: list[VirtualProxy], traffic: Traffic) -> None:
        self._proxies = proxies
        self._traffic = traffic

    async def send(self, rate: int, seconds: float, spread: bool = False) -> dict[str, float]:
        """Report `rate` devices a second through each proxy; return what was sent and lost.

        With `spread` no two proxies report at one moment, as those do that know nothing of each
        other; else a tenth of them do, which takes less of whoever sends.
        """
        for proxy in self._proxies:
            await subscribed(proxy)
        loop = asyncio.get_running_loop()
        start, sent, tick = loop.time(), 0, 0
        flushes_a_second = round(1 / FLUSH)
        each = rate // flushes_a_second
        steps = max(len(self._proxies), 1) if spread else STEPS
        while (at := tick * FLUSH / steps) < seconds:
            await self._until(start + at)
            step, flush = tick % steps, tick // steps
            if flush % flushes_a_second == 0 and step == 0:
                for device in self._traffic.devices:
                    self._traffic.maybe_change(device)
            for number in range(step, len(self._proxies), steps):
                heard = self._heard(number, (flush % flushes_a_second) * each, each)
                self._proxies[number].send_subscriber(self._traffic.batch(heard))
                sent += each
            tick += 1
        lost = sum(proxy.snapshot().messages_lost for proxy in self._proxies)
        return {"adverts": sent, "seconds": loop.time() - start, "lost": lost}

    @staticmethod
    async def _until(moment: float) -> None:
        """Wait for a moment of the loop's clock to within some 0.1 ms; timers of a loop have 1."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(moment - loop.time() - LATE)
        if (left := moment - loop.time()) > 0:
            time.sleep(left)  # noqa: ASYNC251 - 2 ms at most, and nobody else waits

    def _heard(self, proxy: int, start: int, count: int) -> list[Device]:
        devices = self._traffic.devices
        first = proxy * SHIFT + start
        return [devices[(first + place) % len(devices)] for place in range(count)]


async def run(devices: int, changing: float, names: list[str]) -> None:
    """Carry out orders until there are none left."""
    fleet = VirtualFleet(
        [ProxySpec(name=name, noise_psk=new_noise_psk()) for name in names], [], announce=False
    )
    streams = {
        name: Stream(proxy, Traffic(devices, changing)) for name, proxy in fleet.proxies.items()
    }
    pace = Pace(list(fleet.proxies.values()), Traffic(devices, changing))
    loop = asyncio.get_running_loop()
    async with fleet:
        say([(proxy.port, proxy.noise_psk) for proxy in fleet.proxies.values()])
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            send: Callable[..., Any] = pace.send
            if "proxy" in order:
                send = streams[order.pop("proxy")].send
            say(await send(**order))


def say(result: object) -> None:
    """Print a line."""
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
