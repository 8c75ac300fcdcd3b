"""Several virtual proxies among the same peripherals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal, Self

from proxyconn_native_api.mdns import Announcer
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from proxyconn_virtual.radio import Air
from proxyconn_virtual.simulated import SimulatedAir

RadioKind = Literal["simulated", "bumble"]


def _air(kind: RadioKind, peripherals: Sequence[Peripheral], seed: int) -> Air:
    if kind == "simulated":
        return SimulatedAir(peripherals, seed)
    # Only here, since bumble is an optional dependency.
    from proxyconn_virtual.bumble import BumbleAir

    return BumbleAir(peripherals, seed)


class VirtualFleet:
    """Virtual proxies among peripherals; an async context manager.

    Args:
        proxies: the proxies; their places must differ, and so their names if those are not given.
        peripherals: what is around them.
        radio: "simulated", or "bumble" for real ATT between virtual controllers.
        seed: of everything random.
        announce: announce the proxies by mDNS.
        interface: IPv4 address of the interface to announce on.
        host: address the proxies listen on.

    Attributes:
        proxies: the proxies by place.
        peripherals: the peripherals.
        air: what the radios share.

    Raises:
        ValueError: two proxies have one place, or one name and no places, or a spec breaks its
            ranges.
        ImportError: the radio's package is not installed.
    """

    def __init__(
        self,
        proxies: Sequence[ProxySpec],
        peripherals: Sequence[Peripheral],
        *,
        radio: RadioKind = "simulated",
        seed: int = 0,
        announce: bool = True,
        interface: str = "127.0.0.1",
        host: str = "127.0.0.1",
    ) -> None:
        self.peripherals = tuple(peripherals)
        self.air = _air(radio, self.peripherals, seed)
        places = {spec.place or spec.name: spec for spec in proxies}
        if len(places) != len(proxies):
            raise ValueError("two proxies have the same name; give each a `place` of its own")
        self.proxies = {
            place: VirtualProxy(spec, self.air.radio(place), host=host)
            for place, spec in places.items()
        }
        self._announcer = Announcer(interface) if announce else None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the air, then the proxies, then announce them. Raises OSError."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.air.stop)
            await self.air.start()
            for proxy in self.proxies.values():
                stack.push_async_callback(proxy.stop)
                await proxy.start()
            if self._announcer is not None:
                stack.push_async_callback(self._announcer.stop)
                await self._announcer.start(())
                for proxy in self.proxies.values():
                    await self._announcer.add(proxy, proxy.announced_as, proxy.spec.announced_at)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything, in reverse order."""
        await self._stack.aclose()


async def run_fleet(
    proxies: Sequence[ProxySpec],
    peripherals: Sequence[Peripheral],
    *,
    on_ready: Callable[[VirtualFleet], None] | None = None,
    radio: RadioKind = "simulated",
    seed: int = 0,
    announce: bool = True,
    interface: str = "127.0.0.1",
    host: str = "127.0.0.1",
) -> None:
    """Run a fleet until cancelled; `on_ready` is called once, with the fleet, when it listens.

    The other arguments, and the errors, are those of VirtualFleet.
    """
    fleet = VirtualFleet(
        proxies,
        peripherals,
        radio=radio,
        seed=seed,
        announce=announce,
        interface=interface,
        host=host,
    )
    async with fleet:
        if on_ready is not None:
            on_ready(fleet)
        await asyncio.get_running_loop().create_future()
