"""The proxies as they are, for a monitor that is told nothing by any client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxyconn import Allocations, RadioState
from proxyconn.fleet.alarms import Monitor
from proxyconn_virtual.proxy import VirtualProxy


class Wanting(Protocol):
    """Who wants a device now and then."""

    address: str
    busy: bool


@dataclass(frozen=True, eq=False)
class TrueProxy:
    """The slots of a proxy, whatever it reports of them."""

    proxy: VirtualProxy
    state: RadioState = RadioState.READY
    problem: str | None = None

    @property
    def name(self) -> str:
        """The proxy's place: others may have its name."""
        return self.proxy.place

    def allocations(self) -> Allocations:
        """Return the slots."""
        now = self.proxy.snapshot()
        return Allocations(self.name, now.limit, now.free, [address for address, _ in now.slots])


class Wanted(Mapping[str, None]):
    """The addresses of the devices that have a link, or want one, through whatever proxy."""

    def __init__(self, devices: Iterable[Wanting]) -> None:
        self._devices = {device.address: device for device in devices}

    def __getitem__(self, address: str) -> None:
        if not self._devices[address].busy:
            raise KeyError(address)

    def __iter__(self) -> Iterator[str]:
        return (address for address, device in self._devices.items() if device.busy)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def true_monitor(proxies: Iterable[VirtualProxy], devices: Iterable[Wanting]) -> Monitor:
    """Return a monitor of the proxies themselves."""
    return Monitor([TrueProxy(proxy) for proxy in proxies], Wanted(devices))
